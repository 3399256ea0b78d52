"""What every other folder builds on: arrays, the exact index, files, text, lazy imports."""
