"""Draw the picture of the concepts page: the method itself, run on five documents.

python docs/draw_method.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nudge_integrations import NudgeC
from nudge_integrations.common.arrays import FloatMatrix

INK, QUIET, QUESTION, MOVED = "#22262b", "#9aa1a9", "#c7662c", "#0072b2"
STEP = 3.0
SIDEWAYS = 0.4  # from here on a name stands beside its document, not above it
# Degrees on the unit circle. The questions about refunds lie nearer to the opening hours.
DOCUMENTS = {"opening hours": 104, "refunds": 60, "student prices": 124, "parking": 152, "jobs": 34}
QUESTIONS = {
    "money back?": (86, "refunds"),
    "return a ticket": (82, "refunds"),
    "cheaper for pupils?": (131, "student prices"),
}


def vectors(degrees: list[float]) -> FloatMatrix:
    """Unit vectors at these angles, shape `(n, 2)`."""
    angles = np.radians(np.array(degrees, np.float64))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def draw() -> Figure:
    """Before on the left, after on the right; each question points at what it finds."""
    names = list(DOCUMENTS)
    questions = vectors([angle for angle, _ in QUESTIONS.values()])
    answers = [[names.index(answer)] for _, answer in QUESTIONS.values()]
    before = vectors(list(DOCUMENTS.values()))
    train = {"q_embs": questions, "q_ans_indx": answers}
    after = NudgeC(temperatures=(0.05,)).finetune_embeddings(before, train, gamma=STEP)
    figure = Figure(figsize=(9.6, 2.5), dpi=160, layout="constrained", facecolor="white")
    titles = (
        "Before: two questions find the opening hours",
        "After: every question finds its answer",
    )
    for place, (documents, title) in enumerate(zip((before, after), titles, strict=True)):
        panel = figure.add_subplot(1, 2, place + 1)
        panel.set_title(title, fontsize=10, color=INK, loc="left")
        _draw_panel(panel, documents, before, questions, [each[0] for each in answers])
    return figure


def _draw_panel(
    panel: Any, documents: Any, before: Any, questions: FloatMatrix, answers: list[int]
) -> None:
    arc = np.linspace(np.radians(20), np.radians(165), 200)
    panel.plot(np.cos(arc), np.sin(arc), color="#e3e5e8", linewidth=1.2, zorder=1)
    found = np.argmax(questions @ documents.T, axis=1)
    for (words, _), vector, row, answer in zip(
        QUESTIONS.items(), questions, found, answers, strict=True
    ):
        inner = 0.72 * vector
        right = row == answer
        panel.annotate(
            "",
            documents[row] * 0.985,
            inner,
            arrowprops={
                "arrowstyle": "->",
                "color": MOVED if right else QUESTION,
                "linestyle": "-" if right else (0, (3, 2)),
            },
        )
        panel.scatter(*inner, marker="*", s=70, color=QUESTION, zorder=3)
        panel.annotate(
            words,
            inner,
            xytext=(0, -12 if vector[0] < 0.1 else -23),
            textcoords="offset points",
            ha="left" if vector[0] < -0.2 else "center",
            fontsize=8.5,
            color=QUESTION,
        )
    for name, vector, old in zip(DOCUMENTS, documents, before, strict=True):
        moved = not np.allclose(vector, old, atol=1e-3)
        panel.scatter(*vector, s=48, color=MOVED if moved else INK, zorder=4)
        if moved:
            panel.scatter(*old, s=40, facecolors="white", edgecolors=QUIET, zorder=3)
            panel.annotate(
                "",
                vector * 1.045,
                old * 1.045,
                arrowprops={"arrowstyle": "->", "color": MOVED, "connectionstyle": "arc3,rad=-.1"},
            )
        out = vector * 1.1
        side = "center" if abs(vector[0]) < SIDEWAYS else "right" if vector[0] < 0 else "left"
        panel.text(*out, name, ha=side, va="center", fontsize=8.5, color=INK)
    panel.set_xlim(-1.25, 1.25)
    panel.set_ylim(0.35, 1.22)
    panel.set_aspect("equal")
    panel.set_axis_off()


if __name__ == "__main__":
    draw().savefig(Path(__file__).parent / "assets" / "method.png")
