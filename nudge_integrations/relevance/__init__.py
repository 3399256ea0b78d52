"""Questions, documents, and which document answers which question."""

from nudge_integrations.relevance.dataset import RelevanceDataset
from nudge_integrations.relevance.leakage import (
    Leak,
    check_leaks,
    leaks,
    question_key,
    text_key,
)

__all__ = ["Leak", "RelevanceDataset", "check_leaks", "leaks", "question_key", "text_key"]
