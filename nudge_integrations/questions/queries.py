"""A log of questions without answers: a language model grades what a search finds for them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nudge_integrations.common.arrays import unit_rows
from nudge_integrations.common.files import text_hash
from nudge_integrations.common.text import described
from nudge_integrations.common.topk import search
from nudge_integrations.embedding import as_embedder
from nudge_integrations.errors import DataError
from nudge_integrations.questions.calls import call_options
from nudge_integrations.questions.chat import as_chat
from nudge_integrations.questions.judging import LLMJudge
from nudge_integrations.questions.ledger import Ledger
from nudge_integrations.questions.report import Usage
from nudge_integrations.relevance import RelevanceDataset, text_key
from nudge_integrations.relevance.lexical import Lexical
from nudge_integrations.relevance.records import Record, records_of

_log = logging.getLogger(__name__)

_ORDER, _OTHER_ORDER = 1, 2
_FEWEST_AGAIN = 10

Found = list[tuple[str, str]]
"""Ids and texts of documents, best first."""
Retrieve = Callable[[str], Found]


@dataclass(frozen=True)
class JudgedQueries:
    """Judgments of a language model, and how far they can be trusted. Printed, it says so.

    Attributes:
        dataset: The queries, and a judgment for every document that was shown.
        queries: How many different ones there were.
        unanswered: Those for which nothing that was found is an answer.
        shown: Documents that were graded, over all queries.
        agreement: Share of equal grades where a sample was graded twice in another order; None
            where nothing was graded twice.
        kappa: The same beyond chance (Cohen's kappa): 1 is perfect, 0 is chance.
        usage: Requests, tokens, money, failures.
    """

    dataset: RelevanceDataset
    queries: int
    unanswered: tuple[str, ...]
    shown: int
    agreement: float | None
    kappa: float | None
    usage: Usage

    def __str__(self) -> str:
        lines = [
            f"{len(self.dataset.judged_queries):,} of {self.queries:,} queries have an answer "
            f"among {self.shown:,} graded documents"
        ]
        if self.agreement is not None and self.kappa is not None:
            lines.append(
                f"  graded again in another order: {self.agreement:.0%} of grades equal "
                f"(kappa {self.kappa:.2f})"
            )
        return "\n".join([*lines, *self.usage.lines()])


def judge_queries(
    queries: Any,
    store_or_retriever: Any,
    llm: Any,
    depth: int = 20,
    *,
    deepest: int = 200,
    embed_model: Any = None,
    again: float = 0.1,
    **calls: Any,
) -> JudgedQueries:
    """Turn questions without known answers into judgments, by a language model.

    For each question the first documents of a search are graded by the model: 2 answers it, 1
    partly, 0 does not. Where all texts are at hand, half of them come from a search by words
    (BM25), which finds what the vectors miss. Answers are kept on disk as they come, so that a
    second call pays for nothing twice. A hundred queries at a depth of 20 were about 0.7 million
    tokens read on a course FAQ.

    Args:
        queries: Texts, a mapping from id to text, or a `RelevanceDataset`. Equal texts are asked
            once.
        store_or_retriever: Where to search: a retriever or vector store of LangChain, a retriever
            or index of LlamaIndex, a function from query to documents or nodes, or, with
            `embed_model`, documents, nodes, a mapping from id to text, or whatever
            `nudge_integrations.stores.open_store` opens.
        llm: A LangChain chat model, a LlamaIndex `LLM`, or a function from prompt to answer.
        depth: Documents to grade for each query at once.
        deepest: Queries without an answer among these are looked at on, `depth` documents at a
            time, up to so many: what a search finds late is what tuning learns most from.
        embed_model: The embedding model, to search documents or a live store.
        again: Share of the queries (at least ten of them) that is graded twice, to tell how much
            the model agrees with itself; 0 for none.
        **calls: As for `generate_questions`: `max_cost`, `price_per_million`, `checkpoint`, ...

    Raises:
        DataError: No queries, nothing to search in, or no query with an answer.
        NudgeError: The model refuses every request, or its server is down.
    """
    asked = _asked(queries)
    deepest = max(depth, deepest)
    if depth < 1 or not 0 <= again <= 1:
        raise DataError(f"depth={depth!r} must be 1 or more, and again={again!r} from 0 to 1")
    options = call_options(calls, inspect.signature(judge_queries).parameters)
    chat = as_chat(llm, options.structured)
    corpus, retrieve = _searcher(store_or_retriever, embed_model, list(asked.values()), deepest)
    texts: dict[str, str] = {}
    pools = []
    for query in asked.values():
        found = [(name, text) for name, text in retrieve(query) if text.strip()][:deepest]
        texts.update(found)
        pools.append((query, [name for name, _ in found]))
    places = [place for place, (_, names) in enumerate(pools) if names]
    if not places:
        raise DataError("the search found no document for any query; is the store filled?")
    usage = Usage(options.price_per_million)
    grades: dict[int, dict[str, int]] = {place: {} for place in places}
    with Ledger(options.place(chat.lasting)) as ledger:
        judge = LLMJudge(chat, texts, ledger, options, usage)
        for start in range(0, deepest, depth):
            # Answers that a search finds late teach most, so those without one are looked at on.
            open_ = [row for row in places if not any(grades[row].values())]
            shown = {row: pools[row][1][start : start + depth] for row in open_}
            rows = [row for row, names in shown.items() if names]
            found_now = judge.grades([(pools[row][0], shown[row]) for row in rows], _ORDER)
            for row, each in zip(rows, found_now, strict=True):
                grades[row].update(each)
        count = min(len(places), max(_FEWEST_AGAIN, round(again * len(places)))) if again else 0
        some = places[:: max(1, len(places) // count)][:count] if count else []
        first = [(pools[row][0], pools[row][1][:depth]) for row in some]
        twice = judge.grades(first, _OTHER_ORDER)
    pairs = [
        (grades[row][name], grade)
        for row, each in zip(some, twice, strict=True)
        for name, grade in each.items()
        if name in grades[row]
    ]
    qrels = {name: grades.get(row, {}) for row, name in enumerate(asked)}
    unanswered = tuple(name for name, judged in qrels.items() if not any(judged.values()))
    if len(unanswered) == len(asked):
        raise DataError(
            f"{chat.name} found no answer to any of {len(asked)} queries among what the search "
            f"found{usage.first_failure()}; is it the right store?"
        )
    agreement, kappa = _agreement(pairs)
    judged = JudgedQueries(
        RelevanceDataset(asked, corpus, qrels),
        len(asked),
        unanswered,
        sum(map(len, grades.values())),
        agreement,
        kappa,
        usage,
    )
    _log.info("%s", judged)
    return judged


def _asked(queries: Any) -> dict[str, str]:
    """Query id -> text, each text once."""
    queries = getattr(queries, "queries", queries)
    if isinstance(queries, str) or not isinstance(queries, Iterable):
        raise DataError(f"no queries: {described(queries)}; give a list of texts")
    if not isinstance(queries, Mapping):
        queries = {f"l-{text_hash(text_key(str(text)))[:16]}": text for text in queries}
    first: dict[str, str] = {}
    for name, text in queries.items():
        if not isinstance(text, str):
            raise DataError(f"query {name!r} is {described(text)}; a query is a text")
        if text.strip():
            first.setdefault(text_key(text), name)
    if not first:
        raise DataError("there are no queries to judge; give a list of texts")
    return {name: queries[name] for name in first.values()}


def _searcher(
    source: Any, embed_model: Any, queries: list[str], depth: int
) -> tuple[dict[str, str], Retrieve]:
    """Texts of the whole corpus where it is in hand, and a search."""
    for name, make in _RETRIEVERS.items():
        if hasattr(source, name):
            return {}, make(source, depth)
    if callable(source):
        return {}, lambda query: _documents(source(query))
    if embed_model is None:
        raise DataError(f"embed_model is needed to search {described(source)}; or give a retriever")
    records = records_of(source, stores=True)
    if not records:
        raise DataError("there are no documents to search in")
    embedder = as_embedder(embed_model)
    vectors = unit_rows(
        embedder.embed_documents([each.text for each in records], [each.id for each in records])
    )
    rows, _ = search(unit_rows(embedder.embed_queries(queries)), vectors, min(depth, len(records)))
    near = dict(zip(queries, rows.tolist(), strict=True))
    words = Lexical(each.shown for each in records)

    def retrieve(query: str) -> Found:
        both = zip(near[query], _padded(words.search(query, depth), depth), strict=False)
        mixed = dict.fromkeys(row for pair in both for row in pair if row is not None)
        return [(records[row].id, records[row].shown) for row in [*mixed, *near[query]]][:depth]

    in_hand = isinstance(source, (Mapping, Sequence)) and not isinstance(source, str)
    return _corpus(records) if in_hand or hasattr(source, "corpus") else {}, retrieve


def _corpus(records: Sequence[Record]) -> dict[str, str]:
    return {each.id: each.text for each in records}


def _padded(rows: list[int], size: int) -> list[int | None]:
    return [*rows, *[None] * (size - len(rows))]


def _langchain_store(store: Any, depth: int) -> Retrieve:
    return lambda query: _documents(store.similarity_search(query, k=depth))


def _langchain_retriever(retriever: Any, _: int) -> Retrieve:
    return lambda query: _documents(retriever.invoke(query))


def _llama_index(retriever: Any, _: int) -> Retrieve:
    return lambda query: _documents(retriever.retrieve(query))


def _index(index: Any, depth: int) -> Retrieve:
    return _llama_index(index.as_retriever(similarity_top_k=depth), depth)


# By a method of each: LangChain's stores have `as_retriever` too, and come first.
_RETRIEVERS: Mapping[str, Callable[[Any, int], Retrieve]] = {
    "similarity_search": _langchain_store,
    "retrieve": _llama_index,
    "as_retriever": _index,
    "invoke": _langchain_retriever,
}


def _documents(found: Iterable[Any]) -> Found:
    """Documents, nodes, or pairs of id and text."""
    shown: Found = []
    for each in found:
        node = getattr(each, "node", each)
        if isinstance(node, tuple):
            name, text = node
        elif hasattr(node, "node_id"):
            name, text = node.node_id, node.get_content(metadata_mode="none")
        else:
            name = getattr(node, "id", None) or getattr(node, "metadata", {}).get("_id")
            text = getattr(node, "page_content", "")
        if not name:
            raise DataError(
                f"the search found a document without an id ({text[:40]!r}); judgments name "
                "documents by id, so give each one"
            )
        shown.append((str(name), str(text)))
    return shown


def _agreement(pairs: Sequence[tuple[int, int]]) -> tuple[float | None, float | None]:
    """Share of equal grades, and Cohen's kappa."""
    if not pairs:
        return None, None
    same = sum(one == two for one, two in pairs) / len(pairs)
    chance = (
        sum(
            sum(one == grade for one, _ in pairs) * sum(two == grade for _, two in pairs)
            for grade in (0, 1, 2)
        )
        / len(pairs) ** 2
    )
    return same, 1.0 if chance == 1 else (same - chance) / (1 - chance)
