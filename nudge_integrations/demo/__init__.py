"""A demo on Python's own documentation: real texts and questions, available on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nudge_integrations.common.lazy import lazy_names

if TYPE_CHECKING:
    from nudge_integrations.demo.run import demo_datasets, run_demo

__all__ = ["demo_datasets", "run_demo"]

__getattr__, __dir__ = lazy_names(__name__, dict.fromkeys(__all__, "run"))
