"""An evaluation report as text, page and picture."""
