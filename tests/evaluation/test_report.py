"""What a report says, and that it survives saving."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nudge_integrations.errors import CorruptFileError, DataError
from nudge_integrations.evaluation import EvaluationReport, Turns, compare

from .builders import BEFORE, QUERIES, crowded, many, report, scores

WIDTH = 84
UNCHANGED = "No step improved the held-out questions: vectors are unchanged."


def lines_with(text: str, *words: str) -> list[str]:
    return [line for line in text.splitlines() if all(word in line for word in words)]


def test_the_whole_report_tells_a_newcomer_what_ran_and_what_came_of_it() -> None:
    text = " ".join(str(report()).split())
    for words in (
        "Perhaps better overall, no clear change on unseen queries: ndcg@10 rose from 0.3500 to "
        "0.5000 (+0.1500, +43%); chance alone could explain it.",
        "Got worse over 2 unseen queries: ndcg@10 -0.3500, recall@10 -0.3500.",
        "NUDGE-N with step 0.25 moved 40 of 1,200 documents.",
        "Why this step: best ndcg@10 of 64 steps on 3 validation queries.",
        "Measured on: test queries.",
        "unseen: 2 queries, no answer has training questions",
        "* p < 0.05",
        "how long does delivery take",
        "Note: two questions had the same text",
    ):
        assert words in text


def test_the_table_has_every_metric_over_every_group() -> None:
    text = str(report())
    rows = lines_with(text, "recall@10", "/")
    assert [row.split()[1:4] for row in rows] == [
        ["0.3500", "0.5000", "+0.1500"],
        ["0.1750", "0.5750", "+0.4000"],
        ["0.7000", "0.3500", "-0.3500"],
    ]
    assert [row.split()[-1] for row in rows] == ["3/2/1", "3/0/1", "0/2/0"]


def test_examples_show_scores_and_the_rank_of_the_first_answer() -> None:
    text = str(report())
    (gained,) = lines_with(text, QUERIES["q3"])
    (lost,) = lines_with(text, QUERIES["q4"])
    assert gained.split()[:6] == ["0.00", "->", "0.50", "none", "->", "4"]
    assert lost.split()[:6] == ["0.90", "->", "0.30", "1", "->", "8"]


def test_a_clear_gain_is_marked_and_said_to_be_more_than_chance() -> None:
    made = many(200, gain=0.2, metrics=("ndcg@10", "mrr@10"))
    text = " ".join(str(made).split())
    assert text.startswith("Better, also on unseen queries: ndcg@10 rose from ")
    assert "more than chance explains." in text
    assert "Nothing got worse on average (all, seen and unseen queries)." in text
    assert all("<0.001*" in row for row in lines_with(str(made), "ndcg@10  "))


def test_a_clear_loss_is_called_worse() -> None:
    made = many(200, gain=-0.2, metrics=("ndcg@10",))
    assert str(made).startswith("Worse overall and on unseen queries: ndcg@10 fell from ")
    assert "Got worse over all 200 queries: ndcg@10 -0." in str(made)
    assert "Got worse over 100 seen queries: ndcg@10 -0." in str(made)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (crowded(0.5, unseen=-0.1), "Better overall, worse on unseen queries: ndcg@10 rose from"),
        (crowded(0.35), "Perhaps better overall, worse on unseen queries: ndcg@10 rose from"),
        (crowded(0.3), "No better and no worse overall, worse on unseen queries: ndcg@10 went"),
        (crowded(0.25), "Perhaps worse overall, worse on unseen queries: ndcg@10 fell from"),
        (crowded(-0.1), "Worse overall and on unseen queries: ndcg@10 fell from"),
        (
            crowded(0.5, unseen=0.0),
            "Better overall, no clear change on unseen queries: ndcg@10 rose",
        ),
        (crowded(0.5, unseen=0.1), "Better, also on unseen queries: ndcg@10 rose from"),
        (
            crowded(0.5, queries=4),
            "Perhaps better overall, no clear change on unseen queries: ndcg",
        ),
        (report(seen=None), "Perhaps better: ndcg@10 rose from"),
    ],
)
def test_the_first_words_do_not_hide_unseen_queries_that_fell_beyond_chance(
    made: EvaluationReport, words: str
) -> None:
    assert " ".join(made.summary().split()).startswith(words)
    assert words in " ".join(made._repr_html_().split())


def test_where_all_queries_are_unseen_their_fall_is_said_once() -> None:
    made = many(200, gain=-0.2, metrics=("ndcg@10",), seen=())
    assert made.summary().startswith("Worse: ndcg@10 fell from ")


def test_step_zero_is_said_plainly() -> None:
    same = scores(BEFORE)
    made = compare(same, same, seen={"q0"}, judged_on="test queries", method="NUDGE-N", step=0.0)
    assert made.summary().splitlines()[0] == UNCHANGED
    assert "worse" not in made.summary().lower()
    assert UNCHANGED in made._repr_html_()


@pytest.mark.parametrize(
    ("curve", "verdict"),
    [
        ((), "Vectors are unchanged: step 0 was asked for."),
        (((0.0, 0.5),), "Vectors are unchanged: step 0 was asked for."),
        (((0.0, 0.5), (0.5, 0.4)), UNCHANGED),
    ],
    ids=["nothing tried", "step 0 alone", "steps tried"],
)
def test_no_step_is_said_to_have_failed_where_none_was_tried(curve: Any, verdict: str) -> None:
    made = report(step=0.0, step_reason="step 0 was asked for", curve=curve)
    assert made.summary().splitlines()[0] == verdict


def test_scores_that_stayed_the_same_with_a_step_are_called_unchanged() -> None:
    same = scores(BEFORE)
    made = compare(same, same, judged_on="test queries", step=0.1)
    assert made.summary().startswith("Unchanged: ndcg@10 is 0.3500 before and after")


def test_gains_and_losses_that_cancel_out_are_neither_better_nor_worse() -> None:
    made = compare(scores([0.2, 0.6]), scores([0.6, 0.2]), judged_on="test queries", step=0.1)
    assert made.summary().startswith("No better and no worse: ndcg@10 went from 0.4000 to 0.4000")


def test_one_query_is_too_few_to_tell() -> None:
    made = compare(scores([0.2]), scores([0.6]), judged_on="test queries")
    text = " ".join(str(made).split())
    assert "too few queries to tell" in text
    assert "* p" not in text


def test_a_report_without_unseen_queries_says_what_it_cannot_know() -> None:
    text = " ".join(str(report(seen=list(QUERIES))).split())
    assert "None of these queries is unseen" in text
    assert "all: 6 queries, every one seen" in text
    assert text.count("recall@10 0.3500") == 1  # the same numbers do not stand there twice


def test_a_report_without_seen_queries_says_so() -> None:
    assert "None of these queries is seen" in str(report(seen=[]))


def test_no_line_is_wider_than_a_terminal() -> None:
    hostile = {
        "q0": "word " * 60,
        "q1": "ü" * 300,
        "q3": "配送需要多长时间" * 30,
        "q4": "line\nbreak \x1b[31mred\x1b[0m \t tab",
    }
    made = report(queries=hostile, notes=("note " * 50,), step_reason="reason " * 30)
    big = many(2000, gain=0.01, metrics=("recall_cap@1000", "precision@1000"))
    texts = [f"{each}\n{each.summary()}" for each in (made, big)]
    for line in [line for text in texts for line in text.splitlines()]:
        wide = sum(1 for character in line if "\u2e80" <= character <= "\uffdc")
        assert len(line) + wide <= WIDTH
    assert "\x1b" not in texts[0]
    assert "line break" in texts[0]


def test_a_query_without_text_is_named_by_its_id() -> None:
    assert lines_with(str(report(queries={})), "0.20 -> 0.90")[0].endswith(" q0")


HOSTILE = {"method": "m" * 300, "judged_on": "every question " * 40, "notes": ("note " * 50,)}


@pytest.mark.parametrize(
    "made",
    [
        report(),
        report(seen=None),
        report(**HOSTILE),
        report(seen=["q0"], new=["q1", "q2"]),
        report(step=0.0, step_reason="too few questions " * 20, curve=()),
        many(2000, gain=-0.1, metrics=("recall_cap@1000", "precision@1000")),
        many(2000, gain=0.1, metrics=("recall_cap@1000", "precision@1000")),
        crowded(0.5),
    ],
    ids=["plain", "one group", "hostile", "new", "step 0", "worse", "better", "unseen fell"],
)
def test_the_summary_is_six_lines_and_ends_with_what_to_do(made: EvaluationReport) -> None:
    lines = made.summary().splitlines()
    assert 3 <= len(lines) <= 6
    assert max(map(len, lines)) <= WIDTH
    (last,) = (place for place, line in enumerate(lines) if line.startswith("Next: "))
    assert all(line.startswith("  ") for line in lines[last + 1 :])


def test_no_internal_words_stand_at_the_top() -> None:
    made = report(step_reason="best of 64 steps (temperature 0.03, ridge 100)")
    assert "ridge" not in made.summary()
    assert "ridge" not in "".join(str(made).splitlines()[:6])
    assert "ridge 100" in " ".join(str(made).split())


def test_the_summary_has_the_numbers_that_matter() -> None:
    text = report().summary()
    assert "Change of ndcg@10 (queries): seen +0.4000 (4), unseen -0.3500 (2)." in text
    assert "Worse on average over unseen queries; ndcg@10 fell for 2 of 6 queries." in text


def test_where_unseen_queries_were_not_asked_the_estimate_stands_for_them() -> None:
    row = dataclasses.replace(report().row(group="unseen"), difference=-0.02)
    made = dataclasses.replace(report(seen=list(QUERIES)), unseen_estimate=row)
    text = " ".join(made.summary().split())
    assert "(queries): seen +0.1500 (6), unseen -0.0200 (estimated)." in text
    start = "Perhaps better on these queries, with {} estimated for unseen ones: ndcg@10 rose"
    for difference, p_value, guess in (
        (-0.02, 0.2, "no clear change"),
        (-0.02, 0.01, "a loss"),
        (0.02, 0.01, "a gain"),
    ):
        row = dataclasses.replace(row, difference=difference, p_value=p_value)
        other = dataclasses.replace(made, unseen_estimate=row)
        assert " ".join(other.summary().split()).startswith(start.format(guess))
    assert "for unseen queries and documents added later" in " ".join(str(made).split())


def test_queries_about_new_documents_are_a_group_of_their_own() -> None:
    made = report(seen=["q0", "q1"], new=["q1", "q4", "q5"])
    assert made.groups == ("all", "seen", "unseen", "new")
    assert [made.row(group=each).queries for each in made.groups] == [6, 2, 2, 2]
    text = str(made)
    assert "new: 2 queries, an answer was added after tuning" in text
    assert "new -0.3500 (2)." in made.summary()
    assert EvaluationReport.from_dict(made.to_dict()) == made


def test_no_report_says_that_an_answer_moved_where_nothing_did() -> None:
    made = report(step=0.0, moved=0)
    assert "moved 0 of 1,200 documents" in " ".join(str(made).split())
    assert "was moved" not in str(made)


def test_how_far_documents_turned_is_told() -> None:
    originals = np.array([[1, 0], [2, 0], [1, 0], [0, 3]], np.float32)
    degrees = np.radians([1, 4, 12, 90])
    turned = np.stack([np.cos(degrees), np.sin(degrees)], axis=1).astype(np.float32)
    turns = Turns.between(originals, turned)
    assert turns is not None
    assert turns.median == pytest.approx(2.5, abs=0.01)
    assert turns.largest == pytest.approx(12, abs=0.01)
    bins = dict(turns.bins())
    assert (bins["0-2"], bins["2-4"] + bins["4-6"], sum(bins.values())) == (2, 1, 4)
    made = report(turns=turns)
    text = str(made)
    assert "Documents by the angle they turned (median 2.5 degrees, at most 12.0):" in text
    bars = [line.split()[1:] for line in lines_with(text, "° ")]
    assert bars[0] == ["2", "#" * 40]
    assert [int(bar[0]) for bar in bars] == list(turns.counts)
    assert "°" not in made.summary()
    assert EvaluationReport.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert Turns.between(originals[:0], turned[:0]) is None


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 180), min_size=1, max_size=30))
def test_every_moved_document_stands_in_one_bin(degrees: list[float]) -> None:
    angles = np.radians(degrees)
    after = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    turns = Turns.between(np.tile(np.array([[1, 0]], np.float32), (len(degrees), 1)), after)
    assert turns is not None
    assert sum(turns.counts) == len(degrees)
    assert len(turns.edges) == len(turns.counts) + 1 <= 9
    assert turns.edges[0] == 0
    assert turns.edges[-1] >= turns.largest - 1e-3


def test_the_verdict_is_there_for_programs_too() -> None:
    found = crowded(0.5, unseen=-0.1).to_dict()["verdict"]
    assert found["outcome"] == "better"
    assert found["sentence"].startswith("Better overall, worse on unseen queries")
    assert (found["metric"], found["significant"]) == ("ndcg@10", True)
    assert found["change"] == pytest.approx(0.2)
    assert found["got_worse"] == ["unseen"]
    assert found["change_by_group"] == pytest.approx({"seen": 0.5, "unseen": -0.1})
    assert found["unseen_estimate"] is None
    assert report(step=0.0).to_dict()["verdict"]["outcome"] == "unchanged"


def test_print_shows_everything() -> None:
    assert "won/lost/same" in str(report())
    assert "won/lost/same" not in report().summary()


@pytest.mark.parametrize(
    "made",
    [
        report(),
        report(seen=None, method=None, step=None, step_reason="", moved=None, curve=()),
        report(seen=list(QUERIES), notes=()),
        compare(scores([0.2]), scores([0.6]), judged_on="one query"),
    ],
    ids=["full", "bare", "all seen", "one query"],
)
def test_a_report_survives_json(made: EvaluationReport) -> None:
    text = json.dumps(made.to_dict(), allow_nan=False)
    again = EvaluationReport.from_dict(json.loads(text))
    assert again == made
    assert again.summary() == made.summary()
    assert EvaluationReport.from_dict(made.to_dict()) == made


def test_json_holds_none_where_a_number_is_missing() -> None:
    row = dataclasses.replace(report().rows[0], p_value=float("nan"))
    made = EvaluationReport((row,), "test queries")
    assert made.to_dict()["rows"][0]["p_value"] is None


def edited(*path: Any, value: Any) -> dict[str, Any]:
    content: Any = json.loads(json.dumps(report().to_dict()))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return dict(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "must be a mapping, not list"),
        ({}, "lacks 'rows'"),
        ({"rows": []}, "lacks 'judged_on'"),
        (edited("surprise", value=1), "unknown field 'surprise'"),
        (edited("rows", value=3), "rows must be a list, not 3"),
        (edited("rows", value=[]), "one row for each metric"),
        (edited("rows", 0, value="x"), r"rows\[0\] must be a mapping"),
        (edited("rows", 1, "before", value="x"), r"rows\[1\]: before must be float, not 'x'"),
        (edited("rows", 1, "wins", value=True), r"wins must be int, not True"),
        (edited("rows", 1, "wins", value=1.5), r"wins must be int, not 1.5"),
        (edited("rows", 1, "group", value="others"), "one row for each metric"),
        (edited("rows", 1, "metric", value="ndcg@10"), "one row for each metric"),
        (edited("judged_on", value=None), "judged_on must be str"),
        (edited("step", value=float("inf")), "step must be finite"),
        (edited("curve", value=[[1.0]]), r"curve\[0\] must have 2 entries"),
        (edited("notes", value="text"), "notes must be a list"),
    ],
)
def test_an_edited_report_is_refused_by_the_name_of_the_fault(content: Any, words: str) -> None:
    with pytest.raises(CorruptFileError, match=words):
        EvaluationReport.from_dict(content)


def test_whole_numbers_from_json_count_as_floats() -> None:
    assert EvaluationReport.from_dict(edited("step", value=1)).step == 1.0


def test_a_row_that_is_not_there_is_named() -> None:
    assert report().row("NDCG@10", "seen").queries == 4
    with pytest.raises(DataError, match="no 'mrr@10' over 'seen'"):
        report().row("mrr@10", "seen")
