"""The report as a picture."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from nudge_integrations.errors import MissingExtraError, NudgeError
from nudge_integrations.evaluation import EvaluationReport, compare
from nudge_integrations.evaluation.picture import plot_report

from .builders import BEFORE, crowded, many, report, scores

PNG = b"\x89PNG\r\n\x1a\n"


def words_in(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def boxes_of(figure: Figure) -> list[tuple[str, Any]]:
    """Every text that is drawn, with its place in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    texts = [*figure.texts, *legends]
    for axes in figure.axes:
        texts += [each for each in axes.get_children() if isinstance(each, Text)]
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())
            ticks = axis.get_major_ticks() if axis.get_visible() else []
            texts += [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]
    renderer = canvas.get_renderer()
    return [
        (each.get_text(), each.get_window_extent(renderer)) for each in texts if each.get_text()
    ]


def test_bars_are_labelled_with_scores_changes_and_counts() -> None:
    words = words_in(report().plot())
    for expected in ("ndcg@10", "recall@10", "0.350", "0.500  +0.150", "0.350  -0.350"):
        assert expected in words
    for title in ("all  (n = 6)", "seen  (n = 4)", "unseen  (n = 2)"):
        assert title in words
    assert "NUDGE-N: ndcg@10 from 0.3500 to 0.5000" in words
    assert "Measured on: test queries" in words


def test_bars_are_as_long_as_the_scores() -> None:
    panel = next(axes for axes in report().plot().axes if "unseen" in axes.get_title(loc="left"))
    lengths = [bar.get_width() for bar in panel.patches]
    assert lengths == pytest.approx([0.7, 0.7, 0.35, 0.35])


def test_bars_that_fell_have_the_colour_of_harm() -> None:
    def colours(group: str) -> list[str]:
        axes = report().plot().axes
        panel = next(each for each in axes if each.get_title(loc="left").startswith(group))
        return [to_hex(bar.get_facecolor()) for bar in panel.patches]

    before, after, worse = "#b8bcc2", "#0072b2", "#b34700"
    assert colours("seen") == [before, before, after, after]
    assert colours("unseen") == [before, before, worse, worse]
    assert "after, fell" in words_in(report().plot())
    assert "after, fell" not in words_in(many(200, gain=0.2, metrics=("ndcg@10",)).plot())


def test_significant_changes_carry_the_mark() -> None:
    words = words_in(many(200, gain=0.2, metrics=("ndcg@10",)).plot())
    assert any(" +0." in word and word.endswith("*") for word in words)


def test_a_step_of_zero_is_the_headline() -> None:
    same = scores(BEFORE)
    made = compare(same, same, judged_on="test queries", step=0.0)
    assert "No step improved the held-out questions: vectors are unchanged." in words_in(
        made.plot()
    )
    asked = dataclasses.replace(made, step_reason="step 0 was asked for")
    assert "Vectors are unchanged: step 0 was asked for." in words_in(asked.plot())


def test_the_headline_does_not_hide_unseen_queries_that_fell() -> None:
    words = words_in(crowded(0.5).plot())
    assert "NUDGE-N: ndcg@10 from 0.5000 to 0.6000, worse on unseen queries" in words


@pytest.mark.parametrize(
    "made",
    [
        report(),
        report(seen=None),
        report(step=0.0, curve=((0.0, 0.5), (0.5, 0.4), (1.0, 0.1))),
        report(step=0.5, curve=((0.0, 0.1), (0.25, 0.3), (0.5, 0.4))),
        report(judged_on="cross-validation: each question judged by vectors tuned without it"),
        report(judged_on="every question that anybody ever asked " * 9, seen=None),
        report(step=0.0, seen=None),
        many(99, gain=0.3, metrics=("ndcg@10", "recall@10", "mrr@10", "hit_rate@10")),
        many(99, gain=-0.2, metrics=("recall_cap@1000", "precision@1000")),
        compare(scores([0.0, 0.0]), scores([0.0, 0.0]), judged_on="nothing found"),
        compare(scores([1.0, 1.0]), scores([1.0, 0.9]), judged_on="all found"),
    ],
    ids=[
        "three groups",
        "one group",
        "step zero",
        "the last step",
        "cross-validation",
        "a long name",
        "one group and step zero",
        "four metrics",
        "long metrics",
        "nothing found",
        "all found",
    ],
)
def test_no_two_words_overlap_and_none_leaves_the_picture(made: EvaluationReport) -> None:
    figure = made.plot()
    boxes = boxes_of(figure)
    assert len(boxes) > 8
    for (one, first), (other, second) in combinations(boxes, 2):
        assert not first.overlaps(second), f"{one!r} overlaps {other!r}"
    for word, box in boxes:
        assert box.x0 >= 0 <= box.y0, word
        assert box.x1 <= figure.bbox.x1, word
        assert box.y1 <= figure.bbox.y1, word


def test_a_long_line_does_not_squeeze_the_bars() -> None:
    def width(made: EvaluationReport) -> float:
        figure = made.plot()
        boxes_of(figure)
        return float(figure.axes[1].get_position().width)

    assert width(report(method="m" * 200)) == width(report(method="m"))


def test_the_saved_file_is_a_png_and_shows_the_data(tmp_path: Path) -> None:
    one, other, again = tmp_path / "one.png", tmp_path / "other.png", tmp_path / "again.png"
    report().plot(one)
    report().plot(again)
    many(50, gain=0.1, metrics=("ndcg@10", "recall@10")).plot(str(other))
    assert one.read_bytes().startswith(PNG)
    assert one.read_bytes() == again.read_bytes()
    assert one.read_bytes() != other.read_bytes()


@pytest.mark.parametrize(
    ("name", "start"), [("a.svg", b"<?xml"), ("a.pdf", b"%PDF"), ("a.PNG", PNG), ("plain", PNG)]
)
def test_the_ending_chooses_the_format(tmp_path: Path, name: str, start: bytes) -> None:
    plot_report(report(), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_an_unknown_ending_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(NudgeError, match=r"'plot\.exe'.*\.png, \.svg, \.pdf"):
        plot_report(report(), tmp_path / "plot.exe")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NudgeError, match=r"cannot write .*plot\.png"):
        plot_report(report(), tmp_path / "file" / "plot.png")


def test_without_matplotlib_the_error_holds_the_pip_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [each for each in sys.modules if each.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'nudge-integrations\[plot\]'"):
        report().plot(tmp_path / "plot.png")
    assert list(tmp_path.iterdir()) == []


def test_drawing_needs_no_pyplot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert report().plot().axes


def test_evaluation_loads_neither_matplotlib_nor_scipy_nor_torch_before_they_are_needed() -> None:
    code = (
        "import sys, nudge_integrations.evaluation;"
        "print(sorted({name.split('.')[0] for name in sys.modules}"
        " & {'matplotlib', 'scipy', 'torch', 'safetensors'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
