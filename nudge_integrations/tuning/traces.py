"""Naming the tuned run in traces, without depending on a tracing library."""

from __future__ import annotations

import sys
from typing import Any

RUN = "nudge_run"
"""Key of the run's digest in metadata and tags."""

SPAN_ATTRIBUTE = "nudge.run"


def mark_span(digest: str) -> None:
    """Set `nudge.run` on OpenTelemetry's current span, if the application has loaded that library.

    Args:
        digest: `TunedVectors.digest` of the run.
    """
    library: Any = sys.modules.get("opentelemetry.trace")
    if library is not None:
        library.get_current_span().set_attribute(SPAN_ATTRIBUTE, digest)
