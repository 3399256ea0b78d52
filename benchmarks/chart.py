"""Draw README's chart from the committed figures.

python benchmarks/chart.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tables import average

HERE = Path(__file__).parent
INK = "#22242a"
NAMES = {
    "nfcorpus": "nutrition articles (NFCorpus)",
    "scifact": "scientific claims (SciFact)",
    "covidqa_passages": "COVID-19 papers (COVID-QA)",
    "datatalks_faq_llm2human": "course FAQ (DataTalks)",
    "cosqa_devtest": "Python functions (CoSQA)",
    "cranfield": "aerodynamics (Cranfield)",
    "llamaindex_10k_llmgen": "10-K filings (LlamaIndex)",
    "squad_v1_dev": "Wikipedia passages (SQuAD)",
}
WAYS = {
    "untuned": ("untuned", "#b8bac2"),
    "linear adapter": ("linear query adapter", "#e69f00"),
    "nudge-ft N": ("NUDGE-N (nudge-ft)", "#56b4e9"),
    "NudgeC": ("NUDGE-C, the default here", "#0072b2"),
}


def apart(values: list[float], width: float = 0.011, step: float = 0.27) -> list[float]:
    """How far to raise or lower each dot so that none hides another at nearly the same value."""
    heights = [0.0] * len(values)
    placed: list[int] = []
    for at in sorted(range(len(values)), key=lambda each: values[each]):
        for height in (0.0, step, -step, 2 * step):
            near = (other for other in placed if abs(values[other] - values[at]) < width)
            if all(heights[other] != height for other in near):
                heights[at] = height
                break
        placed.append(at)
    return heights


def chart(sets: dict[str, Any]) -> Figure:
    """One line per data set, one dot per method, the largest gain on top; seconds at the end."""
    points = {
        name: {way: average(runs, way, "ndcg@10") or 0.0 for way in WAYS}
        for name, runs in sets.items()
    }
    names = sorted(points, key=lambda name: points[name]["NudgeC"] - points[name]["untuned"])
    figure = Figure(figsize=(9.4, 4.6), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    for row, name in enumerate(names):
        values = list(points[name].values())
        axes.plot([min(values), max(values)], [row, row], color="#e6e7eb", linewidth=3, zorder=1)
        heights = apart(values)
        for value, height, (label, color) in zip(values, heights, WAYS.values(), strict=True):
            axes.scatter(
                [value],
                [row + height],
                color=color,
                s=58,
                zorder=3,
                edgecolors="white",
                linewidths=0.8,
                label=label if row == 0 else None,
            )
        gain = points[name]["NudgeC"] - points[name]["untuned"]
        seconds = {way: average(sets[name], way, "seconds") for way in ("NudgeC", "linear adapter")}
        axes.text(
            1.01,
            row,
            f"{gain:+.3f}   {seconds['NudgeC']:.0f} s / {seconds['linear adapter']:.0f} s",
            va="center",
            fontsize=9,
            color=INK,
        )
    heading = "gain, and seconds\nNUDGE-C / adapter"
    axes.text(1.01, len(names) - 0.5, heading, fontsize=8, color=INK)
    axes.set_yticks(range(len(names)), [NAMES[name] for name in names], color=INK)
    axes.set_xlim(0.28, 1.2)
    axes.set_ylim(-0.7, len(names) + 0.3)
    axes.set_xticks([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    axes.set_xlabel("NDCG@10 on test questions (all-MiniLM-L6-v2)", color=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#f0f1f4", zorder=0)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper left", ncols=4, frameon=False, fontsize=9)
    return figure


if __name__ == "__main__":
    content = json.loads((HERE / "methods.json").read_text(encoding="utf-8"))
    chart(content["sets"]).savefig(HERE / "quality.png")
