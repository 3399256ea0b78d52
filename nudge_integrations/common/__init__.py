"""Shared building blocks: arrays, the exact index, files, text, lazy imports."""
