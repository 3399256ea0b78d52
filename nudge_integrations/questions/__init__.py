"""From documents to judged questions: a language model writes them, filters keep the good ones."""

from nudge_integrations.questions.calls import CallOptions
from nudge_integrations.questions.filters import QuestionFilters
from nudge_integrations.questions.generating import (
    GeneratedQuestions,
    agenerate_questions,
    generate_questions,
    near_duplicates,
    train_and_test,
)
from nudge_integrations.questions.judging import JudgedQueries, judge_queries
from nudge_integrations.questions.ledger import QuestionReport
from nudge_integrations.questions.prompts import KINDS

__all__ = [
    "KINDS",
    "CallOptions",
    "GeneratedQuestions",
    "JudgedQueries",
    "QuestionFilters",
    "QuestionReport",
    "agenerate_questions",
    "generate_questions",
    "judge_queries",
    "near_duplicates",
    "train_and_test",
]
