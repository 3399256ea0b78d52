"""The report's page in Chromium, as wide as a phone and as a desktop."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from nudge_integrations.evaluation import Scores, compare, with_rankings

pytestmark = pytest.mark.browser

NASTY = "<img src=x onerror=\"alert('img')\"><script>alert('script')</script>\u202egnol"
LONG = "averyveryverylongwordwithoutanybreak" * 12
QUERIES = {"q0": f"{NASTY} {LONG}", "q1": "mein Geld zurück?", "q2": "أين فاتورتي"}
TEXTS = {"d0": f"{NASTY} {LONG}", "d1": "Rückerstattungen " * 30, NASTY: "its id is code"}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    import numpy as np

    names = ("ndcg@10", "recall@10", "mrr@10", "recall@1")
    before = {name: np.linspace(0.1, 0.3, 60) for name in names}
    after = {name: np.linspace(0.3, 0.25, 60) for name in names}
    ids = tuple(f"q{place}" for place in range(60))
    ranks = np.arange(60) % 12
    made = compare(
        Scores(ids, before, ranks),
        Scores(ids, after, ranks[::-1].copy()),
        seen=ids[:40],
        judged_on=NASTY,
        queries=dict.fromkeys(ids, f"{NASTY} {LONG}") | QUERIES,
        method=NASTY,
        step=0.4,
        step_reason=LONG,
        curve=[(step / 10, 0.3 + step / 50) for step in range(12)],
        notes=(NASTY,),
    )
    ranking = {key: list(TEXTS) for key in ids}
    qrels = {name: {"d1": 1} for name in ids}
    return with_rankings(made, ranking, ranking, qrels=qrels, texts=TEXTS).to_html(
        tmp_path / "report.html"
    )


def test_the_page_fits_loads_nothing_and_runs_nothing(report: Path, page: Any) -> None:
    page.goto(report.as_uri())
    for unfold in page.locator("summary").all():
        unfold.click()

    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.asked == [report.as_uri()]
    assert page.complaints == []
    assert page.locator("img, script, iframe, a").count() == 0
    assert page.locator("h1").inner_text().startswith(("Better", "Worse", "No better"))


def test_nothing_stands_outside_or_upon_another(report: Path, page: Any) -> None:
    page.goto(report.as_uri())
    width = page.viewport_size["width"]
    for words in page.locator("svg text").all():
        box = words.bounding_box()
        assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= width + 1)
    panels = [each.bounding_box() for each in page.locator(".bars figure").all()]
    assert len(panels) == 3
    for one, other in itertools.pairwise(panels):
        beside = one["x"] + one["width"] <= other["x"] + 1
        assert beside or one["y"] + one["height"] <= other["y"] + 1
    below = page.locator(".bars").bounding_box()
    table = page.locator("table").bounding_box()
    assert below["y"] + below["height"] <= table["y"]
    assert table["x"] + table["width"] <= width
    lost = page.get_by_role("heading", name="Queries that lost most").bounding_box()
    assert lost["y"] < table["y"]


def test_no_figure_of_the_table_stands_upon_another(report: Path, page: Any) -> None:
    page.goto(report.as_uri())
    rows = page.locator("table tr:has(td)").all()
    assert len(rows) == 12
    for row in rows[:4]:
        boxes = [each.bounding_box() for each in row.locator("td").all()]
        assert len(boxes) == 6
        for one, other in itertools.combinations(boxes, 2):
            beside = (
                max(one["x"], other["x"])
                >= min(one["x"] + one["width"], other["x"] + other["width"]) - 1
            )
            below = (
                max(one["y"], other["y"])
                >= min(one["y"] + one["height"], other["y"] + other["height"]) - 1
            )
            assert beside or below


def test_no_label_of_the_curve_is_clipped(report: Path, page: Any) -> None:
    page.goto(report.as_uri())
    picture = page.locator(".curve svg").bounding_box()
    for label in page.locator(".curve svg text").all():
        box = label.bounding_box()
        assert box["x"] >= picture["x"] - 1
        assert box["x"] + box["width"] <= picture["x"] + picture["width"] + 1


def test_an_unfolded_query_shows_both_rankings_and_marks_the_answer(
    report: Path, page: Any
) -> None:
    page.goto(report.as_uri())
    first = page.locator("details").first
    assert not first.locator("ol").first.is_visible()
    first.locator("summary").click()

    assert first.locator("ol").count() == 2
    assert first.locator("ol").first.locator("li").count() == 3
    assert first.locator(".answer").count() == 2
    assert "alert('img')" in first.locator("b").first.inner_text()  # as text
    before, after = (each.bounding_box() for each in first.locator("section").all())
    wide = page.viewport_size["width"] > 1000
    assert (before["y"] == after["y"]) is wide  # side by side, or one below the other


def test_a_dark_page_is_dark_and_its_text_light(report: Path, page: Any) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(report.as_uri())
    colour = page.evaluate("getComputedStyle(document.querySelector('h1')).color")
    red, green, blue = (int(each) for each in colour.strip("rgb()").split(","))
    assert min(red, green, blue) > 180
