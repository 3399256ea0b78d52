"""How good retrieval is, before and after: metrics, significance, and the report."""

from nudge_integrations.evaluation.comparison import compare, with_rankings
from nudge_integrations.evaluation.figures import QueryChange, RankedDocument, ReportRow, Turns
from nudge_integrations.evaluation.metrics import (
    METRIC_NAMES,
    Metric,
    QueryTotals,
    first_answer_rank,
    parse_metric,
    score_rankings,
)
from nudge_integrations.evaluation.ranking import (
    RetrieverTrial,
    check_retriever,
    evaluate,
    search,
)
from nudge_integrations.evaluation.report import EvaluationReport
from nudge_integrations.evaluation.scores import (
    DEFAULT_METRICS,
    Scores,
    check_retrieved,
    evaluate_rankings,
    evaluate_run,
)
from nudge_integrations.evaluation.significance import PairedTest, paired_test

__all__ = [
    "DEFAULT_METRICS",
    "METRIC_NAMES",
    "EvaluationReport",
    "Metric",
    "PairedTest",
    "QueryChange",
    "QueryTotals",
    "RankedDocument",
    "ReportRow",
    "RetrieverTrial",
    "Scores",
    "Turns",
    "check_retrieved",
    "check_retriever",
    "compare",
    "evaluate",
    "evaluate_rankings",
    "evaluate_run",
    "first_answer_rank",
    "paired_test",
    "parse_metric",
    "score_rankings",
    "search",
    "with_rankings",
]
