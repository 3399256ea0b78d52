from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from embedding_fakes import CountingEncoder, CountingLangChain, CountingLlamaIndex
from langchain_core.embeddings import DeterministicFakeEmbedding

from nudge_integrations.embedding import Embedder, as_encoder
from nudge_integrations.errors import DataError

TEXTS = ["How do I undo a run?", "A run is undone with revert.", "Vectors move a little."]


class Tuned:
    """The shape of this package's tuned models: a method on the class leads to the base."""

    def __init__(self, base: Any) -> None:
        self.base = base

    def nudge_base_model(self) -> Any:
        return self.base


class QuacksLikeLangChain:
    def embed_query(self, text: str) -> list[float]:
        return [1.0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[1.0]] * len(texts)


def test_sentence_transformers_vectors_are_the_models_own(minilm: Any) -> None:
    encoder = as_encoder(minilm)
    # This model has no prompts; before 5.0 the library has one method for all texts.
    queries = getattr(minilm, "encode_query", minilm.encode)(TEXTS)
    documents = getattr(minilm, "encode_document", minilm.encode)(TEXTS)
    np.testing.assert_array_equal(encoder.encode_queries(TEXTS), queries)
    np.testing.assert_array_equal(encoder.encode_documents(TEXTS), documents)


@pytest.mark.parametrize(
    "prompts",
    [
        {"query": "query: ", "document": "passage: "},
        {"query": "query: ", "passage": "passage: "},
    ],
    ids=["document", "passage"],
)
@pytest.mark.parametrize("has_methods", [True, False], ids=["current", "before-5"])
def test_prompts_of_the_model_are_used(
    fresh_minilm: Any, prompts: dict[str, str], has_methods: bool
) -> None:
    model = fresh_minilm()
    model.prompts = prompts
    if not has_methods:
        model.encode_query = model.encode_document = None
    encoder = as_encoder(model)
    plain = fresh_minilm()
    queries = np.asarray(encoder.encode_queries(TEXTS))
    documents = np.asarray(encoder.encode_documents(TEXTS))
    np.testing.assert_allclose(queries, plain.encode([f"query: {t}" for t in TEXTS]), atol=1e-6)
    np.testing.assert_allclose(documents, plain.encode([f"passage: {t}" for t in TEXTS]), atol=1e-6)
    assert np.abs(queries - documents).max() > 0.01


def test_llama_index_vectors_are_the_models_own() -> None:
    model = CountingLlamaIndex()
    encoder = as_encoder(model)
    assert encoder.encode_queries(TEXTS) == [model.get_query_embedding(text) for text in TEXTS]
    assert encoder.encode_documents(TEXTS) == [model.get_text_embedding(text) for text in TEXTS]


@pytest.mark.parametrize("model", [CountingLangChain(), DeterministicFakeEmbedding(size=6)])
def test_langchain_vectors_are_the_models_own(model: Any) -> None:
    encoder = as_encoder(model)
    assert encoder.encode_queries(TEXTS) == [model.embed_query(text) for text in TEXTS]
    assert encoder.encode_documents(TEXTS) == model.embed_documents(TEXTS)


def test_an_encoder_is_returned_as_it_is() -> None:
    encoder = CountingEncoder()
    assert as_encoder(encoder) is encoder


def test_a_tuned_model_is_taken_back_to_its_base() -> None:
    base = CountingEncoder()
    assert as_encoder(Tuned(Tuned(base))) is base


def test_only_a_method_of_the_class_marks_a_tuned_model() -> None:
    stand_in = SimpleNamespace(nudge_base_model=lambda: CountingEncoder())
    with pytest.raises(DataError, match="SimpleNamespace"):
        as_encoder(stand_in)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (QuacksLikeLangChain(), "QuacksLikeLangChain"),
        (MagicMock(), "MagicMock"),
        (CountingLangChain, "the class CountingLangChain"),
        (None, "NoneType"),
        (lambda texts: texts, "function"),
    ],
    ids=["quacks", "mock", "class", "none", "function"],
)
def test_an_unknown_object_is_refused_by_its_type(model: Any, named: str) -> None:
    with pytest.raises(DataError, match=rf"{named}.*BaseEmbedding.*Embeddings.*Encoder"):
        as_encoder(model)


@pytest.mark.parametrize("option", [{"device": "cpu"}, {"half_precision": True}], ids=str)
@pytest.mark.parametrize(
    "model", [CountingLlamaIndex(), CountingLangChain(), CountingEncoder()], ids=["li", "lc", "own"]
)
def test_an_option_without_effect_is_refused(model: Any, option: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"{next(iter(option))}=.* has no effect"):
        as_encoder(model, **option)


@pytest.mark.parametrize("option", [{"batch_size": 2}, {"workers": 2}], ids=str)
def test_an_encoder_carries_its_own_options(option: dict[str, int]) -> None:
    with pytest.raises(DataError, match=r"has no effect.*set it on the Encoder"):
        as_encoder(CountingEncoder(), **option)


def test_workers_are_refused_for_a_local_model(minilm: Any) -> None:
    with pytest.raises(DataError, match="workers=2 has no effect"):
        as_encoder(minilm, workers=2)


@pytest.mark.parametrize("option", ["batch_size", "workers"])
def test_counts_below_one_are_refused(option: str) -> None:
    with pytest.raises(DataError, match=f"{option} must be a whole number, at least 1, got 0"):
        as_encoder(CountingLangChain(), **{option: 0})


def test_half_precision_needs_cuda(minilm: Any) -> None:
    with pytest.raises(DataError, match=r"half_precision=True needs a CUDA device.*'cpu'"):
        as_encoder(minilm, half_precision=True)


def test_the_batch_size_reaches_the_model(minilm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = type(minilm).forward

    def forward(self: Any, features: Any, **options: Any) -> Any:
        sizes.append(len(features["input_ids"]))
        return real(self, features, **options)

    monkeypatch.setattr(type(minilm), "forward", forward)
    Embedder(minilm, batch_size=2, cache=False, show_progress=False).embed_documents(TEXTS)
    assert sizes == [2, 1]


def test_a_framework_model_is_called_with_batches_of_its_own_size() -> None:
    assert as_encoder(CountingLlamaIndex(embed_batch_size=7)).batch_size == 7
    assert as_encoder(CountingLlamaIndex(embed_batch_size=7), batch_size=3).batch_size == 3
    assert as_encoder(CountingLangChain(), batch_size=3).batch_size == 3


WITHOUT = """
import sys
for name in ("sentence_transformers", "transformers", "huggingface_hub", "tokenizers"):
    sys.modules[name] = None  # an import of it fails, as where it is not installed
from nudge_integrations import RelevanceDataset
from nudge_integrations.errors import MissingExtraError
{model}
data = RelevanceDataset({{"q": "1 or 2?"}}, {{"1": "one", "2": "two"}}, {{"q": {{"2": 1}}}})
for method in ("c", "n"):
    engine = NudgeFinetuneEngine(data, model, gamma=0.1, method=method, cache=False)
    engine.finetune()
    assert engine.tuned.method == f"nudge-{{method}}"
    assert engine.get_finetuned_model() is not None
    assert engine.get_finetuned_vector_store() is not None
try:
    NudgeFinetuneEngine(data)
except MissingExtraError as error:
    print(error)
"""
MODELS = {
    "langchain": """
from langchain_core.embeddings import DeterministicFakeEmbedding
from nudge_integrations.langchain import NudgeFinetuneEngine
model = DeterministicFakeEmbedding(size=8)
""",
    "llama_index": """
from llama_index.core import MockEmbedding
from nudge_integrations.llama_index import NudgeFinetuneEngine
model = MockEmbedding(embed_dim=8)
""",
}


@pytest.mark.parametrize("framework", MODELS)
def test_a_model_of_a_framework_needs_no_model_library(framework: str) -> None:
    code = WITHOUT.format(model=MODELS[framework])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    assert "pip install 'nudge-integrations[sentence-transformers]'" in done.stdout
    assert "or pass an embedding model of your framework" in done.stdout
