"""`nudge evaluate`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from nudge_integrations.cli.data import DOCUMENTS_HELP, documents, read_table
from nudge_integrations.cli.options import (
    Commands,
    add_command,
    add_model,
    add_quiet,
    add_tuned,
    check_device,
    flag,
)
from nudge_integrations.cli.reports import (
    add_report_files,
    add_report_form,
    check_report_files,
    say_report,
    write_report_files,
)
from nudge_integrations.cli.terminal import note
from nudge_integrations.common.arrays import name_some
from nudge_integrations.errors import DataError, NudgeError
from nudge_integrations.relevance import RelevanceDataset

if TYPE_CHECKING:
    from nudge_integrations.embedding import Embedder
    from nudge_integrations.evaluation import EvaluationReport
    from nudge_integrations.tuning.run import Corpus
    from nudge_integrations.tuning.tuned import TunedVectors

_DESCRIPTION = """\
Measure a saved run on judged questions: retrieval over all documents with the
original vectors and with the tuned ones. Use questions that the run was not
tuned on: any run looks good on those."""

_EXAMPLES = """\
  nudge evaluate --tuned tuned --beir data --split test
  nudge evaluate --tuned tuned --llama-index test.json --html report.html"""

_UNCHECKED = (
    "a saved run does not keep its training questions: if some of these are among them, the "
    "figures are too good"
)


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands, "evaluate", run, "measure a saved run on other questions", _DESCRIPTION, _EXAMPLES
    )
    parser.usage = "nudge evaluate --tuned DIR (--beir DIR | --llama-index FILE) [options]"
    add_tuned(parser)
    add_questions(parser)
    add_model(parser, "the one that the run was made with")
    add_report_form(parser)
    add_report_files(parser)
    add_quiet(parser)


def add_questions(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the questions to measure on."""
    group = parser.add_argument_group("data")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument("--beir", metavar="DIR", type=Path, help="a folder in BEIR's layout")
    source.add_argument(
        "--llama-index",
        metavar="FILE",
        type=Path,
        help="questions and documents as LlamaIndex's JSON",
    )
    flag(source, "--pairs FILE", "a table (.csv, .jsonl, .parquet) of questions and answers")
    flag(group, "--documents PATH", DOCUMENTS_HELP, type=Path)
    group.add_argument("--split", help="with --beir: which questions (default: test)")


def run(args: argparse.Namespace) -> int:
    """Measure before and after."""
    check_report_files(args)
    report = measured(args)
    write_report_files(report, args)
    say_report(report, args)
    return 0


def measured(args: argparse.Namespace) -> EvaluationReport:
    """The report on a saved run over the questions that the options name.

    Raises:
        NudgeError: The run, the questions or the model cannot be used.
    """
    if not args.beir and args.split is not None:
        args.parser.error("--split: goes with --beir, not with --llama-index or --pairs")
    from nudge_integrations.tuning.run import Corpus, Questions, measure
    from nudge_integrations.tuning.tuned import TunedVectors

    tuned = TunedVectors.load(args.tuned)
    dataset = _read(args)
    check_device(args.device)
    embedder = _embedder(args, tuned.model.name)
    tuned.check_model(embedder.fingerprint)
    corpus = Corpus.embed(dataset.corpus, embedder)
    tuned = _present(tuned, corpus)
    chosen = tuned.report
    report = measure(
        tuned,
        corpus,
        Questions.embed(dataset, embedder),
        judged_on=f"{len(dataset.judged_queries)} {_name(args)}",
        curve=chosen.curve if chosen else (),
        reason=chosen.step_reason if chosen else "",
    )
    return dataclasses.replace(report, notes=(*report.notes, _UNCHECKED))


def _read(args: argparse.Namespace) -> RelevanceDataset:
    table = read_table(args, documents(args))
    if table is not None:
        dataset = table
    elif args.llama_index:
        dataset = RelevanceDataset.from_llama_index(args.llama_index)
    else:
        dataset = RelevanceDataset.from_beir(args.beir, args.split or "test")
    if not dataset.corpus:
        place = args.llama_index or args.pairs
        raise DataError(f"{place} has no documents to search; add its corpus, or --documents")
    return dataset


def _embedder(args: argparse.Namespace, name: str) -> Embedder:
    from nudge_integrations.embedding import Embedder

    try:
        return Embedder(
            args.model or name,
            cache=args.cache,
            batch_size=args.batch_size,
            device=args.device,
            half_precision=args.half_precision,
            show_progress=args.show_progress,
        )
    except NudgeError as error:
        if args.model is None:
            # A run stores only the last part of a local model's path.
            raise NudgeError(f"{error}. If its model is in a folder, name that: --model") from error
        raise


def _name(args: argparse.Namespace) -> str:
    if args.pairs:
        return f"questions of {args.pairs.name}"
    if args.llama_index:
        return f"questions of {args.llama_index.name}"
    return f"{args.split or 'test'} questions of {args.beir.resolve().name}"


def _present(tuned: TunedVectors, corpus: Corpus) -> TunedVectors:
    """The tuned vectors whose documents are in the corpus with the text that was tuned.

    Raises:
        DataError: Something moved, but none of it is there.
    """
    hash_of = dict(zip(corpus.ids, corpus.hashes, strict=True))
    known = zip(tuned.ids, tuned.text_hashes, strict=True)
    same = [hash_of.get(name) == text for name, text in known]
    rows = [row for row, is_same in enumerate(same) if is_same]
    if len(rows) == len(tuned):
        return tuned
    lost = [name for name, is_same in zip(tuned.ids, same, strict=True) if not is_same]
    if not rows:
        raise DataError(
            f"none of the {len(tuned)} documents that the run moved ({name_some(lost)}) is in "
            "this corpus with the text that was tuned: name the documents of the run"
        )
    counts = "not moved"
    if tuned.field is not None:
        counts = "new, which move with their neighbours if at all"
    note(
        f"{len(lost)} of {len(tuned)} moved documents are not in this corpus, or have another "
        f"text, and count as {counts}: {name_some(lost)}"
    )
    kept = tuple(tuned.ids[row] for row in rows)
    return dataclasses.replace(
        tuned,
        ids=kept,
        vectors=tuned.vectors[rows],
        originals=tuned.originals[rows],
        text_hashes=tuple(tuned.text_hashes[row] for row in rows),
        labelled=tuple(name for name in tuned.labelled if name in set(kept)),
    )
