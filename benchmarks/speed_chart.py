"""Draw time against corpus size from the committed figures.

python benchmarks/speed_chart.py
"""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure

HERE = Path(__file__).parent
SIDES = {
    "nudge-ft N": ("nudge-ft 0.1.2", "#b8bac2"),
    "ours N": ("nudge-integrations", "#0072b2"),
    "bare pass": ("one bare product, queries x documents", "#d55e00"),
}
MAPPED = "ours N, memory-mapped"


def chart(results: dict[str, dict]) -> Figure:
    """One line a side, both axes logarithmic."""
    figure = Figure(figsize=(8, 3.9), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    for side, (label, color) in SIDES.items():
        points = {}
        for work, result in results.items():
            found = result["medians"].get(side)
            if work.startswith("growth, 1,000,000") and side == "ours N":
                found = result["medians"][MAPPED]
            if found and work.startswith(("NUDGE-N", "growth, 1,000,000")):
                count = result["size"].get("documents")
                if count:
                    points[count] = found["seconds"]
        sizes = sorted(points)
        axes.plot(sizes, [points[size] for size in sizes], "o-", color=color, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("documents of 384 dimensions (20,000 training, 2,000 validation questions)")
    axes.set_ylabel("seconds on 2 CPU cores")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e7eb")
    axes.set_axisbelow(True)
    axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    content = json.loads((HERE / "speed.json").read_text(encoding="utf-8"))
    chart(content["results"]).savefig(HERE / "speed.png")
