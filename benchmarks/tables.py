"""Write the tables of benchmarks/README.md from the JSON beside it.

python benchmarks/tables.py
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, median
from typing import Any

HERE = Path(__file__).parent
PARTS = (
    *("methods", "model", "tried", "stores", "filters", "questions", "imports"),
    *("first_result", "downstream", "install"),
)
PAGES = (HERE / "README.md", HERE.parent / "docs" / "faq.md")


def average(runs: dict[str, Any], way: str, figure: str) -> float | None:
    """Mean over the seeds of one data set; None where no test query is of that kind."""
    values = [run["ways"][way].get(figure) for run in runs.values()]
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def ways_of(sets: dict[str, Any]) -> list[str]:
    return list(next(iter(next(iter(sets.values())).values()))["ways"])


def table(sets: dict[str, Any], figure: str, pattern: str, against: str | None = None) -> list[str]:
    """Rows of ways, columns of data sets, and the mean; as changes where `against` is a way."""
    lines = [f"| | {' | '.join(sets)} | mean |", "|---" * (len(sets) + 2) + "|"]
    for way in ways_of(sets):
        cells: list[float | None] = []
        for runs in sets.values():
            value = average(runs, way, figure)
            if value is not None and against is not None:
                value -= average(runs, against, figure) or 0.0
            cells.append(value)
        known = [cell for cell in cells if cell is not None]
        shown = ["" if cell is None else pattern.format(cell) for cell in (*cells, mean(known))]
        lines.append(f"| {way} | {' | '.join(shown)} |")
    return lines


def small(changes: dict[str, list[float]]) -> list[str]:
    """Mean, worst and best change from 30 questions."""
    lines = [
        "| | mean change | worst draw | best draw | draws that moved |",
        "|---|---|---|---|---|",
    ]
    for name, values in changes.items():
        lines.append(
            f"| {name} | {mean(values):+.4f} | {min(values):+.4f} | {max(values):+.4f} "
            f"| {sum(value != 0 for value in values)} of {len(values)} |"
        )
    return lines


def tried(content: dict[str, Any]) -> list[str]:
    """Variants of NUDGE-C: gain on held-out questions by data set, its mean, and unseen ones."""
    variants = content["variants"]
    sets = list(variants["as it is"])
    lines = [
        f"| | {' | '.join(sets)} | mean | unseen, mean |",
        "|---" * (len(sets) + 3) + "|",
    ]
    for name, runs in variants.items():
        cells = [f"{runs[each]['gain']:+.4f}" for each in sets]
        gain = mean(runs[each]["gain"] for each in sets)
        unseen = mean(runs[each].get("unseen", 0.0) for each in sets)
        lines.append(f"| {name} | {' | '.join(cells)} | {gain:+.4f} | {unseen:+.4f} |")
    return lines


def model(content: dict[str, Any], methods: dict[str, Any]) -> list[str]:
    """Fine-tuning the model beside moving vectors, on the split that both were made with."""
    lines = [
        "| | way | NDCG@10 | recall@10 | seen | unseen | seconds to tune |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in content["sets"].items():
        ways = methods["sets"][name]["0"]["ways"]
        shown = {way: ways[way] for way in ("untuned", "nudge-ft N", "linear adapter", "NudgeC")}
        for way, each in (shown | {"model fine-tuned": found}).items():
            figures = [f"{each[key]:.4f}" for key in ("ndcg@10", "recall@10", "seen", "unseen")]
            lines.append(f"| {name} | {way} | {' | '.join(figures)} | {each['seconds']:.1f} |")
    return lines


def stores(content: dict[str, Any]) -> list[str]:
    """What tuning a live store cost, by its size."""
    lines = [
        "| store | documents | read | search | write | our own | peak MiB | bytes read "
        "| recall@10 of the index |",
        "|---" * 9 + "|",
    ]
    for name, sizes in content["stores"].items():
        for each in sizes.values():
            spent = each["seconds"]
            times = [f"{spent[key]:.1f} s" for key in ("read", "search", "write", "our own")]
            lines.append(
                f"| {name} | {each['documents']:,} | {' | '.join(times)} | {each['peak MiB']:,} "
                f"| {each['bytes read'] / 1e6:.0f} MB ({each['share of the budget']:.0%} of the "
                f"budget) | {each['recall@10 of the index']:.3f} |"
            )
    return lines


def filters(content: dict[str, Any]) -> list[str]:
    """What each filter of generated questions changes."""
    lines = [
        "| data set | filter | questions | NDCG@10 on test | as many at random (mean, range) |",
        "|---|---|---|---|---|",
    ]
    for name, figures in content["sets"].items():
        lines.append(f"| {name} | (untuned) | | {figures['untuned']:.4f} | |")
        every = figures["all"]
        lines.append(f"| {name} | (none) | {every['questions']:,} | {every['ndcg@10']:.4f} | |")
        for title, each in figures["filters"].items():
            draws = each["as many at random"]
            spread = f"{mean(draws):.4f} ({min(draws):.4f} to {max(draws):.4f})"
            shown = spread if len(draws) > 1 else ""
            lines.append(
                f"| {name} | {title} | {each['questions']:,} | {each['ndcg@10']:.4f} | {shown} |"
            )
    return lines


def questions(content: dict[str, Any]) -> list[str]:
    """What generating questions takes."""
    runs, many = content["runs"], content["10,000 documents"]
    again = content["10,000 documents, resumed when all is done"]
    seconds = {name: median(run["seconds"] for run in each) for name, each in runs.items()}
    return [
        "| | measured | asked for |",
        "|---|---|---|",
        f"| {content['documents']} documents, 16 at once against one at a time | "
        f"{seconds['16 at once']:.2f} s against {seconds['one at a time']:.1f} s: "
        f"{content['times faster']:.1f} times faster | 12 times |",
        f"| 10,000 documents, 64 at once: peak memory, of which imports | {many['peak MiB']} MiB, "
        f"{many['MiB after imports']} MiB | 300 MB |",
        f"| the same again, everything remembered | {again['seconds']:.2f} s | 2 s |",
    ]


def imports(content: dict[str, Any]) -> list[str]:
    """Seconds to import, and what is added to the framework's own."""
    lines = ["| import | seconds | added | asked for |", "|---" * 4 + "|"]
    for name, seconds in content["median seconds"].items():
        added = content["seconds added"].get(name, {})
        more = ", ".join(f"{value:.2f} to {base}" for base, value in added.items())
        asked = content["asked for"].get(name)
        limit = "" if asked is None else f"{'adds ' if added else ''}below {asked}"
        lines.append(f"| {name} | {seconds:.2f} | {more} | {limit} |")
    return lines


def first_result(content: dict[str, Any]) -> list[str]:
    """What a newcomer waits for."""
    asked = {
        "from an empty folder to the report, seconds": "below 300",
        "tuning, everything embedded, seconds by framework": "below 5",
    }
    lines = ["| | seconds | asked for |", "|---" * 3 + "|"]
    for name, value in content["results"].items():
        shown = " and ".join(map(str, value)) if isinstance(value, list) else str(value)
        what = name.replace(", seconds by framework", ", LlamaIndex and LangChain")
        lines.append(f"| {what.removesuffix(', seconds')} | {shown} | {asked.get(name, '')} |")
    return lines


def downstream(content: dict[str, Any]) -> list[str]:
    """NDCG@10 before and after by what follows the search."""
    sets = content["sets"]
    lines = [f"| NDCG@10, untuned to tuned | {' | '.join(sets)} |", "|---" * (len(sets) + 1) + "|"]
    for name in next(iter(sets.values()))["pipelines"]:
        cells = []
        for found in sets.values():
            each = found["pipelines"][name]
            before, after = each["ndcg@10"]
            error = each["standard error"]
            cells.append(f"{before:.3f} to {after:.3f} ({after - before:+.3f} ± {error:.3f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def install(content: dict[str, Any]) -> list[str]:
    """What an installation takes, with and without the model library."""
    lines = ["| extras | packages | MB | seconds |", "|---" * 4 + "|"]
    for name, each in content["results"].items():
        lines.append(f"| `{name}` | {each['packages']} | {each['MB']:,} | {each['seconds']} |")
    return lines


def tables(content: dict[str, Any]) -> dict[str, list[str]]:
    """Every table, by what it shows."""
    sets = content["sets"]
    result = {
        "NDCG@10 on test": table(sets, "ndcg@10", "{:.4f}"),
        "Recall@10 on test": table(sets, "recall@10", "{:.4f}"),
        "Change of NDCG@10, seen test queries": table(sets, "seen", "{:+.3f}", "untuned"),
        "Change of NDCG@10, unseen test queries": table(sets, "unseen", "{:+.3f}", "untuned"),
        "Seconds to tune, choosing included": table(sets, "seconds", "{:.1f}"),
    }
    if content.get("30 questions"):
        result["Change of NDCG@10 from 30 questions, NudgeC"] = small(content["30 questions"])
    return result


def everything() -> dict[str, str]:
    """The tables of every part of README.md that is written by this script, by the part's mark."""
    content = {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name in PARTS
        if (path := HERE / f"{name}.json").exists()
    }
    found = {
        "methods": "\n\n".join(
            f"**{name}**\n\n" + "\n".join(lines)
            for name, lines in tables(content["methods"]).items()
        )
    }
    for name, lines in {
        "model": lambda: model(content["model"], content["methods"]),
        "tried": lambda: tried(content["tried"]),
        "stores": lambda: stores(content["stores"]),
        "filters": lambda: filters(content["filters"]),
        "questions": lambda: questions(content["questions"]),
        "imports": lambda: imports(content["imports"]),
        "first_result": lambda: first_result(content["first_result"]),
        "downstream": lambda: downstream(content["downstream"]),
        "install": lambda: install(content["install"]),
    }.items():
        if name in content:
            found[name] = "\n".join(lines())
    return found


def main() -> None:
    pages = {path: path.read_text(encoding="utf-8") for path in PAGES}
    for name, lines in everything().items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        places = [path for path, text in pages.items() if begin in text and end in text]
        if not places:
            raise SystemExit(f"no page has a place for {name}: {begin.strip()} ... {end}")
        for path in places:
            before, _, rest = pages[path].partition(begin)
            pages[path] = f"{before}{begin}{lines}\n{end}{rest.partition(end)[2]}"
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
