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

from nudge_integrations.cli.data import DOCUMENTS_HELP, NONE, read_splits
from nudge_integrations.cli.options import (
    Commands,
    add_command,
    add_engine_options,
    add_model,
    add_quiet,
    add_source,
    check_device,
    engine_options,
    flag,
    npy,
)
from nudge_integrations.cli.reports import (
    add_report_files,
    add_report_form,
    check_report_files,
    say_report,
    write_report_files,
)
from nudge_integrations.cli.terminal import note, say
from nudge_integrations.common.files import write_atomically
from nudge_integrations.errors import NudgeError

if TYPE_CHECKING:
    from nudge_integrations.tuning.engine import FinetuneEngine
    from nudge_integrations.tuning.tuned import TunedVectors

_REPORT = "report.json"
_UNMEASURED = "Nothing could be measured: too few questions to hold any out."

_DESCRIPTION = """\
Embed documents and questions, move documents towards the questions they
answer, report what got better and worse on held-out questions, and save the
tuned vectors together with the originals, so that you can undo it.

How far to move (the step) is chosen on the dev questions or, without any, by
cross-validation over the training questions. If no step helps, nothing moves."""

_LAYOUT = """\
BEIR layout, one record per line:
  DIR/corpus.jsonl      {"_id": "d1", "title": "", "text": "Undo is exact ..."}
  DIR/queries.jsonl     {"_id": "q1", "text": "how do I go back?"}
  DIR/qrels/train.tsv   q1 <tab> d1 <tab> 1     (question, document, grade)
qrels/dev.tsv and qrels/test.tsv look the same; both are optional.
LlamaIndex JSON is what EmbeddingQAFinetuneDataset.save_json writes."""

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
    "a space, text). Queries and all other texts go to your own model as before; it must be "
    "{model}."
)
_INNER_PRODUCT = (
    'Use a store that ranks by inner product, such as NudgeVectorStore(metric="dot"): the '
    "vectors of NUDGE-M do not have unit length, so cosine ranks them wrongly."
)

_EXAMPLES = """\
  nudge fit --beir data --out tuned
  nudge fit --beir data --dev none --test holdout --out tuned --html report.html
  nudge fit --llama-index train.json --test-dataset test.json --out tuned
  nudge fit --beir data --method m --metric dot --out tuned"""


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands, "fit", run, "tune your documents with judged questions", _DESCRIPTION, _EXAMPLES
    )
    parser.usage = "nudge fit (--beir DIR | --pairs FILE | ...) --out DIR [options]"
    parser.epilog = f"{parser.epilog}\n\n{_LAYOUT}"
    _add_data(parser)
    _add_tuning(parser)
    add_model(parser, "all-MiniLM-L6-v2")
    _add_output(parser)


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    add_source(
        group, "a folder in BEIR layout", "training questions and documents as LlamaIndex JSON"
    )
    flag(group, "--documents PATH", DOCUMENTS_HELP, type=Path)
    flag(group, "--train SPLIT", "with --beir: split to train on (default: train)")
    for name, purpose in (("dev", "choose the step on"), ("test", "report on")):
        default = f"(default: {name}, if it exists; '{NONE}': no split)"
        flag(group, f"--{name} SPLIT", f"with --beir: split to {purpose} {default}")
    for name, purpose in (("val", "choose the step on"), ("test", "report on")):
        flag(group, f"--{name}-dataset FILE", f"with --llama-index: questions to {purpose}")
    flag(
        group,
        "--drop-leaks",
        "drop questions that also occur in an earlier split (default: an error)",
    )


def _add_tuning(parser: argparse.ArgumentParser) -> None:
    add_engine_options(
        parser.add_argument_group("tuning"),
        "method",
        "metric",
        "validation_metric",
        "protect_unseen",
        "selection",
        "gamma",
        "seed",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    files = f"folder for the tuned vectors, the originals, and {_REPORT}"
    flag(group, "--out DIR", files, required=True)
    flag(group, "--overwrite", "replace an existing run in --out")
    add_report_form(group)
    add_report_files(group)
    flag(
        group,
        "--embeddings FILE.npy",
        "also save the vectors of all documents, moved or not; ids go to FILE.ids.json",
        type=npy,
    )
    add_quiet(group)


def run(args: argparse.Namespace) -> int:
    """Tune, save, report, and say what to do next."""
    _check_outputs(args)
    splits = read_splits(args)
    check_device(args.device)
    from nudge_integrations.tuning.engine import FinetuneEngine

    engine = FinetuneEngine(
        splits.train,
        None,
        args.model,
        val_dataset=splits.validation,
        test_dataset=splits.test,
        **engine_options(args),
    )
    engine.finetune()
    _save(engine, args)
    if engine.tuned.report is not None:
        say_report(engine.tuned.report, args)
    else:
        say("null" if args.json else _UNMEASURED)
    if not args.json:
        say()
        say(_next_steps(engine.tuned, args.out))
    return 0


def _check_outputs(args: argparse.Namespace) -> None:
    """Refuse outputs that cannot or must not be written, before any work is done."""
    from nudge_integrations.tuning.saved import check_free
    from nudge_integrations.tuning.tuned import FILE_NAME

    check_report_files(args)
    if not args.overwrite:
        check_free(args.out, None, "pass --overwrite")
    for path in (args.out / FILE_NAME, args.html, args.plot, args.embeddings):
        if path is not None:
            _check_writable(path.absolute().parent)


def _check_writable(folder: Path) -> None:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise NudgeError(f"cannot write into {folder}; choose a writable folder")


def _save(engine: FinetuneEngine, args: argparse.Namespace) -> None:
    engine.save(args.out, overwrite=args.overwrite)
    report = engine.tuned.report
    report_path = args.out / _REPORT
    if report is None:
        # Otherwise the report of an overwritten run would look like this one's.
        report_path.unlink(missing_ok=True)
    else:
        text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False)
        write_atomically(report_path, f"{text}\n".encode("utf-8", "surrogatepass"))
    if args.embeddings is not None:
        _export(engine, args.embeddings)
    if report is not None:
        write_report_files(report, args)


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
    notes = [_TEXTS.format(model=tuned.model.name)]
    if tuned.method == "nudge-m":
        notes.append(_INNER_PRODUCT)
    steps = _NEXT_STEPS.format(
        folder=json.dumps(str(folder), ensure_ascii=False), argument=shlex.quote(str(folder))
    )
    vectors = "vector" if len(tuned) == 1 else "vectors"
    return "\n\n".join(
        [
            f"Saved {len(tuned)} tuned {vectors} and the originals in {folder}.",
            steps,
            *(textwrap.fill(each, 79, break_on_hyphens=False) for each in notes),
        ]
    )
