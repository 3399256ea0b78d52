"""The `nudge` command, one file per command."""

from nudge_integrations.cli.app import build_parser, main

__all__ = ["build_parser", "main"]
