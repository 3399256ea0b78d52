from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedding_fakes import (
    CountingEncoder,
    CountingLangChain,
    CountingLlamaIndex,
    UnidentifiedEncoder,
    matrix_of,
    vector_of,
)
from hypothesis import given
from hypothesis import strategies as st

from nudge_integrations.embedding import Embedder
from nudge_integrations.embedding.cache import FILE_NAME
from nudge_integrations.errors import CorruptFileError, DataError, ModelMismatchError, NudgeError

ROOT = Path(__file__).parents[2]
TEXTS = [f"text {number}" for number in range(10)]
IDS = [f"doc-{number}" for number in range(10)]

fakes = pytest.mark.parametrize(
    "kind", [CountingLlamaIndex, CountingLangChain, CountingEncoder], ids=["li", "lc", "own"]
)


def quiet(model: Any, **options: Any) -> Embedder:
    return Embedder(model, **{"show_progress": False, **options})


@fakes
def test_rows_are_the_models_vectors_in_the_order_of_the_texts(kind: Any) -> None:
    embedder = quiet(kind())
    queries, documents = embedder.embed_queries(TEXTS), embedder.embed_documents(TEXTS)
    np.testing.assert_array_equal(queries, matrix_of("query", TEXTS))
    np.testing.assert_array_equal(documents, matrix_of("document", TEXTS))
    assert documents.dtype == np.float32
    assert documents.flags.c_contiguous


def test_minilm_gives_unit_vectors_of_its_own(minilm: Any) -> None:
    vectors = quiet(minilm).embed_documents(TEXTS)
    np.testing.assert_allclose(vectors, minilm.encode(TEXTS), atol=1e-6)


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=30), st.integers(1, 7))
def test_each_text_is_embedded_once_and_stands_at_all_its_places(
    texts: list[str], batch_size: int
) -> None:
    texts = texts + texts[::-2]
    encoder = CountingEncoder(batch_size=batch_size)
    vectors = quiet(encoder, cache=False).embed_documents(texts)
    np.testing.assert_array_equal(vectors, matrix_of("document", texts))
    assert sorted(encoder.seen) == sorted(set(texts))


@fakes
def test_a_second_run_embeds_nothing(kind: Any) -> None:
    first = quiet(kind())
    queries, documents = first.embed_queries(TEXTS), first.embed_documents(TEXTS)
    again = kind()
    second = quiet(again)
    np.testing.assert_array_equal(second.embed_queries(TEXTS), queries)
    np.testing.assert_array_equal(second.embed_documents(TEXTS[::-1]), documents[::-1])
    assert again.seen == []


def test_a_second_run_of_minilm_embeds_nothing(
    minilm: Any, fresh_minilm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = quiet(minilm).embed_documents(TEXTS)
    again = fresh_minilm()
    monkeypatch.setattr(again, "forward", None)
    np.testing.assert_array_equal(quiet(again).embed_documents(TEXTS), vectors)


def test_queries_and_documents_are_cached_apart() -> None:
    quiet(CountingEncoder()).embed_queries(TEXTS)
    again = CountingEncoder()
    quiet(again).embed_documents(TEXTS)
    assert sorted(again.seen) == sorted(TEXTS)


def test_only_new_texts_are_embedded() -> None:
    quiet(CountingEncoder()).embed_documents(TEXTS[:7])
    again = CountingEncoder()
    vectors = quiet(again).embed_documents(TEXTS)
    assert again.seen == TEXTS[7:]
    np.testing.assert_array_equal(vectors, matrix_of("document", TEXTS))


def fail_after(calls: int) -> Any:
    left = iter(range(calls))

    def on_call(texts: list[str], vectors: Any) -> Any:
        if next(left, None) is None:
            raise ConnectionError("quota exceeded")
        return vectors

    return on_call


def test_a_run_that_failed_continues(caplog: pytest.LogCaptureFixture) -> None:
    failing = CountingEncoder(batch_size=2, on_call=fail_after(3))
    with pytest.raises(ConnectionError, match="quota exceeded"):
        quiet(failing).embed_documents(TEXTS)
    assert "6 of 10 vectors are kept" in caplog.text
    again = CountingEncoder(batch_size=2)
    vectors = quiet(again).embed_documents(TEXTS)
    assert again.seen == TEXTS[6:]
    np.testing.assert_array_equal(vectors, matrix_of("document", TEXTS))


KILLED = """
import sys, time
sys.path.insert(0, "tests/embedding")
from embedding_fakes import CountingEncoder
from nudge_integrations.embedding import Embedder

def on_call(texts, vectors):
    print(*texts, sep="\\n", flush=True)
    time.sleep(float(sys.argv[1]))
    return vectors

texts = [f"text-{number}" for number in range(40)]
encoder = CountingEncoder(batch_size=2, on_call=on_call)
vectors = Embedder(encoder, show_progress=False).embed_documents(texts)
assert vectors.shape == (40, 8)
"""


def test_a_killed_run_continues(cache_dir: Path) -> None:
    environment = {**os.environ, "NUDGE_CACHE_DIR": str(cache_dir)}
    command = [sys.executable, "-c", KILLED]
    victim = subprocess.Popen(
        [*command, "0.3"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert victim.stdout is not None
    begun = [victim.stdout.readline().strip() for _ in range(12)]
    victim.kill()
    victim.wait()
    rerun = subprocess.run(
        [*command, "0"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    embedded = rerun.stdout.split()
    texts = [f"text-{number}" for number in range(40)]
    # The last batch was under way; the five before it, each slower than a commit, were kept.
    assert begun == texts[:12]
    assert embedded == texts[10:]


def test_threads_give_the_same_rows() -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def on_call(texts: list[str], vectors: Any) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        # Later batches answer first.
        time.sleep(0.05 if TEXTS[0] in texts else 0.01)
        with lock:
            running -= 1
        return vectors

    encoder = CountingEncoder(batch_size=2, workers=3, on_call=on_call)
    vectors = quiet(encoder, cache=False).embed_documents(TEXTS)
    np.testing.assert_array_equal(vectors, matrix_of("document", TEXTS))
    assert 1 < most <= 3


def test_threads_that_were_under_way_are_kept_when_one_fails() -> None:
    failed = threading.Event()

    def on_call(texts: list[str], vectors: Any) -> Any:
        if TEXTS[0] in texts:
            failed.set()
            raise ConnectionError("quota exceeded")
        failed.wait(timeout=10)
        time.sleep(0.05)
        return vectors

    failing = CountingEncoder(batch_size=1, workers=2, on_call=on_call)
    with pytest.raises(ConnectionError, match="quota exceeded"):
        quiet(failing).embed_documents(TEXTS)
    again = CountingEncoder()
    quiet(again).embed_documents(TEXTS)
    assert failing.seen
    assert len(failing.seen) < len(TEXTS) - 1
    assert sorted(again.seen) == sorted(set(TEXTS) - set(failing.seen))


def test_no_more_calls_are_made_after_unusable_vectors() -> None:
    def on_call(texts: list[str], vectors: Any) -> Any:
        time.sleep(0.01)
        return vectors * np.nan

    encoder = CountingEncoder(batch_size=1, workers=2, on_call=on_call)
    many = [f"text {number}" for number in range(200)]
    with pytest.raises(DataError, match="NaN") as caught:
        quiet(encoder).embed_documents(many)
    calls = len(encoder.seen)
    time.sleep(0.1)
    assert caught.value is not None
    assert len(encoder.seen) == calls < 50


def spoiled(answer: Any) -> CountingEncoder:
    """A model whose second batch of four goes wrong."""

    def on_call(texts: list[str], vectors: Any) -> Any:
        return answer(vectors) if TEXTS[4] in texts else vectors

    return CountingEncoder(batch_size=4, on_call=on_call)


def with_row(vectors: Any, value: Any) -> list[Any]:
    rows = vectors.tolist()
    rows[1] = value
    return rows


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda vectors: vectors[:-1], r"3 came back for 4 texts \('doc-4', 'doc-5', 'doc-6' and"),
        (lambda vectors: np.vstack([vectors, vectors]), "8 came back for 4 texts .'doc-4'"),
        (lambda vectors: with_row(vectors, [1.0]), "'doc-5' got 1 dimensions, others 8"),
        (lambda vectors: with_row(vectors, None), "'doc-5' got no vector"),
        (lambda vectors: with_row(vectors, ["a"] * 8), "'doc-5' got no vector"),
        (lambda vectors: with_row(vectors, [[1.0], [1.0, 2.0]]), "'doc-5' got no vector"),
        (lambda vectors: with_row(vectors, [float("nan")] * 8), "NaN or infinity in row 'doc-5'"),
        (lambda vectors: with_row(vectors, [float("inf")] * 8), "NaN or infinity in row 'doc-5'"),
        (lambda vectors: with_row(vectors, [0.0] * 8), "row 'doc-5' has no direction"),
        (lambda vectors: vectors[:, :5], "5 dimensions here and 8 before"),
        (lambda vectors: None, "NoneType, not vectors"),
        (lambda vectors: iter(vectors), "iterator, not vectors"),
        (lambda vectors: vectors[:, 0], "2D"),
    ],
    ids=[
        "too-few",
        "too-many",
        "ragged",
        "none-row",
        "strings",
        "nested",
        "nan",
        "inf",
        "zero",
        "narrower",
        "none",
        "iterator",
        "flat",
    ],
)
def test_unusable_vectors_are_named_and_never_cached(answer: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        quiet(spoiled(answer)).embed_documents(TEXTS, ids=IDS)
    assert "'counting-encoder'" in str(caught.value)
    again = CountingEncoder()
    quiet(again).embed_documents(TEXTS)
    assert again.seen == TEXTS[4:]


def test_without_ids_the_position_is_named() -> None:
    with pytest.raises(DataError, match="in row '5'"):
        quiet(spoiled(lambda vectors: with_row(vectors, [np.nan] * 8))).embed_queries(TEXTS)


@pytest.mark.parametrize(
    ("texts", "ids", "said"),
    [
        ([], None, "no documents to embed"),
        (["a", " \n", "b"], ["x", "y", "z"], "documents 'y' is empty"),
        (["a", ""], None, "documents '1' is empty"),
        (["a", 3], ["x", "y"], "document 'y' is no text but a int"),
        (["a", None], None, "document '1' is no text but a NoneType"),
        (["a", "b"], ["x"], "1 ids for 2 documents"),
        ("a text", None, "goes in as a list"),
    ],
    ids=["none", "blank", "empty", "number", "null", "ids", "string"],
)
def test_texts_that_cannot_be_embedded_are_named(texts: Any, ids: Any, said: str) -> None:
    encoder = CountingEncoder()
    with pytest.raises(DataError, match=said):
        quiet(encoder).embed_documents(texts, ids=ids)
    assert encoder.seen == []


@pytest.mark.parametrize("off", [False, None])
def test_without_a_cache_nothing_is_written(off: Any, cache_dir: Path) -> None:
    embedder = quiet(CountingEncoder(), cache=off)
    embedder.embed_documents(TEXTS)
    assert embedder.dimension == 8
    assert not cache_dir.exists()


def test_a_path_chooses_where_vectors_are_kept(tmp_path: Path, cache_dir: Path) -> None:
    quiet(CountingEncoder(), cache=tmp_path / "mine").embed_documents(TEXTS)
    assert (tmp_path / "mine" / FILE_NAME).exists()
    assert not cache_dir.exists()


@pytest.mark.parametrize(("explicit", "level"), [(False, logging.INFO), (True, logging.WARNING)])
def test_a_model_that_nothing_identifies_is_not_cached_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, cache_dir: Path, explicit: bool, level: int
) -> None:
    caplog.set_level(logging.INFO, "nudge_integrations")
    embedder = quiet(UnidentifiedEncoder(), cache=tmp_path / "mine" if explicit else True)
    embedder.embed_documents(TEXTS)
    embedder.embed_documents(TEXTS)
    said = [record for record in caplog.records if "'nameless'" in record.getMessage()]
    assert [record.levelno for record in said] == [level]
    assert not cache_dir.exists()
    assert not (tmp_path / "mine").exists()


def test_an_unwritable_folder_is_refused_before_anything_is_embedded(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    encoder = CountingEncoder()
    with pytest.raises(NudgeError, match="cannot keep vectors"):
        quiet(encoder, cache=tmp_path / "file").embed_documents(TEXTS)
    assert encoder.seen == []


def test_a_damaged_cache_is_refused_before_anything_is_embedded(cache_dir: Path) -> None:
    cache_dir.mkdir()
    (cache_dir / FILE_NAME).write_bytes(b"no database at all" * 100)
    encoder = CountingEncoder()
    with pytest.raises(CorruptFileError, match="delete it"):
        quiet(encoder).embed_documents(TEXTS)
    assert encoder.seen == []


def test_another_model_behind_the_same_name_is_noticed() -> None:
    assert quiet(CountingEncoder()).fingerprint.digest == "counting-encoder-1"
    same = quiet(CountingEncoder(on_call=lambda texts, vectors: vectors * (1 + 1e-4)))
    assert same.fingerprint.dimension == 8
    swapped = CountingEncoder(on_call=lambda texts, vectors: np.roll(vectors, 1, axis=1))
    with pytest.raises(ModelMismatchError, match=r"'counting-encoder'.*delete .*cache=False"):
        _ = quiet(swapped).fingerprint
    wider = CountingEncoder(dimension=9)
    with pytest.raises(ModelMismatchError, match="counting-encoder"):
        _ = quiet(wider).dimension
    assert quiet(swapped, cache=False).dimension == 8


def test_vectors_of_another_dimension_are_not_mixed_with_cached_ones() -> None:
    quiet(CountingEncoder()).embed_documents(TEXTS[:3])
    with pytest.raises(DataError, match="9 dimensions here and 8 before"):
        quiet(CountingEncoder(dimension=9)).embed_documents(TEXTS)


def test_the_fingerprint_is_the_encoders() -> None:
    embedder = quiet(CountingLangChain())
    assert embedder.fingerprint == embedder.encoder.fingerprint
    assert embedder.fingerprint.name == "counting-chain"
    assert embedder.dimension == 8


def test_progress_is_drawn_only_when_wanted_and_needed(capsys: pytest.CaptureFixture[str]) -> None:
    quiet(CountingEncoder()).embed_queries(TEXTS)
    assert capsys.readouterr() == ("", "")
    Embedder(CountingEncoder()).embed_documents(TEXTS)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Embedding documents: 100%" in err
    Embedder(CountingEncoder()).embed_documents(TEXTS)
    assert capsys.readouterr() == ("", "")


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_importing_loads_no_model_library() -> None:
    heavy = "torch transformers sentence_transformers huggingface_hub llama_index langchain_core"
    code = (
        "import sys\n"
        "from nudge_integrations.embedding import Embedder, as_encoder\n"
        "from nudge_integrations.errors import DataError\n"
        "try:\n    as_encoder(object())\nexcept DataError:\n    pass\n"
        f"print([name for name in {heavy.split()} if name in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_a_langchain_model_needs_no_torch_and_no_llama_index() -> None:
    code = (
        "import sys\n"
        "from langchain_core.embeddings import DeterministicFakeEmbedding\n"
        "from nudge_integrations.embedding import Embedder\n"
        "embedder = Embedder(DeterministicFakeEmbedding(size=4), show_progress=False)\n"
        "embedder.embed_documents(['a']), embedder.fingerprint\n"
        "print([name for name in ('torch', 'llama_index') if name in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_vectors_of_the_fakes_differ_by_kind() -> None:
    assert vector_of("query", "a") != vector_of("document", "a")


def test_half_a_surrogate_pair_is_named_before_the_model_sees_it() -> None:
    encoder = CountingEncoder()
    with pytest.raises(DataError, match="document 'd7' has half a surrogate pair at character 3"):
        quiet(encoder).embed_documents(["fine", "bad\ud83d"], ["d6", "d7"])
    assert encoder.seen == []
