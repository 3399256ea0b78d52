"""`python -m nudge_integrations` is the command `nudge`."""

from nudge_integrations.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
