"""The demo: questions in people's own words over the documentation of Python's standard library."""
