"""What questions of a very small model are worth: SmolLM2-135M on the demo's documents.

    python benchmarks/small_model.py [--documents 240] [--checkpoint FOLDER]

The model (135 million parameters, on the CPU) writes questions for some of the demo's documents;
they alone tune the vectors, and the demo's test questions, which people asked, are the test.
Compared: untuned vectors, tuned with the model's questions, and tuned with people's questions
about the same documents. Figures go to small_model.json. With --checkpoint, a run that was
interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from machine import described

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))
PER_DOCUMENT, CHARACTERS, PORT = 2, 800, 18435


def figures(report: Any) -> dict[str, Any]:
    return {
        name: {
            "queries": row.queries,
            "untuned": round(row.before, 4),
            "tuned": round(row.after, 4),
            "p": round(row.p_value, 4),
        }
        for name in ("all", "seen", "unseen")
        if (row := report.row("ndcg@10", name)).queries
    }


def tuned(train: Any, test: Any) -> dict[str, Any]:
    from nudge_integrations.langchain import NudgeFinetuneEngine

    engine = NudgeFinetuneEngine(train, test_dataset=test, show_progress=False)
    engine.finetune()
    return {"questions": len(train), "step": engine.tuned.step, "ndcg@10": figures(engine.report)}


def measured(count: int, checkpoint: Any) -> dict[str, Any]:
    from langchain_openai import ChatOpenAI
    from model_server import SETTINGS, small_model

    from nudge_integrations import generate_questions
    from nudge_integrations.demo import demo_datasets
    from nudge_integrations.embedding import DEFAULT_MODEL, Embedder

    data = demo_datasets()
    embedder = Embedder(DEFAULT_MODEL)
    began = time.perf_counter()
    with small_model(PORT) as url:
        llm = ChatOpenAI(base_url=url, timeout=300, max_tokens=64, **SETTINGS)
        generated = generate_questions(
            data["train"].corpus,
            llm,
            max_documents=count,
            questions_per_document=PER_DOCUMENT,
            max_characters=CHARACTERS,
            concurrency=2,
            checkpoint=checkpoint,
            embed_model=embedder,
        )
    report = generated.report
    print(report, flush=True)
    asked = {generated.dataset.answers(name)[0] for name in generated.dataset.queries}
    whole = data["train"].merge(data["validation"])
    people = [name for name in whole.queries if asked.intersection(whole.answers(name))]
    return {
        "documents asked about": report.asked,
        "questions written": report.written,
        "dropped": {each.name: each.count for each in report.dropped},
        "examples": list(generated.dataset.queries.values())[:10],
        "seconds": round(time.perf_counter() - began, 1),
        "requests remembered from an interrupted run": report.usage.remembered,
        "model": tuned(generated.dataset, data["test"]),
        "people": tuned(whole.subset(people), data["test"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=240)
    parser.add_argument("--checkpoint", default=False)
    arguments = parser.parse_args()
    # The server must not outlive a run that is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    content = {
        "machine": described(),
        "model": "SmolLM2-135M-Instruct Q4_1",
        **{"documents": arguments.documents, "questions a document": PER_DOCUMENT},
        "results": measured(arguments.documents, arguments.checkpoint),
    }
    (HERE / "small_model.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content["results"], indent=1))


if __name__ == "__main__":
    main()
