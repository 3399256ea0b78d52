"""Documents in, judged questions out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from nudge_integrations.common.arrays import FloatMatrix, checked_count, unit_rows
from nudge_integrations.embedding import as_embedder
from nudge_integrations.errors import DataError
from nudge_integrations.questions.calls import Asking, Call, call_options
from nudge_integrations.questions.chat import Reply
from nudge_integrations.questions.filters import (
    Candidate,
    QuestionFilters,
    Space,
    as_dataset,
    filtered,
)
from nudge_integrations.questions.judging import LLMJudge
from nudge_integrations.questions.ledger import QuestionReport
from nudge_integrations.questions.parsing import read_questions
from nudge_integrations.questions.passages import Passages
from nudge_integrations.questions.prompts import (
    AROUND,
    DEFAULT_KINDS,
    QUESTIONS_SCHEMA,
    Prompt,
)
from nudge_integrations.relevance import RelevanceDataset, text_key

_FEWEST = 10
_BLOCK = 2048

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GeneratedQuestions:
    """Judged questions, and how they came about.

    Attributes:
        dataset: The questions over all documents. Query ids are hashes of the texts.
        report: Counts, costs, and what the filters dropped.
    """

    dataset: RelevanceDataset
    report: QuestionReport

    def split(
        self, fractions: Sequence[float] = (0.8, 0.2), seed: int = 0, by: Any = "query"
    ) -> tuple[RelevanceDataset, ...]:
        """Cut into datasets, such as train and test; see `RelevanceDataset.split`."""
        return self.dataset.split(fractions, seed=seed, by=by)

    def __str__(self) -> str:
        return str(self.report)


def generate_questions(
    documents: Any,
    llm: Any,
    *,
    questions_per_document: int = 3,
    kinds: Sequence[str] = DEFAULT_KINDS,
    examples: Sequence[str] = (),
    prompt: str | None = None,
    max_characters: int = 6000,
    max_documents: int | None = None,
    filters: QuestionFilters | None = None,
    embed_model: Any = None,
    judge: Any = None,
    seed: int = 0,
    **calls: Any,
) -> GeneratedQuestions:
    """Let a language model write the questions that documents answer, and keep the good ones.

    Requests run at once, are made again when they fail, and their answers are kept on disk as they
    come: a run that was killed goes on where it was, and nothing is paid for twice. A time-out is
    the model's own setting (such as `ChatOpenAI(timeout=60)`).

    Examples:
        >>> from nudge_integrations import generate_questions
        >>> def llm(prompt):  # any LangChain chat model, any LlamaIndex LLM, or a function
        ...     return '{"questions": ["How do I undo a tuning?"]}'
        >>> found = generate_questions(
        ...     {"a": "revert() restores what was there."}, llm, checkpoint=False
        ... )
        >>> list(found.dataset.queries.values())
        ['How do I undo a tuning?']

    Args:
        documents: LangChain `Document`s with ids, LlamaIndex nodes, a mapping from id to text, or
            a `RelevanceDataset`.
        llm: A LangChain chat model, a LlamaIndex `LLM`, or a function from prompt to answer.
        questions_per_document: How many to ask for.
        kinds: Kinds of questions, in turn: `"question"`, `"keywords"`, `"situation"`,
            `"paraphrase"`, `"section"` (needs the text around the document: the neighbours with
            the same `metadata["source"]` or parent document).
        examples: Some questions of real users, to write like.
        prompt: Your own rules for the model, instead of ours. Taken as they stand: no formatting.
            The document and the form of the answer are added.
        max_characters: Longer documents are cut there for the model.
        max_documents: Ask about so many only, spread evenly over all.
        filters: Which questions to keep. Left out: `QuestionFilters()`.
        embed_model: The embedding model, for the filters that compare vectors. Left out: these
            are not applied, and the report says so.
        judge: A language model that says which documents answer a question, for those that do not
            find theirs, and with `QuestionFilters(other_answers=True)`. It may be `llm`. Needs
            `embed_model`.
        seed: Another seed asks about other documents under `max_documents`.
        **calls: `concurrency` (16 at once), `requests_per_minute`, `retries`, `max_cost` with
            `price_per_million=(read, written)`, `checkpoint`, `structured`, `show_progress`: see
            `CallOptions`.

    Raises:
        DataError: Documents or arguments that cannot be used, or not one question was left.
        NudgeError: The model refuses every request, or its server is down. What was answered is
            kept.
    """
    passages = Passages.of(documents)
    prompt_ = Prompt(questions_per_document, tuple(kinds), tuple(examples), prompt, max_characters)
    options = call_options(calls, generate_questions)
    chosen = QuestionFilters() if filters is None else filters
    if not isinstance(chosen, QuestionFilters):
        raise DataError(f"filters must be QuestionFilters(...), not {type(chosen).__name__}")
    if judge is not None and embed_model is None:
        raise DataError("judge needs embed_model: it is shown the documents near a question")
    asking = Asking(llm, options)
    by = None if judge is None else LLMJudge(Asking(judge, options, asking), passages.shown)
    if max_documents is not None:
        checked_count(max_documents, "max_documents", 1)
    asked = passages.asked(max_documents, seed)
    with asking:
        requests = _calls(passages, asked, prompt_)
        found = asking.run(requests, len(asked), "Writing questions")
        written = _candidates(passages, found)
        if not written:
            raise DataError(
                f"{asking.name} wrote no usable question for {len(asked)} documents"
                f"{asking.usage.first_failure()}"
            )
        space = _space(passages, written, chosen, embed_model, by, options.show_progress)
        copied = partial(_copied, prompt_, passages)
        result = filtered(written, chosen, space, passages.related, copied)
    if not result.kept:
        worst = max(result.dropped, key=lambda each: each.count)
        raise DataError(
            f"none of {len(written)} questions passed the filters ({worst.name!r} dropped "
            f"{worst.count}): see filters=QuestionFilters(...), or use a larger model"
        )
    skipped = chosen.need_vectors if embed_model is None else []
    report = QuestionReport(
        documents=len(passages.texts),
        asked=len(found),
        fruitless=tuple(name for name in asked if name in found and not found[name]),
        written=len(written),
        dropped=tuple(result.dropped),
        kept=len(result.kept),
        skipped=f"{' and '.join(skipped)} (no embed_model)" if skipped else None,
        usage=asking.usage,
    )
    _log.info("%s", report)
    return GeneratedQuestions(as_dataset(result.kept, passages.texts), report)


async def agenerate_questions(documents: Any, llm: Any, **arguments: Any) -> GeneratedQuestions:
    """`generate_questions` in a thread, so that the event loop goes on; same arguments."""
    return await asyncio.to_thread(partial(generate_questions, documents, llm, **arguments))


def _calls(passages: Passages, asked: Sequence[str], prompt: Prompt) -> Iterator[Call]:
    for name in asked:
        around = passages.around(name) if AROUND in prompt.kinds else ("", "")
        request = prompt.request(passages.shown[name], *around)
        read = partial(_read, request.kinds)
        yield Call(name, request.system, request.user, QUESTIONS_SCHEMA, read, prompt.shots)


def _read(kinds: tuple[str, ...], reply: Reply) -> list[list[str]]:
    """Questions with their kinds, which are known if as many came as were asked for."""
    # More may come, since a small model copies its examples first; those are dropped later.
    found = read_questions(reply.content, 2 * len(kinds))
    known = kinds if len(found) == len(kinds) else ("",) * len(found)
    return [[text, kind] for text, kind in zip(found, known, strict=True)]


def _candidates(passages: Passages, found: dict[str, Any]) -> list[Candidate]:
    return [
        Candidate(text, (name,), kind).also(passages.twins[text_key(passages.shown[name])])
        for name, questions in found.items()
        for text, kind in questions
    ]


def _copied(prompt: Prompt, passages: Passages, each: Candidate) -> bool:
    return prompt.copied(each.text, passages.shown[each.documents[0]])


def _space(
    passages: Passages,
    written: Sequence[Candidate],
    chosen: QuestionFilters,
    embed_model: Any,
    judge: LLMJudge | None,
    show_progress: bool,
) -> Space | None:
    if embed_model is None or not chosen.need_vectors:
        return None
    embedder = as_embedder(embed_model, show_progress=show_progress)

    @cache  # only some filters look at documents, and a corpus can be large
    def documents() -> FloatMatrix:
        return unit_rows(embedder.embed_documents(list(passages.texts.values()), passages.order))

    @cache  # each question is embedded once, whatever the model's cache
    def questions() -> dict[str, Any]:
        texts = list(dict.fromkeys(each.text for each in written))
        return dict(zip(texts, unit_rows(embedder.embed_queries(texts)), strict=True))

    def of(some: Sequence[Candidate]) -> FloatMatrix:
        return np.stack([questions()[each.text] for each in some])

    return Space(passages.order, documents, of, judge)


def alike(names: Sequence[str], vectors: FloatMatrix, least: float) -> list[list[str]]:
    """Groups of two or more names whose vectors are close, directly or through others.

    `vectors` are unit rows, shape `(n, d)`, close from a cosine of `least` on.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = [np.zeros((2, 0), np.int64)]
    for start in range(0, len(names), _BLOCK):
        near = vectors[start : start + _BLOCK] @ vectors[: start + _BLOCK].T >= least
        rows, others = np.nonzero(near)
        pairs.append(np.stack([rows + start, others]))
    ends = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(ends.shape[1], bool), tuple(ends)), shape=(len(names),) * 2)
    groups: dict[int, list[str]] = {}
    for name, group in zip(names, connected_components(graph, directed=False)[1], strict=True):
        groups.setdefault(int(group), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


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
