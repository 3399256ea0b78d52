"""NUDGE for LlamaIndex and LangChain: better retrieval from the document vectors you have.

Importing this loads no framework, no torch and no model; names load when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nudge_integrations.common.lazy import lazy_names

if TYPE_CHECKING:
    from nudge_integrations.embedding import Embedder
    from nudge_integrations.evaluation import (
        EvaluationReport,
        Scores,
        compare,
        evaluate,
        evaluate_rankings,
        evaluate_run,
        search,
    )
    from nudge_integrations.methods import NudgeC, NudgeM, NudgeN
    from nudge_integrations.questions import (
        QuestionFilters,
        agenerate_questions,
        generate_questions,
        judge_queries,
    )
    from nudge_integrations.relevance import RelevanceDataset
    from nudge_integrations.tuning.tuned import TunedVectors

__version__ = "0.1.0"

_MODULE_OF = {
    "Embedder": "embedding",
    "EvaluationReport": "evaluation",
    "NudgeC": "methods",
    "NudgeM": "methods",
    "NudgeN": "methods",
    "QuestionFilters": "questions",
    "RelevanceDataset": "relevance",
    "Scores": "evaluation",
    "TunedVectors": "tuning.tuned",
    "agenerate_questions": "questions",
    "compare": "evaluation",
    "evaluate": "evaluation",
    "evaluate_rankings": "evaluation",
    "evaluate_run": "evaluation",
    "generate_questions": "questions",
    "judge_queries": "questions",
    "search": "evaluation",
}

__all__ = [
    "Embedder",
    "EvaluationReport",
    "NudgeC",
    "NudgeM",
    "NudgeN",
    "QuestionFilters",
    "RelevanceDataset",
    "Scores",
    "TunedVectors",
    "agenerate_questions",
    "compare",
    "evaluate",
    "evaluate_rankings",
    "evaluate_run",
    "generate_questions",
    "judge_queries",
    "search",
]

__getattr__, __dir__ = lazy_names(__name__, _MODULE_OF)
