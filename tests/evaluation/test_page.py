"""The report as a page: whole, self-contained, and harmless whatever the texts hold."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_integrations.errors import NudgeError
from nudge_integrations.evaluation import EvaluationReport, compare, with_rankings
from nudge_integrations.evaluation.wording import what_next

from .builders import QUERIES, crowded, many, report, scores

NASTY = "<script>alert('x')</script> & \"more\" <img src=x onerror=alert(1)> \u202e]]> --> ${x}"
RANKINGS = {"q0": ["d1", "d2", "d3"]}, {"q0": ["d3", "d1", "d2"]}
ALLOWED = {
    *[
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "div",
        "h1",
        "h2",
        "h3",
        "p",
        "ul",
        "ol",
        "li",
        "b",
        "i",
        "span",
        "code",
    ],
    *["figure", "figcaption", "svg", "text", "rect", "line", "polyline", "circle"],
    *["table", "thead", "tr", "th", "td", "details", "summary", "section"],
}


class Tags(HTMLParser):
    """Every tag and attribute of a page, and whether each tag is closed in its turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def ranked(**changes: Any) -> EvaluationReport:
    texts = {"d1": "the first", "d2": "the second", "d3": "the third " * 50}
    return with_rankings(report(**changes), *RANKINGS, qrels={"q0": {"d3": 2}}, texts=texts)


def page(made: EvaluationReport, folder: Path) -> str:
    return made.to_html(folder / "report.html").read_text("utf-8")


def test_the_page_holds_the_verdict_every_figure_and_what_to_try_next(tmp_path: Path) -> None:
    made = ranked()
    found = page(made, tmp_path)
    words = " ".join(Tags(found).words)

    assert made.summary().split("\n")[0][:40] in words
    for each in ("0.3500", "-0.3500", "+0.1500", "3/2/1", "unseen: 2 queries"):
        assert each in words
    for title in ("What to try next", "All figures", "by step", "gained most", "lost most"):
        assert title in words
    assert "two questions had the same text" in words


def test_a_query_shows_what_it_found_before_and_after_and_which_of_it_answers() -> None:
    made = ranked()
    change = made.won[0]

    assert [each.document_id for each in change.top_before] == ["d1", "d2", "d3"]
    assert [each.document_id for each in change.top_after] == ["d3", "d1", "d2"]
    assert [each.grade for each in change.top_after] == [2, 0, 0]
    assert len(change.top_after[0].text) <= 203
    assert made._repr_html_().count("answers it") == 2
    assert made.won[1].top_before == ()


def test_rankings_survive_json() -> None:
    assert EvaluationReport.from_dict(ranked().to_dict()) == ranked()


@pytest.mark.parametrize(
    "made",
    [
        ranked(),
        report(seen=None, method=None, step=None, step_reason="", moved=None, curve=()),
        report(step=0.0),
        report(curve=((0.0, 0.3), (0.5, 0.3))),
        many(40, gain=0.1, metrics=("ndcg@10",)),
        compare(scores([0.2]), scores([0.6]), judged_on="one query"),
        compare(scores([0.0]), scores([0.0]), judged_on="all nought"),
    ],
    ids=["full", "bare", "step 0", "flat curve", "many", "one query", "all nought"],
)
def test_every_report_is_a_whole_page_that_loads_nothing(
    made: EvaluationReport, tmp_path: Path
) -> None:
    found = page(made, tmp_path)
    tags = Tags(found)

    assert tags.open == []
    assert tags.names <= ALLOWED
    assert not {
        name for name in tags.attributes if name in ("href", "src", "style") or name[:2] == "on"
    }
    assert "default-src 'none'" in found
    assert not re.search(r"https?:|url\(|@import", found)


@given(st.text(), st.text(), st.text())
def test_no_text_gets_out_of_its_place(query: str, name: str, text: str) -> None:
    made = with_rankings(
        report(queries={**QUERIES, "q0": query + NASTY}, judged_on=NASTY, notes=(text + NASTY,)),
        {"q0": [name + NASTY]},
        {"q0": [name]},
        qrels={},
        texts={name: text + NASTY},
    )
    tags = Tags(made._repr_html_())

    assert tags.open == []
    assert tags.names <= ALLOWED
    assert "\u202e" not in made._repr_html_()
    assert any("<script>" in each for each in tags.words)  # as text


def test_thousands_of_queries_are_counted_whole() -> None:
    found = many(1200, gain=0.1, metrics=("mrr@10",), seen=())._repr_html_()
    assert "<figcaption>all: 1,200 queries</figcaption>" in found


def test_half_a_surrogate_does_not_stop_the_writing(tmp_path: Path) -> None:
    assert "broken" in page(report(judged_on="broken \ud800 text"), tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NudgeError, match=r"file.report\.html.*choose a folder"):
        report().to_html(tmp_path / "file" / "report.html")


@pytest.mark.parametrize(
    ("made", "first", "also"),
    [
        (report(step=0.0), "No vector moved", "more questions"),
        (many(400, gain=0.1, metrics=("mrr@10",)), "Use it", "get_finetuned_vector_store"),
        (many(400, gain=-0.1, metrics=("mrr@10",)), "Do not use it", "original vectors"),
        (crowded(seen=0.4, queries=400), "protect_unseen=0", "Use it"),
        (compare(scores([0.2]), scores([0.6]), judged_on="one"), "not certain", "1 query"),
        (many(400, gain=0.1, metrics=("ndcg@10",), seen=()), "Use it", "hybrid search"),
        (report(seen=[]), "Test on documents you trained on", "dataset.split()"),
    ],
    ids=["step 0", "better", "worse", "unseen fell", "one query", "low", "other documents"],
)
def test_what_to_try_next_follows_what_was_found(
    made: EvaluationReport, first: str, also: str
) -> None:
    advice = what_next(made)
    assert first in advice[0]
    assert also in " ".join(advice)
