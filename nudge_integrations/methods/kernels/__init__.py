"""The hot loop: two products over the corpus, and what can still win afterwards."""
