"""`nudge fit`."""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nudge_integrations.cli import options
from nudge_integrations.cli.data import DOCUMENTS_HELP, NONE, Splits, read_splits
from nudge_integrations.cli.options import flag
from nudge_integrations.cli.terminal import note, say
from nudge_integrations.common.files import write_atomically
from nudge_integrations.errors import NudgeError

if TYPE_CHECKING:
    from nudge_integrations.tuning.engine import FinetuneEngine
    from nudge_integrations.tuning.tuned import TunedVectors

_REPORT = "report.json"

_NEXT_STEPS = """\
LlamaIndex, with any vector store:
    from nudge_integrations import TunedVectors
    from nudge_integrations.llama_index import NudgeEmbedding
    embed_model = NudgeEmbedding(embed_model, TunedVectors.load({folder}))

LangChain, with any vector store:
    from nudge_integrations import TunedVectors
    from nudge_integrations.langchain import NudgeEmbeddings
    embeddings = NudgeEmbeddings(embeddings, TunedVectors.load({folder}))

A NudgeVectorStore saved by either framework:
    nudge apply --tuned {argument} --store PATH

To undo, embed with your own model again or, for a saved store:
    nudge revert --tuned {argument} --store PATH"""

_TEXTS = (
    "A document gets its tuned vector when its text is exactly the one in your data (BEIR: title, "
    "a space, text).{others} Queries go to your own model as before; it must be {model}."
)
_FIELD = " Other documents, such as ones you add later, move like their neighbours."
_INNER_PRODUCT = (
    'Use a store that ranks by inner product, such as NudgeVectorStore(metric="dot"): the '
    "vectors of NUDGE-M do not have unit length, so cosine ranks them wrongly."
)


def add_to(commands: options.Commands) -> None:
    """Add the command to the parser."""
    parser = options.add_command(commands, "fit", run)
    parser.usage = "nudge fit (--beir DIR | --pairs FILE | ...) --out DIR [options]"
    group = parser.add_argument_group("data")
    llama_index = "training questions and documents as LlamaIndex JSON"
    options.add_source(group, "a folder in BEIR layout", llama_index)
    flag(group, "--documents PATH", DOCUMENTS_HELP, type=Path)
    flag(group, "--train SPLIT", "with --beir: split to train on (default: train)")
    for name, dataset, purpose in (("dev", "val", "choose the step"), ("test", "test", "report")):
        default = f"(default: {name}, if it exists; '{NONE}': no split)"
        flag(group, f"--{name} SPLIT", f"with --beir: split to {purpose} on {default}")
        text = f"with --llama-index: questions to {purpose} on"
        flag(group, f"--{dataset}-dataset FILE", text)
    text = "drop questions that also occur in an earlier split (default: an error)"
    flag(group, "--drop-leaks", text)
    group = parser.add_argument_group("tuning")
    names = ("method", "metric", "validation_metric", "protect_unseen", "selection")
    options.add_engine_options(group, *names, "gamma", "seed")
    options.add_model(parser, "all-MiniLM-L6-v2")
    group = parser.add_argument_group("output")
    files = f"folder for the tuned vectors, the originals, and {_REPORT}"
    flag(group, "--out DIR", files, required=True)
    flag(group, "--overwrite", "replace an existing run in --out")
    options.add_report(group)
    text = "also save the vectors of all documents, moved or not; ids go to FILE.ids.json"
    flag(group, "--embeddings FILE.npy", text, type=options.ending(".npy"))
    options.add_quiet(group)


def run(args: argparse.Namespace) -> int:
    """Tune your documents with judged questions.

    Embed documents and questions, move documents towards the questions they
    answer, report what got better and worse on held-out questions, and save the
    tuned vectors together with the originals, so that you can undo it.

    How far to move (the step) is chosen on the dev questions or, without any, by
    cross-validation over the training questions. If no step helps, nothing moves.

    Examples:
      nudge fit --beir data --out tuned
      nudge fit --beir data --dev none --test holdout --out tuned --html report.html
      nudge fit --llama-index train.json --test-dataset test.json --out tuned
      nudge fit --beir data --method m --metric dot --out tuned

    BEIR layout, one record per line:
      DIR/corpus.jsonl      {"_id": "d1", "title": "", "text": "Undo is exact ..."}
      DIR/queries.jsonl     {"_id": "q1", "text": "how do I go back?"}
      DIR/qrels/train.tsv   q1 <tab> d1 <tab> 1     (question, document, grade)
    qrels/dev.tsv and qrels/test.tsv look the same; both are optional.
    LlamaIndex JSON is what EmbeddingQAFinetuneDataset.save_json writes.
    """
    _check_outputs(args)
    engine = tuned_engine(args, read_splits(args))
    engine.save(args.out, overwrite=args.overwrite)
    report = engine.tuned.report
    if args.embeddings is not None:
        _export(engine, args.embeddings)
    if report is None:
        # Otherwise the report of an overwritten run would look like this one's.
        (args.out / _REPORT).unlink(missing_ok=True)
        unmeasured = "Nothing could be measured: too few questions to hold any out."
        say("null" if args.json else unmeasured)
    else:
        text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False)
        write_atomically(args.out / _REPORT, f"{text}\n".encode("utf-8", "surrogatepass"))
        options.deliver(report, args)
    if not args.json:
        say(f"\n{_next_steps(engine.tuned, args.out)}")
    return 0


def tuned_engine(args: argparse.Namespace, splits: Splits) -> FinetuneEngine:
    """An engine over these questions, with the options that were given, after its run."""
    options.check_device(args.device)
    from nudge_integrations.tuning.engine import FinetuneEngine

    engine = FinetuneEngine(
        splits.train,
        None,
        args.model,
        val_dataset=splits.validation,
        test_dataset=splits.test,
        **options.engine_options(args),
    )
    engine.finetune()
    return engine


def _check_outputs(args: argparse.Namespace) -> None:
    """Refuse outputs that cannot or must not be written, before any work is done."""
    from nudge_integrations.tuning.saved import check_free
    from nudge_integrations.tuning.tuned import FILE_NAME

    if not args.overwrite:
        check_free(args.out, None, "pass --overwrite")
    for path in filter(None, (args.out / FILE_NAME, args.html, args.plot, args.embeddings)):
        folder = path.absolute().parent
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise NudgeError(f"cannot write into {folder}; choose a writable folder")


def _export(engine: FinetuneEngine, path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, engine.finetuned_embeddings, allow_pickle=False)
    ids_path = path.with_suffix(".ids.json")
    write_atomically(path, buffer.getvalue())
    write_atomically(ids_path, json.dumps(list(engine.ids)).encode("ascii"))
    note(f"saved all {len(engine.ids)} vectors to {path} and their ids to {ids_path}")


def _next_steps(tuned: TunedVectors, folder: Path) -> str:
    if not len(tuned):
        return f"Saved the run in {folder}. No vector moved, so there is nothing to apply or undo."
    quoted = json.dumps(str(folder), ensure_ascii=False)
    others = "" if tuned.field is None else _FIELD
    notes = [_TEXTS.format(model=tuned.model.name, others=others)]
    if tuned.method == "nudge-m":
        notes.append(_INNER_PRODUCT)
    vectors = "vector" if len(tuned) == 1 else "vectors"
    parts = [
        f"Saved {len(tuned)} tuned {vectors} and the originals in {folder}.",
        _NEXT_STEPS.format(folder=quoted, argument=shlex.quote(str(folder))),
        *(textwrap.fill(each, 79, break_on_hyphens=False) for each in notes),
    ]
    return "\n\n".join(parts)
