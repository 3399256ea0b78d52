"""The documents that the examples of a report found, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nudge_integrations.evaluation.report import EvaluationReport, QueryChange, RankedDocument

_DEPTH = 5
_CHARACTERS = 200  # of a document's text: enough to know it by


def with_rankings(
    report: EvaluationReport,
    before: Mapping[str, Sequence[str]],
    after: Mapping[str, Sequence[str]],
    *,
    qrels: Mapping[str, Mapping[str, float]],
    texts: Mapping[str, str] | None = None,
    depth: int = _DEPTH,
) -> EvaluationReport:
    """Add to the queries that gained and lost most what they found.

    Args:
        report: What `compare` gave.
        before: Query id -> ids of the documents found, the best first, with the original vectors.
        after: The same with the tuned ones.
        qrels: Query id -> document id -> grade.
        texts: Document id -> text; the first 200 characters are kept, also where the report is
            saved.
        depth: How many documents to keep of each ranking.

    Returns:
        The report with `top_before` and `top_after` in `won` and `lost`; queries that are not in
        the rankings stay without.
    """

    def found(ranking: Sequence[str], judged: Mapping[str, float]) -> tuple[RankedDocument, ...]:
        return tuple(
            RankedDocument(name, _beginning((texts or {}).get(name, "")), judged.get(name, 0.0))
            for name in ranking[:depth]
        )

    def shown(change: QueryChange) -> QueryChange:
        name = change.query_id
        judged = qrels.get(name, {})
        return replace(
            change,
            top_before=found(before.get(name, ()), judged),
            top_after=found(after.get(name, ()), judged),
        )

    return replace(report, won=tuple(map(shown, report.won)), lost=tuple(map(shown, report.lost)))


def _beginning(text: str) -> str:
    line = " ".join(text[: 4 * _CHARACTERS].split())
    return line if len(line) <= _CHARACTERS else f"{line[:_CHARACTERS].rstrip()}..."
