"""Cutting questions into datasets so that none of them has seen the others' questions."""

from __future__ import annotations

from typing import Any

from nudge_integrations.common.arrays import unit_rows
from nudge_integrations.embedding import as_embedder
from nudge_integrations.errors import DataError
from nudge_integrations.questions.filters import alike
from nudge_integrations.questions.generating import GeneratedQuestions
from nudge_integrations.relevance import RelevanceDataset

_FEWEST = 10


def near_duplicates(
    dataset: RelevanceDataset, embed_model: Any, least: float = 0.9
) -> list[list[str]]:
    """Groups of questions that say nearly the same, to be kept together by a split.

    Args:
        dataset: Questions, such as those of a click log.
        embed_model: Whatever `Embedder` takes, or an `Embedder`.
        least: Cosine from which on two questions are the same one.

    Returns:
        Groups of query ids, for `dataset.split(together=...)`.
    """
    names = list(dataset.queries)
    vectors = as_embedder(embed_model).embed_queries(
        [dataset.queries[name] for name in names], names
    )
    return alike(names, unit_rows(vectors), least)


def train_and_test(
    generated: GeneratedQuestions, test_share: float, seed: int
) -> tuple[RelevanceDataset, RelevanceDataset | None]:
    """Questions to tune on, and questions for the report alone; none of those where there are few.

    Raises:
        DataError: `test_share` is below 0, or 1 or more.
    """
    if not 0 <= test_share < 1:
        raise DataError(f"test_share={test_share!r} must be at least 0 and below 1")
    if test_share == 0 or len(generated.dataset) < _FEWEST:
        return generated.dataset, None
    train, test = generated.split((1 - test_share, test_share), seed=seed)
    return train, test
