"""`nudge fit`."""

from __future__ import annotations

import argparse
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nudge_integrations.cli import advice
from nudge_integrations.cli.data import NONE, read_splits
from nudge_integrations.cli.options import (
    Commands,
    add_command,
    add_model,
    add_quiet,
    check_device,
    npy,
)
from nudge_integrations.cli.reports import (
    add_report_files,
    check_report_files,
    write_report_files,
)
from nudge_integrations.cli.terminal import note, say
from nudge_integrations.common.files import write_atomically
from nudge_integrations.errors import NudgeError

if TYPE_CHECKING:
    from nudge_integrations.tuning.engine import FinetuneEngine

_REPORT = "report.json"

_DESCRIPTION = """\
Embed documents and questions, move the documents towards the questions that
they answer, report what improved and what did not on questions held out, and
save the moved vectors together with the original ones (for the undo).

How far to move (the step) is chosen on the dev questions; without any, by
cross-validation over the training questions. If no step helps, nothing moves."""

_LAYOUT = """\
BEIR's layout, one record a line:
  DIR/corpus.jsonl      {"_id": "d1", "title": "", "text": "Undo is exact ..."}
  DIR/queries.jsonl     {"_id": "q1", "text": "how do I go back?"}
  DIR/qrels/train.tsv   q1 <tab> d1 <tab> 1     (question, its answer, grade)
and the same for qrels/dev.tsv and qrels/test.tsv, if there are any.
LlamaIndex's JSON is what EmbeddingQAFinetuneDataset.save_json writes."""

_EXAMPLES = """\
  nudge fit --beir data --out tuned
  nudge fit --beir data --dev none --test holdout --out tuned --html report.html
  nudge fit --llama-index train.json --test-dataset test.json --out tuned
  nudge fit --beir data --method m --metric dot --out tuned"""


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands, "fit", run, "tune your documents with your questions", _DESCRIPTION, _EXAMPLES
    )
    parser.usage = "nudge fit (--beir DIR | --llama-index FILE) --out DIR [options]"
    parser.epilog = f"{parser.epilog}\n\n{_LAYOUT}"
    _add_data(parser)
    _add_tuning(parser)
    add_model(parser, "all-MiniLM-L6-v2")
    _add_output(parser)


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument("--beir", metavar="DIR", type=Path, help="a folder in BEIR's layout")
    source.add_argument(
        "--llama-index",
        metavar="FILE",
        type=Path,
        help="training questions and documents as LlamaIndex's JSON",
    )
    group.add_argument(
        "--train",
        metavar="SPLIT",
        help="with --beir: questions to learn from (default: train)",
    )
    for name, purpose in (("dev", "choose the step on"), ("test", "report on")):
        group.add_argument(
            f"--{name}",
            metavar="SPLIT",
            help=f"with --beir: questions to {purpose} (default: {name}, if there is one); "
            f"'{NONE}' to go without",
        )
    for name, purpose in (("val", "choose the step on"), ("test", "report on")):
        group.add_argument(
            f"--{name}-dataset",
            metavar="FILE",
            type=Path,
            help=f"with --llama-index: questions to {purpose}",
        )
    group.add_argument(
        "--drop-leaks",
        action="store_true",
        help="drop questions that stand in an earlier split too (default: an error)",
    )


def _add_tuning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tuning")
    group.add_argument(
        "--method",
        choices=("c", "n", "m"),
        default="c",
        help="c: NUDGE-C, this package's own (default); n: NUDGE-N, the paper's; m: NUDGE-M, for "
        "stores that rank by inner product only",
    )
    group.add_argument(
        "--protect-unseen",
        type=float,
        metavar="LOSS",
        help="the largest estimated loss of the metric that questions about documents without "
        "training questions may suffer (default: 0.05; 0: none; only with --method c)",
    )
    group.add_argument(
        "--metric",
        choices=("cosine", "dot"),
        default="cosine",
        help="how your store ranks (default: cosine)",
    )
    group.add_argument(
        "--validation-metric",
        metavar="METRIC",
        default="ndcg@10",
        help="what to raise, such as recall@5 or mrr@10 (default: ndcg@10)",
    )
    group.add_argument(
        "--selection",
        choices=("cross-validation", "holdout"),
        default="cross-validation",
        help="cross-validation: in the end every question shapes the vectors (default); holdout: "
        "validation questions choose the step and nothing else",
    )
    group.add_argument(
        "--gamma", type=float, metavar="G", help="move by this step instead of choosing one"
    )
    group.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the cross-validation (default: 0)"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        required=True,
        help=f"folder for the tuned vectors, the originals and {_REPORT}",
    )
    group.add_argument("--overwrite", action="store_true", help="replace the run that --out holds")
    add_report_files(group)
    group.add_argument(
        "--embeddings",
        metavar="FILE.npy",
        type=npy,
        help="save all documents' vectors too, moved or not; their ids go to FILE.ids.json",
    )
    add_quiet(group)


def run(args: argparse.Namespace) -> int:
    """Tune, save, report, and say what to do next."""
    _check_outputs(args)
    splits = read_splits(args)
    check_device(args.device)
    from nudge_integrations.tuning.engine import FinetuneEngine

    protection = {} if args.protect_unseen is None else {"protect_unseen": args.protect_unseen}
    engine = FinetuneEngine(
        splits.train,
        None,
        args.model,
        val_dataset=splits.validation,
        test_dataset=splits.test,
        method=args.method,
        metric=args.metric,
        validation_metric=args.validation_metric,
        selection=args.selection,
        gamma=args.gamma,
        seed=args.seed,
        cache=args.cache,
        batch_size=args.batch_size,
        device=args.device,
        half_precision=args.half_precision,
        show_progress=args.show_progress,
        **protection,
    )
    engine.finetune()
    _save(engine, args)
    say(str(engine.tuned.report or "Nothing could be measured: too few questions to hold any out."))
    say()
    say(advice.next_steps(engine.tuned, args.out))
    return 0


def _check_outputs(args: argparse.Namespace) -> None:
    """Refuse what could not be written, or must not be, before any work is done."""
    from nudge_integrations.tuning.tuned import FILE_NAME, check_free

    check_report_files(args)
    if not args.overwrite:
        check_free(args.out, None, "pass --overwrite")
    for path in (args.out / FILE_NAME, args.html, args.plot, args.embeddings):
        if path is not None:
            _check_writable(path.absolute().parent)


def _check_writable(folder: Path) -> None:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise NudgeError(f"cannot write into {folder}; choose a folder that can be written")


def _save(engine: FinetuneEngine, args: argparse.Namespace) -> None:
    engine.save(args.out, overwrite=args.overwrite)
    report = engine.tuned.report
    report_path = args.out / _REPORT
    if report is None:
        # One that an overwritten run left would be taken for this one's.
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
    note(f"saved all {len(engine.ids)} vectors into {path}, their ids into {ids_path}")
