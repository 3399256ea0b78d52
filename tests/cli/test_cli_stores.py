"""`nudge apply` and `nudge revert`: into a saved store of either framework, and back out."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_fakes import CORPUS, DIMENSION, bytes_of

from nudge_integrations.common.files import load_arrays, text_hash
from nudge_integrations.embedding import ModelFingerprint
from nudge_integrations.tuning.tuned import TunedVectors

RANDOM = np.random.default_rng(0)
IDS = tuple(CORPUS)
VECTORS = RANDOM.normal(size=(len(IDS), DIMENSION)).astype(np.float32)
MOVED = (7, 0, 3)


@pytest.fixture
def tuned() -> TunedVectors:
    """A run that moved three of the documents."""
    rows = list(MOVED)
    return TunedVectors(
        ids=tuple(IDS[row] for row in rows),
        vectors=VECTORS[rows] + np.float32(0.1),
        originals=VECTORS[rows],
        text_hashes=tuple(text_hash(CORPUS[IDS[row]]) for row in rows),
        metric="cosine",
        method="nudge-n",
        step=0.1,
        model=ModelFingerprint("a model", None, VECTORS[0]),
    )


@dataclass
class Framework:
    """How one of the two saves a store, and reads it."""

    kind: str
    save: Callable[[Path, str], Any]
    vectors: Callable[[Path], Any]


def _langchain() -> Framework:
    from langchain_core.documents import Document
    from langchain_core.embeddings import FakeEmbeddings

    from nudge_integrations.langchain import NudgeVectorStore

    def save(folder: Path, metric: str) -> None:
        store = NudgeVectorStore(FakeEmbeddings(size=DIMENSION), metric=metric)
        documents = [
            Document(id=name, page_content=text, metadata={"né": [1, None, "修"]})
            for name, text in CORPUS.items()
        ]
        store.add_embeddings(documents, VECTORS)
        store.save(folder)

    def vectors(folder: Path) -> Any:
        store = NudgeVectorStore.load(folder, FakeEmbeddings(size=DIMENSION))
        return store.get_embeddings(IDS)

    return Framework("langchain vector store", save, vectors)


def _llama_index() -> Framework:
    from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
    from llama_index.core.schema import TextNode

    from nudge_integrations.llama_index import NudgeVectorStore

    def save(folder: Path, metric: str) -> None:
        nodes = [
            TextNode(id_=name, text=text, embedding=vector.tolist(), metadata={"né": [1, None]})
            for (name, text), vector in zip(CORPUS.items(), VECTORS, strict=True)
        ]
        context = StorageContext.from_defaults(vector_store=NudgeVectorStore(metric=metric))
        VectorStoreIndex(nodes, storage_context=context, embed_model=MockEmbedding(DIMENSION))
        context.persist(str(folder))

    def vectors(folder: Path) -> Any:
        return NudgeVectorStore.from_persist_dir(str(folder)).client.get(IDS)

    return Framework("llama_index vector store", save, vectors)


STORE_FILES = ("vector_store.safetensors", "default__vector_store.json")


@pytest.fixture(params=[_langchain, _llama_index], ids=["langchain", "llama-index"])
def framework(request) -> Framework:
    return request.param()


@pytest.fixture
def store(framework, tmp_path) -> Path:
    """A store of all documents that a framework saved."""
    framework.save(tmp_path / "store", "cosine")
    return tmp_path / "store"


@pytest.fixture
def run(tuned, tmp_path) -> Path:
    """The folder of the saved run."""
    return tuned.save(tmp_path / "tuned")


def file_in(folder: Path) -> Path:
    (path,) = [each for each in folder.iterdir() if each.name in STORE_FILES]
    return path


def with_tuned_rows() -> Any:
    expected = VECTORS.copy()
    expected[list(MOVED)] += np.float32(0.1)
    return expected


class TestApply:
    def test_puts_the_tuned_vectors_in_and_touches_no_other(self, nudge, framework, store, run):
        outcome = nudge("apply", "--tuned", run, "--store", store)
        assert (outcome.code, outcome.err) == (0, "")
        assert np.array_equal(framework.vectors(store), with_tuned_rows())

    def test_says_how_many_and_how_to_undo(self, nudge, store, run):
        path = file_in(store)
        assert nudge("apply", "--tuned", run, "--store", store).out.splitlines() == [
            f"{path}: 12 documents, ranked by cosine",
            "Exchanged 3 vectors: each of these documents now has the tuned vector.",
            f"Undo: nudge revert --tuned {run} --store {store}",
        ]

    def test_the_undo_that_it_names_works_with_any_folder(self, nudge, framework, tuned, tmp_path):
        store, run = tmp_path / "a 'store'", tmp_path / "a run"
        framework.save(store, "cosine")
        tuned.save(run)
        before = bytes_of(store)
        out = nudge("apply", "--tuned", run, "--store", store).out
        (command,) = [line for line in out.splitlines() if line.startswith("Undo: nudge ")]
        assert nudge(*shlex.split(command)[2:]).code == 0
        assert bytes_of(store) == before

    def test_takes_the_file_as_well(self, nudge, framework, store, run):
        assert nudge("apply", "--tuned", run, "--store", file_in(store)).code == 0
        assert np.array_equal(framework.vectors(store), with_tuned_rows())

    def test_a_second_time_has_nothing_to_do(self, nudge, store, run):
        nudge("apply", "--tuned", run, "--store", store)
        files = bytes_of(store)
        outcome = nudge("apply", "--tuned", run, "--store", store)
        assert outcome.code == 0
        assert outcome.out.splitlines()[1:] == [
            "Nothing to change.",
            "Left alone, already with the tuned vector: 3 ('d7', 'd0', 'd3')",
        ]
        assert bytes_of(store) == files

    def test_leaves_alone_what_is_not_what_the_run_started_from(
        self, nudge, framework, tuned, store, tmp_path
    ):
        originals = tuned.originals.copy()
        originals[1, 5] = np.nextafter(originals[1, 5], np.float32(1e9))
        run = dataclasses.replace(tuned, ids=("d7", "d0", "gone"), originals=originals).save(
            tmp_path / "tuned"
        )
        outcome = nudge("apply", "--tuned", run, "--store", store)
        assert outcome.code == 0
        assert outcome.out.splitlines()[1:4] == [
            "Exchanged 1 vector: each of these documents now has the tuned vector.",
            "Left alone, not in the store: 1 ('gone')",
            "Left alone, with another vector than the one that the run started from: 1 ('d0')",
        ]
        assert "embedded by another model" in outcome.err
        expected = VECTORS.copy()
        expected[7] += np.float32(0.1)
        assert np.array_equal(framework.vectors(store), expected)

    @pytest.mark.parametrize("wrong", ["ids", "vectors"])
    def test_refuses_a_store_that_the_run_has_nothing_to_do_with(
        self, nudge, tuned, store, tmp_path, wrong
    ):
        changes = {
            "ids": {"ids": ("x", "y", "z")},
            "vectors": {"originals": tuned.originals + np.float32(0.5)},
        }
        run = dataclasses.replace(tuned, **changes[wrong]).save(tmp_path / "tuned")
        files = bytes_of(store)
        outcome = nudge("apply", "--tuned", run, "--store", store)
        assert (outcome.code, outcome.out) == (1, "")
        assert "was changed; " in outcome.err
        assert bytes_of(store) == files

    def test_refuses_vectors_of_another_dimension(self, nudge, tuned, store, tmp_path):
        narrow = dataclasses.replace(
            tuned,
            vectors=tuned.vectors[:, :8],
            originals=tuned.originals[:, :8],
            model=ModelFingerprint("another model", None, VECTORS[0, :8]),
        )
        files = bytes_of(store)
        outcome = nudge("apply", "--tuned", narrow.save(tmp_path / "tuned"), "--store", store)
        assert outcome.code == 1
        assert "have 8 dimensions, but 32 are needed" in outcome.err
        assert bytes_of(store) == files

    def test_refuses_nudge_m_under_cosine(self, nudge, tuned, store, tmp_path):
        m = dataclasses.replace(tuned, method="nudge-m", metric="dot")
        files = bytes_of(store)
        outcome = nudge("apply", "--tuned", m.save(tmp_path / "tuned"), "--store", store)
        assert (outcome.code, outcome.out) == (1, "")
        assert "NUDGE-M's vectors are not of unit length" in outcome.err
        assert bytes_of(store) == files

    def test_takes_nudge_m_where_inner_products_rank(self, nudge, framework, tuned, tmp_path):
        store = tmp_path / "store"
        framework.save(store, "dot")
        m = dataclasses.replace(tuned, method="nudge-m", metric="dot")
        outcome = nudge("apply", "--tuned", m.save(tmp_path / "tuned"), "--store", store)
        assert (outcome.code, outcome.err) == (0, "")
        assert np.array_equal(framework.vectors(store), with_tuned_rows())

    def test_says_when_the_store_ranks_by_another_metric(self, nudge, framework, run, tmp_path):
        framework.save(tmp_path / "store", "dot")
        outcome = nudge("apply", "--tuned", run, "--store", tmp_path / "store")
        assert outcome.code == 0
        assert "made for 'cosine', and this store ranks by 'dot'" in outcome.err

    def test_of_a_run_in_which_nothing_moved(self, nudge, tuned, store, tmp_path):
        nothing = dataclasses.replace(
            tuned,
            ids=(),
            text_hashes=(),
            step=0.0,
            vectors=np.zeros((0, DIMENSION), np.float32),
            originals=np.zeros((0, DIMENSION), np.float32),
        )
        files = bytes_of(store)
        outcome = nudge("apply", "--tuned", nothing.save(tmp_path / "tuned"), "--store", store)
        assert outcome.code == 0
        assert outcome.out.splitlines()[1] == "Nothing to change: the run moved nothing."
        assert bytes_of(store) == files

    def test_that_fails_while_writing_leaves_the_store_whole(
        self, nudge, framework, store, run, monkeypatch
    ):
        from nudge_integrations.common import files as files_module

        real = files_module.os.replace

        def full_disk(source, target):
            if "vector_store" in str(target):
                raise OSError(28, "No space left on device")
            real(source, target)

        files = bytes_of(store)
        monkeypatch.setattr(files_module.os, "replace", full_disk)
        outcome = nudge("apply", "--tuned", run, "--store", store)
        monkeypatch.undo()
        assert (outcome.code, outcome.out) == (1, "")
        assert "No space left on device" in outcome.err
        assert np.array_equal(framework.vectors(store), VECTORS)
        assert files.items() <= bytes_of(store).items()


class TestRevert:
    def test_restores_every_byte(self, nudge, store, run):
        before = bytes_of(store)
        nudge("apply", "--tuned", run, "--store", store)
        assert bytes_of(store) != before
        outcome = nudge("revert", "--tuned", run, "--store", store)
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out.splitlines()[1:] == [
            "Exchanged 3 vectors: each of these documents now has the original vector."
        ]
        assert bytes_of(store) == before

    def test_of_what_was_never_applied_has_nothing_to_do(self, nudge, store, run):
        before = bytes_of(store)
        outcome = nudge("revert", "--tuned", run, "--store", store)
        assert outcome.code == 0
        assert "Left alone, already with the original vector: 3" in outcome.out
        assert bytes_of(store) == before

    def test_leaves_alone_what_has_changed_since(self, nudge, framework, tuned, store, tmp_path):
        nudge("apply", "--tuned", tuned.save(tmp_path / "tuned"), "--store", store)
        vectors = tuned.vectors.copy()
        vectors[0] += 1
        other = dataclasses.replace(tuned, vectors=vectors).save(tmp_path / "other")
        outcome = nudge("revert", "--tuned", other, "--store", store)
        assert outcome.code == 0
        assert "with another vector than this run's tuned one: 1 ('d7')" in outcome.out
        expected = VECTORS.copy()
        expected[7] += np.float32(0.1)
        assert np.array_equal(framework.vectors(store), expected)

    def test_of_one_run_never_undoes_another(self, nudge, tuned, store, run, tmp_path):
        nudge("apply", "--tuned", run, "--store", store)
        files = bytes_of(store)
        other = dataclasses.replace(tuned, vectors=tuned.vectors * 2).save(tmp_path / "other")
        outcome = nudge("revert", "--tuned", other, "--store", store)
        assert outcome.code == 1
        assert "revert that one first" in outcome.err
        assert bytes_of(store) == files


class TestFindingTheStore:
    def test_nothing_of_that_name(self, nudge, run, tmp_path):
        outcome = nudge("apply", "--tuned", run, "--store", tmp_path / "nothing")
        assert outcome.code == 1
        assert f"no saved store at {tmp_path / 'nothing'}" in outcome.err
        assert not (tmp_path / "nothing").exists()

    def test_a_folder_without_a_store(self, nudge, run, tmp_path):
        (tmp_path / "empty").mkdir()
        outcome = nudge("revert", "--tuned", run, "--store", tmp_path / "empty")
        assert outcome.code == 1
        assert "vector_store.safetensors" in outcome.err

    def test_a_folder_with_several(self, nudge, run, tmp_path):
        for framework in (_langchain(), _llama_index()):
            framework.save(tmp_path / "store", "cosine")
        outcome = nudge("apply", "--tuned", run, "--store", tmp_path / "store")
        assert outcome.code == 1
        assert "name one of default__vector_store.json, vector_store.safetensors" in outcome.err

    def test_a_store_of_another_class(self, nudge, run, tmp_path):
        from llama_index.core.vector_stores import SimpleVectorStore

        path = tmp_path / "store" / "default__vector_store.json"
        SimpleVectorStore().persist(str(path))
        for named in (path, path.parent):
            outcome = nudge("apply", "--tuned", run, "--store", named)
            assert outcome.code == 1
            assert "is no saved NudgeVectorStore" in outcome.err

    def test_a_run_instead_of_a_store(self, nudge, run):
        outcome = nudge("apply", "--tuned", run, "--store", run / "tuned.safetensors")
        assert outcome.code == 1
        assert "holds 'tuned vectors'" in outcome.err

    def test_a_damaged_store(self, nudge, framework, store, run):
        data = file_in(store)
        data.write_bytes(data.read_bytes()[:-1])
        outcome = nudge("apply", "--tuned", run, "--store", store)
        assert outcome.code == 1
        assert "truncated or edited" in outcome.err

    def test_a_damaged_header(self, nudge, store, run):
        path = file_in(store)
        path.write_bytes(path.read_bytes()[:20])
        outcome = nudge("apply", "--tuned", run, "--store", store)
        assert outcome.code == 1
        assert f"{path} is no saved NudgeVectorStore" in outcome.err

    def test_is_by_the_kind_that_the_framework_writes(self, framework, store):
        # So that neither side can change its layout alone.
        manifest, arrays = load_arrays(file_in(store), framework.kind, 2)
        assert manifest["metric"] == "cosine"
        assert list(arrays) == ["vectors"]
