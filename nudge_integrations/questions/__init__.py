"""From documents to judged questions: a language model writes them, filters keep the good ones."""

from nudge_integrations.questions.calls import CallOptions
from nudge_integrations.questions.generating import (
    GeneratedQuestions,
    agenerate_questions,
    generate_questions,
    near_duplicates,
    train_and_test,
)
from nudge_integrations.questions.prompts import KINDS
from nudge_integrations.questions.report import QuestionReport
from nudge_integrations.questions.selection import QuestionFilters

__all__ = [
    "KINDS",
    "CallOptions",
    "GeneratedQuestions",
    "QuestionFilters",
    "QuestionReport",
    "agenerate_questions",
    "generate_questions",
    "near_duplicates",
    "train_and_test",
]
