"""Draw README's chart from the committed figures.

python benchmarks/chart.py
"""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure

HERE = Path(__file__).parent
UNTUNED, TUNED = "untuned", "ours N, all judgments"
GREY, BLUE, INK = "#b8bac2", "#0072b2", "#22242a"


def chart(results: dict[str, dict]) -> Figure:
    """One line a data set, from the untuned score to the tuned one, the largest gain on top."""
    points = {
        name: (each["scores"][UNTUNED]["ndcg@10"], each["scores"][TUNED]["ndcg@10"])
        for name, each in results.items()
    }
    names = sorted(points, key=lambda name: points[name][1] - points[name][0])
    figure = Figure(figsize=(8, 3.9), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    for row, name in enumerate(names):
        before, after = points[name]
        axes.plot([before, after], [row, row], color=BLUE, linewidth=2, zorder=1)
        axes.scatter(
            [before], [row], color=GREY, s=60, zorder=2, label="before" if row == 0 else None
        )
        axes.scatter(
            [after], [row], color=BLUE, s=60, zorder=3, label="after" if row == 0 else None
        )
        gain = after - before
        text = f"{gain:+.3f}" if gain else "unchanged (step 0)"
        axes.annotate(
            text,
            (max(before, after), row),
            (10, 0),
            textcoords="offset points",
            va="center",
            color=INK,
            fontsize=9,
        )
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.set_xlim(0.25, 1.0)
    axes.set_xlabel("NDCG@10 on test questions (all-MiniLM-L6-v2)", color=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e6e7eb", zorder=0)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", frameon=False)
    return figure


if __name__ == "__main__":
    content = json.loads((HERE / "quality.json").read_text(encoding="utf-8"))
    chart(content["results"]).savefig(HERE / "quality.png")
