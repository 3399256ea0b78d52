"""Logs of clicks and thumbs, and exports of tracing tools, as judgments."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_integrations import RelevanceDataset
from nudge_integrations.errors import DataError
from nudge_integrations.relevance import rows_from_langsmith, rows_from_phoenix

read = RelevanceDataset.from_feedback


def row(query: str, document: str, signal: Any, **more: Any) -> dict[str, Any]:
    return {"query": query, "document_id": document, "signal": signal, **more}


def graded(data: RelevanceDataset) -> dict[str, dict[str, int]]:
    return {data.queries[name]: dict(judged) for name, judged in data.qrels.items()}


def test_signals_add_up_to_grades() -> None:
    found = read(
        [
            row("undo it", "a", "thumbs_up"),
            row("undo it", "b", "click"),  # .3: not enough alone
            row("Undo  it ", "c", "click"),
            row("undo it", "c", "CLICK"),  # .6
            *[row("undo it", "d", "thumbs_up")] * 3,  # 3: grade 2
            *[row("undo it", "e", 4), row("undo it", "e", "4.5")],  # 8.5: grade 3
            row("undo it", "f", "thumbs_down"),
            row("undo it", "g", True),
            row("undo it", "g", False),  # level: looked at, no answer
            row("nothing", "a", "click"),
        ]
    )

    assert graded(found) == {"undo it": {"a": 1, "c": 1, "d": 2, "e": 3, "f": 0, "g": 0}}


def test_support_thresholds_and_weights() -> None:
    rows = [row("q", "a", "click"), row("q", "b", "click"), row("q", "b", "dwell")]

    assert graded(read(rows, weights={"dwell": 5, "Click": 1})) == {"q": {"a": 1, "b": 2}}
    assert graded(read(rows, weights={"dwell": 5}, min_support=2)) == {"q": {"b": 2}}
    assert graded(read(rows, weights={"dwell": 5}, thresholds=(0.2,))) == {"q": {"a": 1, "b": 1}}


def test_old_signals_count_less() -> None:
    now = datetime(2026, 1, 31, tzinfo=timezone.utc)
    rows = [
        row("q", "new", "thumbs_up", time=now.isoformat()),
        row("q", "old", "thumbs_up", time=(now - timedelta(days=60)).timestamp()),
        row("q", "middle", "thumbs_up", time=now - timedelta(days=30)),
    ]

    assert graded(read(rows, half_life_days=30)) == {"q": {"new": 1, "middle": 1}}
    later = now + timedelta(days=30)
    assert graded(read(rows, half_life_days=30, now=later)) == {"q": {"new": 1}}
    milliseconds = [row("q", "a", 1, timestamp=now.timestamp() * 1000), rows[0]]
    assert graded(read(milliseconds, half_life_days=1)) == {"q": {"a": 1, "new": 1}}


def test_personal_data_is_taken_out_before_anything_is_kept() -> None:
    rows = [
        row("where is the parcel of anna@example.org", "a", "thumbs_up"),
        row("where is the parcel of bert@example.org", "a", "thumbs_up"),
        row("my name is secret", "a", "thumbs_up"),
    ]

    def scrub(text: str) -> str | None:
        if "secret" in text:
            return None
        return " ".join("[mail]" if "@" in word else word for word in text.split())

    found = read(rows, scrub=scrub)

    assert graded(found) == {"where is the parcel of [mail]": {"a": 2}}
    assert "example.org" not in repr(found.__reduce__())
    # An id tells nothing of the text, and is the same whenever it is asked.
    assert list(found.queries) == list(read(rows[:1], scrub=scrub).queries)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv"])
def test_files(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"log.{ending}"
    rows = [row('say "hi", twice', "a", "thumbs_up"), row("ü?", "b,c", "thumbs_up")]
    if ending == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    else:
        import csv

        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if ending == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)

    assert read(path) == read(rows)
    assert graded(read(str(path))) == {'say "hi", twice': {"a": 1}, "ü?": {"b,c": 1}}


def test_documents_that_are_gone_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    rows = [row("q", "a", 1), row("q", "gone", 1), row("other", "gone", 1)]

    found = read(rows, {"a": "text"})

    assert graded(found) == {"q": {"a": 1}}
    assert "1 documents that are not in the corpus ('gone')" in caplog.text


def test_columns_of_other_names() -> None:
    rows = [{"frage": "q", "treffer": 7, "daumen": "thumbs_up"}]

    found = read(rows, columns={"query": "frage", "document": "treffer", "signal": "daumen"})

    assert graded(found) == {"q": {"7": 1}}


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "holds no feedback"),
        ([row("q", "a", "meh")], {}, "row 0: what does the signal 'meh' count.*weights="),
        ([{"q": "x"}], {}, "row 0: no query .a column query or question.*there are q"),
        ([row("q", "a", None)], {}, "row 0: no signal"),
        ([row("q", "a", 1)], {"half_life_days": 3}, "row 0: no time, which half_life_days"),
        ([row("q", "a", 1, time="noon")], {}, "'noon' is no time"),
        ([row("q", "a", "thumbs_down")], {}, "no document reached 0.5"),
        ([row("q", "a", 1)], {"thresholds": (2, 1)}, "must ascend"),
        ([row("q", "a", 1)], {"min_support": 0}, "min_support must be"),
        ([row("q", "a", 1)], {"half_life_days": 0}, "half_life_days=0"),
        ([row("q", "a", 1)], {"columns": {"user": "x"}}, "columns names 'user'"),
        (["text"], {}, "row 0 is a str"),
        ({"a": 1}, {}, "not dict"),
        ("nowhere.jsonl", {}, "cannot read nowhere.jsonl"),
    ],
)
def test_bad_logs_name_the_row_and_the_remedy(rows: Any, options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(rows, **options)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"query": "q", "doc_id": "a", "event": "click"}\n{"query": \n')
    with pytest.raises(DataError, match=r"log\.jsonl, line 2: no valid JSON"):
        read(path)


def test_what_a_data_frame_lacks_is_no_signal_and_no_poison() -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "query": ["q", "q", "q"],
            "document_id": [1.0, 2.0, 3.0],
            "signal": [1.0, float("nan"), 1.0],
            "time": [pd.Timestamp("2026-01-01"), pd.NaT, pd.NaT],
        }
    )
    assert graded(read(frame)) == {"q": {"1": 1, "3": 1}}
    frame.loc[0, "document_id"] = float("nan")
    with pytest.raises(DataError, match="row 0: no document"):
        read(frame)


def test_a_row_dated_9999_does_not_make_the_others_old() -> None:
    rows = [
        row("q", "a", "thumbs_up", time="2026-01-01T00:00:00"),
        row("q", "b", "thumbs_up", time="9999-12-31T00:00:00"),
    ]
    assert graded(read(rows, half_life_days=30)) == {"q": {"a": 1, "b": 1}}


@pytest.mark.parametrize(
    "line",
    [
        "[" * 200_000,
        '{"query": "q", "document_id": "a", "signal": ' + "9" * 5000 + "}",
        '{"query": "q", "document_id": "a", "signal": 1e999}',
        '{"query": "q", "document_id": "a", "signal": NaN, "score": Infinity}',
    ],
    ids=["deep", "5000 digits", "too large", "infinite"],
)
def test_lines_that_no_parser_can_hold_are_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(line)
    with pytest.raises(DataError, match=r"log\.jsonl, line 1"):
        read(path)


def test_a_cell_above_the_limit_of_csv_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("query,document_id,signal\n" + "x" * 200_000 + ",a,1\n")
    with pytest.raises(DataError, match=r"log\.csv: no table.*131,072 characters.*\.jsonl"):
        read(path)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Undo it", "undo  IT", "ｕndo it", "reset", "RESET"]),
            st.sampled_from("abc"),
            st.integers(-2, 3),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_the_order_of_the_log_changes_nothing(events: list[tuple[str, str, int]]) -> None:
    rows = [row(*event) for event in events]
    sums: dict[tuple[str, str], int] = {}
    for query, document, signal in events:
        key = ("undo it" if "ndo" in query else "reset", document)
        sums[key] = sums.get(key, 0) + signal
    if not any(total >= 1 for total in sums.values()):
        with pytest.raises(DataError):
            read(rows)
        return

    one, two = read(rows), read(rows[::-1])

    assert one == two
    for name, judged in one.qrels.items():
        key = "undo it" if "ndo" in one.queries[name] else "reset"
        for document, grade in judged.items():
            total = sums[key, document]
            assert grade == (total >= 0.5) + (total >= 2) + (total >= 8)


def test_langsmith_s_runs_and_feedback() -> None:
    trace = uuid.uuid4()
    retrieval = {
        "id": str(uuid.uuid4()),
        "trace_id": str(trace),
        "run_type": "retriever",
        "inputs": {"query": "undo it"},
        "outputs": {
            "documents": [
                {"page_content": "x", "metadata": {}, "id": "a", "type": "Document"},
                {
                    "lc": 1,
                    "type": "constructor",
                    "id": ["langchain", "schema", "document", "Document"],
                    "kwargs": {"page_content": "y", "metadata": {"doc": "m"}, "id": "b"},
                },
            ]
        },
        "start_time": "2026-01-01T00:00:00",
    }
    chain = {"id": str(trace), "trace_id": str(trace), "run_type": "chain", "inputs": {}}
    praise = {"run_id": str(trace), "key": "user_score", "score": 1}
    blame = {"run_id": str(trace), "key": "user_score", "score": 0}

    rows = list(rows_from_langsmith([chain, retrieval], [praise, blame]))

    assert [(each["query"], each["document_id"], each["signal"]) for each in rows] == [
        ("undo it", "a", 1.0),
        ("undo it", "b", 0.5),
    ]
    assert graded(read(rows)) == {"undo it": {"a": 1, "b": 1}}
    stats = {**chain, "feedback_stats": {"user_score": {"n": 1, "avg": 1.0}}}
    assert list(rows_from_langsmith([stats, retrieval])) == rows
    with pytest.raises(DataError, match="id_key"):
        list(rows_from_langsmith([chain, retrieval], [praise], id_key="doc"))


def test_langsmith_s_own_objects() -> None:
    from langchain_core.documents import Document
    from langsmith.schemas import Feedback, Run

    name = uuid.uuid4()
    run = Run(
        id=name,
        name="retriever",
        run_type="retriever",
        trace_id=name,
        start_time=datetime.now(timezone.utc),
        inputs={"query": "undo it"},
        outputs={"documents": [Document(id="a", page_content="x")]},
    )
    now = datetime.now(timezone.utc)
    given_ = {"id": uuid.uuid4(), "run_id": name, "trace_id": name, "key": "thumb", "score": 1}
    feedback = Feedback(**given_, created_at=now, modified_at=now)

    rows = list(rows_from_langsmith([run], [feedback]))

    assert graded(read(rows)) == {"undo it": {"a": 1}}


FLAT = {
    "context.span_id": "s1",
    "context.trace_id": "t1",
    "span_kind": "RETRIEVER",
    "start_time": "2026-01-01T00:00:00+00:00",
    "attributes.openinference.span.kind": "RETRIEVER",
    "attributes.input.value": "undo it",
    "attributes.retrieval.documents": [
        {"document.id": "a", "document.content": "x", "document.score": 0.9},
        {"document.id": "b", "document.content": "y"},
    ],
}
NESTED = {
    "context": {"span_id": "s1", "trace_id": "t1"},
    "attributes": {
        "openinference": {"span": {"kind": "RETRIEVER"}},
        "input": {"value": "undo it"},
        "retrieval": {"documents": [{"document": {"id": "a"}}, {"document": {"id": "b"}}]},
    },
}
ATTRIBUTES = {
    "context": {"span_id": "s1", "trace_id": "t1"},
    "attributes": {
        "openinference.span.kind": "RETRIEVER",
        "input.value": "undo it",
        "retrieval.documents.0.document.id": "a",
        "retrieval.documents.1.document.id": "b",
    },
}


@pytest.mark.parametrize("span", [FLAT, NESTED, ATTRIBUTES], ids=["flat", "nested", "otel"])
def test_phoenix_s_spans_and_annotations(span: dict[str, Any]) -> None:
    root = {"context.span_id": "s0", "context.trace_id": "t1", "span_kind": "CHAIN"}
    annotations = [
        {"span_id": "s1", "document_position": 1, "label": "relevant", "score": 1},
        {"span_id": "s1", "document_position": 0, "label": "irrelevant", "score": 0},
        {"span_id": "s0", "name": "correctness", "result": {"label": "correct"}},
        {"span_id": "s0", "name": "correctness", "result": {"score": 0}},
    ]

    rows = [
        (each["query"], each["document_id"], each["signal"])
        for each in rows_from_phoenix([root, span], annotations)
    ]

    assert rows == [
        ("undo it", "b", 1.0),
        ("undo it", "a", -1.0),
        ("undo it", "a", 1.0),
        ("undo it", "b", 0.5),
    ]


def test_a_span_without_document_ids_is_named() -> None:
    span = {**FLAT, "attributes.retrieval.documents": [{"document.content": "x"}]}
    with pytest.raises(DataError, match=r"document 0 of span 's1' has no id"):
        list(rows_from_phoenix([span], [{"span_id": "s1", "label": "relevant"}]))


def test_phoenix_s_rows_from_parquet_and_of_many_kinds() -> None:
    import numpy as np

    span = {
        **FLAT,
        "attributes.retrieval.documents": np.array([{"document.id": "a"}, {"document.id": "b"}]),
    }
    nan = float("nan")
    annotations = [
        {"span_id": "s1", "label": "relevant", "score": nan, "document_position": 1.0},
        {"span_id": "s1", "label": "thumbs_up", "score": None, "document_position": nan},
        {
            "span_id": nan,
            "context.span_id": "s1",
            "label": nan,
            "score": 0.0,
            "document_position": 0,
        },
        {"span_id": "s1", "label": nan, "score": nan, "document_position": nan},
    ]
    rows = [
        (each["document_id"], each["signal"]) for each in rows_from_phoenix([span], annotations)
    ]
    assert rows == [("b", 1.0), ("a", 1.0), ("b", 0.5), ("a", -1.0)]


def test_phoenix_s_data_frames_are_read_as_they_come() -> None:
    import pandas as pd

    spans = pd.DataFrame([FLAT]).set_index("context.span_id")
    annotations = pd.DataFrame(
        [
            {"span_id": "s1", "label": "relevant", "document_position": 1},
            {"span_id": "s1", "score": 1.0},
        ]
    ).set_index("span_id")

    rows = [(each["document_id"], each["signal"]) for each in rows_from_phoenix(spans, annotations)]

    assert rows == [("b", 1.0), ("a", 1.0), ("b", 0.5)]


def test_phoenix_s_structs_have_every_field_in_parquet() -> None:
    documents = [
        {"document.id": "a", "document": None},
        {"document.id": None, "document": {"id": "b"}},
    ]
    span = {**FLAT, "attributes.retrieval.documents": documents}
    rows = rows_from_phoenix([span], [{"span_id": "s1", "label": "relevant"}])
    assert [each["document_id"] for each in rows] == ["a", "b"]


def test_a_position_that_is_no_number_is_named() -> None:
    annotation = {"span_id": "s1", "label": "relevant", "document_position": "first"}
    with pytest.raises(DataError, match="span 's1' has 'first' for a document_position"):
        list(rows_from_phoenix([FLAT], [annotation]))


def test_langsmith_s_data_frames() -> None:
    import pandas as pd

    run = {"id": "1", "run_type": "retriever", "inputs": {"query": "x"}}
    runs = pd.DataFrame([{**run, "outputs": {"documents": [{"id": "a", "page_content": "t"}]}}])
    feedback = pd.DataFrame([{"run_id": "1", "score": 1}, {"run_id": "1", "score": float("nan")}])
    assert [each["signal"] for each in rows_from_langsmith(runs, feedback)] == [1.0]


def test_what_is_very_old_still_says_which_way_it_pointed() -> None:
    rows = [row("q", "a", 1, time="2026-01-01"), row("q", "b", 1, time="0001-01-01")]
    assert graded(read(rows, half_life_days=7)) == {"q": {"a": 1}}
