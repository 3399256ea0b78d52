"""`python -m nudge_integrations.cli` is the command `nudge`."""

from nudge_integrations.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
