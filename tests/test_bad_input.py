"""Bad input over the public face: one clear error each, and nothing half-written.

Each case says what is done, which error comes (that type exactly), what its message names, and
the words of the remedy. `free` cases must be refused before anything is embedded.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_fakes import (
    FRAMEWORKS,
    LangChain,
    LlamaIndex,
    World,
    fingerprint,
    planted,
    tuned_vectors,
)
from langchain_core.documents import Document
from llama_index.core.schema import TextNode

from nudge_integrations import NudgeN, RelevanceDataset, TunedVectors
from nudge_integrations.common.files import load_arrays, save_arrays
from nudge_integrations.embedding.models import PROBE_TEXT
from nudge_integrations.errors import (
    CorruptFileError,
    DataError,
    LeakError,
    MetricMismatchError,
    ModelMismatchError,
    NotFinetunedError,
    NudgeError,
)
from nudge_integrations.tuning.saved import apply_to_saved
from nudge_integrations.tuning.tuned import FILE_NAME, KIND, VERSION


@dataclass
class Desk:
    """What a case works with."""

    side: Any
    world: World
    folder: Path
    model: Any

    @property
    def data(self) -> RelevanceDataset:
        return self.world.data

    @property
    def documents(self) -> Any:
        return self.side.documents(self.data.corpus)

    def engine(
        self, train: Any = ..., documents: Any = ..., model: Any = ..., **options: Any
    ) -> Any:
        return self.side.engine(
            self.data if train is ... else train,
            self.model if model is ... else model,
            self.documents if documents is ... else documents,
            **options,
        )

    def run(self, **options: Any) -> Any:
        engine = self.engine(**options)
        engine.finetune()
        return engine

    def with_vector(self, text: str, vector: Any) -> Any:
        """A model that gives this vector for a text."""
        table = {**self.world.table, text: vector}
        return self.side.model(table)

    def judged(self, query: str, document: str) -> RelevanceDataset:
        """The questions alone, with one judgment more."""
        qrels = {**self.data.qrels, query: {**self.data.qrels.get(query, {}), document: 1}}
        return RelevanceDataset(self.data.queries, {}, qrels)


@pytest.fixture(params=FRAMEWORKS, ids=lambda side: side.name)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    world = planted(documents=8, questions=2)
    return Desk(request.param, world, tmp_path, request.param.model(world))


@dataclass(frozen=True)
class Case:
    act: Callable[[Desk], object]
    error: type[Exception]
    named: tuple[str, ...]
    remedy: str
    free: bool = False


def data(act: Callable[[Desk], object], *named: str, remedy: str, free: bool = False) -> Case:
    return Case(act, DataError, named, remedy, free)


D0 = "document number 0"
Q00 = "Question 0 about number 0?"
WIDTH = 24


def other(desk: Desk, count: int = 2) -> RelevanceDataset:
    """Questions that are not among the training ones."""
    queries = {f"x{number}": f"another question {number}?" for number in range(count)}
    return RelevanceDataset(queries, {}, {name: {"d1": 1} for name in queries})


def unknown_in(desk: Desk) -> RelevanceDataset:
    return RelevanceDataset({"x1": "another question?"}, {}, {"x1": {"d99": 1}})


DATASETS = {
    "train: a judgment of an unknown document": data(
        lambda desk: desk.engine(desk.judged("q0-0", "d99")),
        "train_dataset",
        "'q0-0'",
        "'d99'",
        remedy="add the document or remove the judgment",
        free=True,
    ),
    "validation: a judgment of an unknown document": data(
        lambda desk: desk.engine(val_dataset=unknown_in(desk)),
        "val_dataset",
        "'x1'",
        "'d99'",
        remedy="add the document or remove the judgment",
        free=True,
    ),
    "test: a judgment of an unknown document": data(
        lambda desk: desk.engine(test_dataset=unknown_in(desk)),
        "test_dataset",
        "'x1'",
        "'d99'",
        remedy="add the document or remove the judgment",
        free=True,
    ),
    "no training dataset": data(
        lambda desk: desk.engine(None), "train_dataset", remedy="give judged questions", free=True
    ),
    "a training dataset of no known shape": data(
        lambda desk: desk.engine(["a question?"]),
        "list has no queries",
        remedy="pass a RelevanceDataset",
        free=True,
    ),
    "no questions": data(
        lambda desk: desk.engine({"queries": {}, "qrels": {}}),
        "queries is empty",
        remedy="give at least one query",
        free=True,
    ),
    "no answers": data(
        lambda desk: desk.engine({"queries": {"q1": "what?"}, "qrels": {"q1": {"d0": 0}}}),
        "none of the 1 queries has an answer",
        remedy="give at least one judgment",
        free=True,
    ),
    "an empty question": data(
        lambda desk: desk.engine({"queries": {"q1": " "}, "qrels": {"q1": ["d0"]}}),
        "query 'q1'",
        remedy="leave it out",
        free=True,
    ),
    "a judgment of a question that is not there": data(
        lambda desk: desk.engine({"queries": {"q1": "what?"}, "qrels": {"q9": ["d0"]}}),
        "'q9'",
        remedy="add its text to queries or remove the judgment",
        free=True,
    ),
    "a question in training and validation": Case(
        lambda desk: desk.engine(val_dataset=desk.data.subset(["q0-0", "q1-0"])),
        LeakError,
        ("'val_dataset' shares 2 of its 2 queries with 'train_dataset'", "'q0-0'"),
        "val_dataset.without_queries_of(train_dataset)",
        free=True,
    ),
    "one question, and some to be held out": data(
        lambda desk: desk.engine(desk.data.subset(["q0-0"]), selection="holdout"),
        "there are 1",
        remedy="add queries or ask for fewer splits",
        free=True,
    ),
    "measuring an unknown document": data(
        lambda desk: desk.run().evaluate(unknown_in(desk)),
        "'x1'",
        "'d99'",
        remedy="add the document or remove the judgment",
    ),
    "measuring a question that was trained on": Case(
        lambda desk: desk.run().evaluate(desk.data.subset(["q0-0"])),
        LeakError,
        ("'dataset' shares 1", "'q0-0'"),
        "dataset.without_queries_of(train_dataset)",
    ),
}

DOCUMENTS = {
    "no documents": data(
        lambda desk: desk.engine(documents=[]),
        "no documents to tune",
        remedy="leave it out to take the 8 documents of the training dataset",
        free=True,
    ),
    "no documents, and a dataset without any": data(
        lambda desk: desk.engine(other(desk), documents=None),
        "no documents to tune: the training dataset has no corpus",
        remedy="give one of the two",
        free=True,
    ),
    "an id twice": data(
        lambda desk: desk.engine(documents=[*desk.documents, desk.documents[3]]),
        "'d3'",
        remedy="give each its own",
        free=True,
    ),
    "a document without text": data(
        lambda desk: desk.engine(documents=desk.side.documents({**desk.data.corpus, "d9": ""})),
        "'d9'",
        remedy="leave it out",
        free=True,
    ),
}

OPTIONS = {
    "an unknown option": data(
        lambda desk: desk.engine(validation_split=0.1),
        "unknown argument 'validation_split'",
        remedy="val_dataset",
        free=True,
    ),
    "an unknown method": data(
        lambda desk: desk.engine(method="nudge-x"),
        "'nudge-x'",
        remedy="use 'c' (NUDGE-C), 'n'",
        free=True,
    ),
    "an unknown metric": data(
        lambda desk: desk.engine(metric="l2"), "'l2'", remedy="'cosine' or 'dot'", free=True
    ),
    "an unknown validation metric": data(
        lambda desk: desk.engine(validation_metric="ndgc@10"),
        "'ndgc@10'",
        remedy="such as 'ndcg@10'",
        free=True,
    ),
    "an unknown selection": data(
        lambda desk: desk.engine(selection="random"),
        "'random'",
        remedy="'cross-validation' or 'holdout'",
        free=True,
    ),
    "a step below 0": data(
        lambda desk: desk.engine(method="n", gamma=-0.1), "-0.1", remedy="within 0 .. 2", free=True
    ),
    "a step beyond the opposite": data(
        lambda desk: desk.engine(method="n", gamma=2.5), "2.5", remedy="within 0 .. 2", free=True
    ),
    "a step that is NaN": data(
        lambda desk: desk.engine(gamma=float("nan")), "nan", remedy="within 0 .. 100", free=True
    ),
    "a step that is a word": data(
        lambda desk: desk.engine(gamma="0.1"), "'0.1'", remedy="must be numbers", free=True
    ),
    "several steps for one": data(
        lambda desk: desk.engine(gamma=[0.1, 0.2]), "[0.1, 0.2]", remedy="numbers", free=True
    ),
    "a seed below 0": data(
        lambda desk: desk.engine(seed=-1), "seed", "-1", remedy="at least 0", free=True
    ),
    "a device that is not there": data(
        lambda desk: desk.engine(device="abacus"), "'abacus'", remedy="cannot be used", free=True
    ),
    "no text a batch": data(
        lambda desk: desk.engine(batch_size=0), "batch_size", remedy="at least 1", free=True
    ),
    "no worker": data(
        lambda desk: desk.engine(workers=0), "workers", remedy="at least 1", free=True
    ),
    "half precision of a model behind a framework": data(
        lambda desk: desk.engine(half_precision=True),
        "half_precision=True",
        remedy="set it on the model itself",
        free=True,
    ),
    "NUDGE-M under cosine": Case(
        lambda desk: desk.engine(method="m"),
        MetricMismatchError,
        ("NUDGE-M", "metric='cosine'"),
        "use metric='dot'",
        free=True,
    ),
    "a cache below a file": Case(
        lambda desk: desk.run(
            model=desk.side.model(desk.world, name="named"), cache=desk.folder / "file" / "cache"
        ),
        NudgeError,
        ("file/cache",),
        "pass cache=False",
        free=True,
    ),
    "a result before finetune": Case(
        lambda desk: desk.engine().get_finetuned_vector_store(),
        NotFinetunedError,
        ("nothing is tuned yet",),
        "call finetune() first",
        free=True,
    ),
    "a report on a single question": Case(
        lambda desk: desk.run(train=desk.data.subset(["q0-0"])).report,
        DataError,
        ("moved 0 of 8 documents at step 0", "one question is too few"),
        "pass test_dataset, or more questions",
    ),
    "an argument of another maker's finetune": data(
        lambda desk: desk.engine().finetune(epochs=3, verbose=True),
        "'epochs', 'verbose'",
        remedy="pass options to the engine itself",
        free=True,
    ),
    "a metric that a method given as an instance never sees": data(
        lambda desk: desk.engine(method=NudgeN(), validation_metric="recall@5"),
        "validation_metric='recall@5'",
        remedy="NudgeN(metric='recall@5')",
        free=True,
    ),
    "a device that a method given as an instance never sees": data(
        lambda desk: desk.engine(method=NudgeN(), device="cpu"),
        "device='cpu'",
        remedy="NudgeN(device='cpu')",
        free=True,
    ),
}

MODELS = {
    "no embedding model": data(
        lambda desk: desk.engine(model=object()),
        "a object",
        remedy="pass a SentenceTransformer",
        free=True,
    ),
    "a class for a model": data(
        lambda desk: desk.engine(model=type(desk.model)),
        f"the class Fake{'Embedding'}",
        remedy="pass a SentenceTransformer",
        free=True,
    ),
    "a tuned model over no model": data(
        lambda desk: desk.side.tuned_model(object(), tuned_vectors()),
        "a object",
        remedy="pass a SentenceTransformer",
    ),
    "NaN for a document": data(
        lambda desk: desk.run(model=desk.with_vector(D0, [float("nan")] * WIDTH)),
        "'d0'",
        "NaN or infinity",
        remedy="embed these again or leave them out",
    ),
    "infinity for a question": data(
        lambda desk: desk.run(model=desk.with_vector(Q00, [float("inf")] * WIDTH)),
        "'q0-0'",
        "NaN or infinity",
        remedy="embed these again or leave them out",
    ),
    "zeros for a document": data(
        lambda desk: desk.run(model=desk.with_vector(D0, [0.0] * WIDTH)),
        "'d0'",
        "no direction",
        remedy="leave it out",
    ),
    "zeros for a question": data(
        lambda desk: desk.run(model=desk.with_vector(Q00, [0.0] * WIDTH)),
        "'q0-0'",
        "no direction",
        remedy="leave it out",
    ),
    "a shorter vector for one document": data(
        lambda desk: desk.run(model=desk.with_vector(D0, [1.0] * 5)),
        "'d0' got 5 dimensions, others 24",
        remedy="embed all texts with one model",
    ),
    "questions of another width than documents": data(
        lambda desk: desk.run(model=desk.side.model(widths(desk.world))),
        "training query vectors have 5 dimensions, but 24 are needed",
        remedy="made by another embedding model?",
    ),
    "a vector too few": data(
        lambda desk: desk.run(model=forgetful(desk)),
        "7 came back for 8 texts",
        remedy="must return one vector a text",
    ),
    "tuned vectors over a model of another width": Case(
        lambda desk: desk.side.embed_documents(
            desk.side.tuned_model(
                desk.side.model({"short": [1.0] * 5}), desk.run(method="n").tuned
            ),
            ["short"],
        ),
        ModelMismatchError,
        ("have 5 dimensions, the tuned ones have 24",),
        "use the model that the vectors were tuned for",
    ),
    "tuned vectors over another model of the same width": Case(
        lambda desk: desk.side.embed_documents(
            desk.side.tuned_model(desk.side.model({PROBE_TEXT: [1.0] * 24}, "b"), desk.run().tuned),
            [D0],
        ),
        ModelMismatchError,
        ("were tuned for the embedding model 'Fake", "this is 'b'"),
        "tune again with this one",
    ),
}


def widths(world: World) -> dict[str, list[float]]:
    questions = set(world.data.queries.values())
    return {t: vector[:5] if t in questions else vector for t, vector in world.table.items()}


def forgetful(desk: Desk) -> Any:
    model = desk.side.model(desk.world)
    kind = type(model)
    method = "embed_documents" if desk.side is LangChain else "_get_text_embeddings"

    class Forgetful(kind):  # type: ignore[misc, valid-type]
        pass

    def all_but_one(self: Any, texts: list[str]) -> list[list[float]]:
        vectors = getattr(kind, method)(self, texts)
        return vectors[:-1] if len(texts) > 1 else vectors

    setattr(Forgetful, method, all_but_one)
    return Forgetful(desk.world.table)


# --- Saved runs and saved stores --------------------------------------------------------------


def saved(desk: Desk) -> Path:
    """A folder with a saved run."""
    return tuned_vectors().save(desk.folder / "tuned")


def edited(desk: Desk, old: bytes, new: bytes) -> Path:
    """The folder of a saved run, with some bytes of its file exchanged for as many others."""
    folder = saved(desk)
    data = (folder / FILE_NAME).read_bytes()
    assert old in data
    assert len(old) == len(new)
    (folder / FILE_NAME).write_bytes(data.replace(old, new))
    return folder


def truncated(desk: Desk, length: int) -> Path:
    folder = saved(desk)
    data = (folder / FILE_NAME).read_bytes()
    (folder / FILE_NAME).write_bytes(data[:length])
    return folder


def saved_store(desk: Desk) -> Path:
    desk.side.save(desk.side.store(desk.model, desk.data.corpus), desk.folder / "store")
    return desk.folder / "store"


def edited_store(desk: Desk) -> Path:
    folder = saved_store(desk)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes().replace(b"number 0", b"number 9"))
    return folder


def corrupt(act: Callable[[Desk], object], *named: str, remedy: str) -> Case:
    return Case(act, CorruptFileError, named, remedy)


FILES = {
    "run: no folder": corrupt(
        lambda desk: TunedVectors.load(desk.folder / "nowhere"),
        "nowhere/tuned.safetensors",
        "does not exist",
        remedy="is this where it was saved?",
    ),
    "run: truncated": corrupt(
        lambda desk: TunedVectors.load(truncated(desk, -9)),
        "tuned.safetensors",
        "truncated or edited",
        remedy="save it again",
    ),
    "run: header truncated": corrupt(
        lambda desk: TunedVectors.load(truncated(desk, 50)),
        "tuned.safetensors",
        "truncated or edited",
        remedy="save it again",
    ),
    "run: edited": corrupt(
        lambda desk: TunedVectors.load(edited(desk, b'"step": 0.25', b'"step": 1.25')),
        "tuned.safetensors",
        "edited",
        remedy="save it again",
    ),
    "run: another version": corrupt(
        lambda desk: TunedVectors.load(edited(desk, b'version\\": 2', b'version\\": 9')),
        "layout version 9",
        "reads version 2",
        remedy="save it again with this release",
    ),
    "run: another kind of file": corrupt(
        lambda desk: TunedVectors.load(edited(desk, b"tuned vectors", b"recipe number")),
        "holds 'recipe number', not 'tuned vectors'",
        remedy="name another file or folder",
    ),
    "run: for another model": Case(
        lambda desk: TunedVectors.load(saved(desk), model=fingerprint([4, -3, 2, -1], "mine")),
        ModelMismatchError,
        ("'planted'", "'mine'"),
        "or tune again with this one",
    ),
    "run: to be saved below a file": Case(
        lambda desk: desk.run().save(desk.folder / "file" / "tuned"),
        NudgeError,
        ("file/tuned",),
        "choose a folder that can be written",
    ),
    "store: no folder": corrupt(
        lambda desk: desk.side.load(desk.folder / "nowhere", desk.model),
        "nowhere",
        "does not exist",
        remedy="is this where it was saved?",
    ),
    "store: edited": corrupt(
        lambda desk: desk.side.load(edited_store(desk), desk.model),
        "vector_store",
        "edited",
        remedy="save it again",
    ),
    "store: to be saved below a file": Case(
        lambda desk: desk.side.save(
            desk.side.store(desk.model, desk.data.corpus), desk.folder / "file" / "store"
        ),
        NudgeError,
        ("file/store",),
        "choose a folder that can be written",
    ),
    "store: a run to be applied where none is saved": corrupt(
        lambda desk: apply_to_saved(desk.folder / "nowhere", tuned_vectors()),
        "nowhere",
        remedy="nothing of that name",
    ),
    "store: NUDGE-M into one that ranks by cosine": Case(
        lambda desk: apply_to_saved(saved_store(desk), desk.run(method="m", metric="dot").tuned),
        MetricMismatchError,
        ("NUDGE-M",),
        "use metric='dot'",
    ),
    "store: vectors of another width": data(
        lambda desk: desk.side.store(desk.model, desk.data.corpus).apply(tuned_vectors()),
        "4 dimensions, but 24 are needed",
        remedy="made by another embedding model?",
    ),
    "store: a query of another width": data(
        lambda desk: desk.side.ranked(
            desk.side.retriever(
                desk.side.store(desk.model, desk.data.corpus), desk.side.model({"why?": [1.0] * 5})
            )
            if desk.side is LlamaIndex
            else _narrow(desk),
            "why?",
        ),
        "the query has 5 dimensions, the stored vectors have 24",
        remedy="embedded by another model?",
    ),
    "store: an unknown metric": data(
        lambda desk: desk.side.package.NudgeVectorStore(
            **({"embedding": desk.model} if desk.side is LangChain else {}), metric="l2"
        ),
        "'l2'",
        remedy="'cosine' or 'dot'",
    ),
}


def _narrow(desk: Desk) -> Any:
    """A saved store opened with a model of another width."""
    return desk.side.retriever(
        desk.side.load(saved_store(desk), desk.side.model({"why?": [1.0] * 5})), None
    )


CASES = {**DATASETS, **DOCUMENTS, **OPTIONS, **MODELS, **FILES}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused(case: str, desk: Desk) -> None:
    wanted = CASES[case]
    (desk.folder / "file").write_text("in the way")

    with pytest.raises(Exception) as caught:
        wanted.act(desk)

    assert type(caught.value) is wanted.error, repr(caught.value)
    message = str(caught.value)
    for part in (*wanted.named, wanted.remedy):
        assert part in message
    assert (desk.folder / "file").read_text() == "in the way"
    # Whatever lies there is whole: no temporary file, no arrays without their manifest.
    files = [path.name for path in desk.folder.rglob("*") if path.is_file()]
    assert not [name for name in files if name.startswith(".") or name.endswith(".tmp")]
    if wanted.free:
        assert desk.model.asked == []
        assert files == ["file"]


def test_there_are_cases_enough_and_every_error_has_one() -> None:
    assert len(CASES) >= 60
    assert {case.error for case in CASES.values()} == {
        DataError,
        LeakError,
        MetricMismatchError,
        ModelMismatchError,
        CorruptFileError,
        NotFinetunedError,
        NudgeError,
    }


@pytest.mark.parametrize(
    "error", dict.fromkeys(case.error for case in CASES.values()), ids=lambda e: e.__name__
)
def test_every_error_is_a_nudge_error_and_a_value_error(error: type[Exception]) -> None:
    assert issubclass(error, NudgeError)
    assert issubclass(error, ValueError)


# --- What only one of the frameworks has ------------------------------------------------------


def test_a_langchain_document_without_an_id_is_named() -> None:
    world = planted(documents=2)
    documents = [*LangChain.documents(world.data.corpus), Document(page_content="who am I?")]

    with pytest.raises(DataError, match=r"document 2 \('who am I\?'\) has no id.*Document\(id="):
        LangChain.engine(world.data, LangChain.model(world), documents)


@pytest.mark.parametrize("answer", ["oops", {"vector": 1}, ["a"] * WIDTH], ids=str)
def test_an_answer_of_a_langchain_model_that_is_no_vector_is_named(answer: Any) -> None:
    # LlamaIndex's own base class refuses such answers before anyone else sees them.
    world = planted(documents=3)
    engine = LangChain.engine(world.data, LangChain.model({**world.table, D0: answer}))

    with pytest.raises(DataError, match=r"'d0' got no vector of numbers.*leave it out"):
        engine.finetune()


def test_a_llama_index_node_without_a_vector_is_named() -> None:
    store = LlamaIndex.package.NudgeVectorStore()

    with pytest.raises(DataError, match=r"'n2' has no embedding: embed it first"):
        store.add([TextNode(id_="n1", text="a", embedding=[1.0]), TextNode(id_="n2", text="b")])
    assert store.get_nodes() == []


def test_a_retriever_whose_documents_have_no_ids_is_told_the_remedy() -> None:
    world = planted(documents=3)
    model = LangChain.model(world)

    class NoIds(LangChain.package.NudgeVectorStore):  # type: ignore[name-defined, misc]
        def similarity_search(self, query: str, k: int = 4, **_: Any) -> list[Document]:
            return [Document(page_content="a text")]

    with pytest.raises(DataError, match=r"'a text'.*no id.*id_key="):
        LangChain.package.evaluate_retriever(NoIds(model).as_retriever(), world.data)


@pytest.mark.parametrize(
    "vectors",
    [
        pytest.param([[1.0, 0.0], [float("nan"), 1.0]], id="NaN"),
        pytest.param([[1.0, 0.0], [0.0, 0.0]], id="zeros"),
        pytest.param([[1.0, 0.0], [1.0]], id="ragged"),
        pytest.param([[1.0, 0.0]], id="one too few"),
        pytest.param([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], id="another width"),
    ],
)
def test_a_langchain_store_adds_all_or_nothing(vectors: Any) -> None:
    store = LangChain.package.NudgeVectorStore(LangChain.model({"x": [1.0, 0.0]}))
    store.add_embeddings(["kept"], [[0.0, 1.0]], ids=["kept"])

    with pytest.raises(DataError):
        store.add_embeddings(["one", "two"], vectors, ids=["kept", "b"])

    assert [document.page_content for document in store.get_by_ids(["kept", "b"])] == ["kept"]
    assert store.get_embeddings(["kept"]).tolist() == [[0.0, 1.0]]


# --- A disk that is full, or goes away --------------------------------------------------------


def full_disk(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("where", ["fsync", "rename"])
@pytest.mark.parametrize("what", ["run", "store"])
def test_a_full_disk_leaves_the_older_save_whole(
    where: str, what: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, later = desk.run(), desk.run(gamma=0.3)
    folder = desk.folder / what
    save: dict[str, Callable[[Any], object]] = {
        "run": lambda source: source.save(folder, overwrite=True),
        "store": lambda source: desk.side.save(source.get_finetuned_vector_store(), folder),
    }
    save[what](engine)
    before = contents(folder)

    if where == "fsync":
        monkeypatch.setattr(os, "fsync", full_disk)
    else:
        monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(NudgeError, match=r"No space left on device.*choose a folder") as caught:
        save[what](later)
    monkeypatch.undo()

    assert type(caught.value) is NudgeError
    assert contents(folder) == before
    if what == "run":
        loaded = TunedVectors.load(folder)
        assert loaded.vectors.tobytes() == engine.tuned.vectors.tobytes()
    else:
        store = desk.side.load(folder, desk.model)
        expected = engine.finetuned_embeddings.tobytes()
        assert desk.side.vectors(store, engine.ids).tobytes() == expected


def test_a_full_disk_while_a_run_is_applied_to_a_saved_store_leaves_it_whole(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved_store(desk)
    before = contents(folder)
    tuned = desk.run().tuned
    monkeypatch.setattr(os, "fsync", full_disk)

    with pytest.raises(NudgeError, match="No space left on device"):
        apply_to_saved(folder, tuned)

    assert contents(folder) == before


def test_a_manifest_with_a_right_checksum_but_wrong_content_is_not_loaded(tmp_path: Path) -> None:
    tuned_vectors().save(tmp_path)
    content, arrays = load_arrays(tmp_path / FILE_NAME, KIND, VERSION)
    save_arrays(
        tmp_path / FILE_NAME, KIND, VERSION, {**content, "ids": ["d0"]}, dict(arrays.items())
    )

    with pytest.raises(CorruptFileError, match="3 rows for 1 ids"):
        TunedVectors.load(tmp_path)


def test_numbers_from_numpy_are_as_good_as_python_s() -> None:
    world = planted(documents=4)

    engine = LangChain.engine(
        world.data, LangChain.model(world), gamma=np.float32(0.5), seed=np.int64(3)
    )

    engine.finetune()
    assert engine.tuned.step == 0.5
