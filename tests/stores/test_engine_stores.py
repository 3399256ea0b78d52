"""A vector store that an engine filled with tuned vectors counts as tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import text_of
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.schema import TextNode
from world import World, world

from nudge_integrations import NudgeC, RelevanceDataset
from nudge_integrations.stores import open_store, revert, status, tune


class Table(Embeddings):
    """A vector for each text of a world."""

    def __init__(self, data: World) -> None:
        self.known = {text_of(name): v for name, v in zip(data.ids, data.vectors, strict=True)}
        self.known |= {f"question {name}": vector for name, vector in data.queries.items()}

    def embed_query(self, text: str) -> list[float]:
        # A model is probed with a text of this package.
        return list(self.known.get(text, np.ones(24)).tolist())

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


class TableEmbedding(BaseEmbedding):
    table: Any

    def _get_text_embedding(self, text: str) -> list[float]:
        return list(self.table.embed_query(text))

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def engine_of(framework: str, data: World) -> Any:
    judged = data.dataset()
    corpus = {name: text_of(name) for name in data.ids}
    whole = RelevanceDataset(judged.queries, corpus, judged.qrels)
    options = {"gamma": 0.4, "method": NudgeC(), "cache": False, "show_progress": False}
    if framework == "langchain":
        from nudge_integrations.langchain import NudgeFinetuneEngine as LangChainEngine

        documents = [Document(id=name, page_content=text) for name, text in corpus.items()]
        return LangChainEngine(whole, embeddings=Table(data), documents=documents, **options)
    from nudge_integrations.llama_index import NudgeFinetuneEngine

    nodes = [TextNode(id_=name, text=text) for name, text in corpus.items()]
    model = TableEmbedding(table=Table(data))
    return NudgeFinetuneEngine(whole, embed_model=model, nodes=nodes, **options)


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_tuning_it_again_starts_from_the_base_vectors(framework: str, tmp_path: Path) -> None:
    data = world()
    engine = engine_of(framework, data)
    engine.finetune()
    base = dict(zip(engine.ids, engine.base_embeddings, strict=True))
    held = engine.get_finetuned_vector_store()
    told = status(held)
    moved = (engine.base_embeddings != engine.finetuned_embeddings).any(axis=1).sum()
    assert (told.state, told.tuned) == ("tuned", moved)
    assert "an engine that filled the store" in str(told)
    assert status(engine.get_base_vector_store()).state == "untuned"
    if framework == "langchain":
        held.save(tmp_path / "saved")
        held = type(held).load(tmp_path / "saved", held.embeddings)
    else:
        held.persist(str(tmp_path / "saved.json"))
        held = type(held).from_persist_path(str(tmp_path / "saved.json"))
    assert status(held).tuned == moved
    given = {"embed_query": data.embed, "gamma": 0.4, "show_progress": False}
    plan = tune(held, data.dataset(), **given)
    fresh = tune(engine.get_base_vector_store(), data.dataset(), **given)
    assert plan.vectors().keys() == fresh.vectors().keys()
    for name, vector in fresh.vectors().items():
        np.testing.assert_array_equal(plan.vectors()[name], vector)
    plan.apply()
    revert(held, show_progress=False)
    assert status(held).state == "untuned"
    for name, vector in open_store(held).read(engine.ids).items():
        np.testing.assert_array_equal(vector, base[name])


def test_reverting_it_by_the_run_itself_still_works() -> None:
    data = world()
    engine = engine_of("langchain", data)
    engine.finetune()
    held = engine.get_finetuned_vector_store()
    assert held.revert(engine.tuned) == []
    assert status(held).state == "untuned"
    base = dict(zip(engine.ids, engine.base_embeddings, strict=True))
    for name, vector in open_store(held).read(engine.ids).items():
        np.testing.assert_array_equal(vector, base[name])
