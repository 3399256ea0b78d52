"""Questions, documents, and which document answers which question."""

from nudge_integrations.relevance.dataset import RelevanceDataset
from nudge_integrations.relevance.feedback import FeedbackOptions
from nudge_integrations.relevance.splits import (
    Leak,
    check_leaks,
    leaks,
    question_key,
    text_key,
)
from nudge_integrations.relevance.traces import rows_from_langsmith, rows_from_phoenix

__all__ = [
    "FeedbackOptions",
    "Leak",
    "RelevanceDataset",
    "check_leaks",
    "leaks",
    "question_key",
    "rows_from_langsmith",
    "rows_from_phoenix",
    "text_key",
]
