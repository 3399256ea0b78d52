"""One tuning run over texts: the engine, its options, and what a run leaves behind."""
