"""Tuning the store that is already running, in place, whatever its size.

`tune(store, judged_questions, embed_query=model)` makes a plan and changes nothing; `plan.report`
says what it would do, `plan.apply()` does it, `plan.revert()` takes it back.
"""

from typing import TYPE_CHECKING

from nudge_integrations.common.lazy import lazy_names

if TYPE_CHECKING:
    from nudge_integrations.stores.journal import export_journal, import_journal
    from nudge_integrations.stores.open import open_store
    from nudge_integrations.stores.plan import Plan
    from nudge_integrations.stores.report import Outcome, PlanReport, Status
    from nudge_integrations.stores.store import LiveStore
    from nudge_integrations.stores.tuning import atune, tune
    from nudge_integrations.stores.undo import recover, revert, status

__all__ = [
    "LiveStore",
    "Outcome",
    "Plan",
    "PlanReport",
    "Status",
    "atune",
    "export_journal",
    "import_journal",
    "open_store",
    "recover",
    "revert",
    "status",
    "tune",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "LiveStore": "store",
        "Outcome": "report",
        "Plan": "plan",
        "PlanReport": "report",
        "Status": "report",
        "atune": "tuning",
        "export_journal": "journal",
        "import_journal": "journal",
        "open_store": "open",
        "recover": "undo",
        "revert": "undo",
        "status": "undo",
        "tune": "tuning",
    },
)
