"""`nudge evaluate` and `nudge check`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from nudge_integrations.cli import options
from nudge_integrations.cli.data import DOCUMENTS_HELP, documents, read_splits, read_table
from nudge_integrations.cli.fit import tuned_engine
from nudge_integrations.cli.options import flag
from nudge_integrations.cli.terminal import note
from nudge_integrations.common.arrays import name_some
from nudge_integrations.errors import DataError, NudgeError
from nudge_integrations.relevance import RelevanceDataset

if TYPE_CHECKING:
    from nudge_integrations.embedding import Embedder
    from nudge_integrations.evaluation import EvaluationReport
    from nudge_integrations.tuning.run import Corpus
    from nudge_integrations.tuning.tuned import TunedVectors

_TOO_LOW = 3
_UNCHECKED = (
    "a saved run does not keep its training questions: if some of these are among them, the "
    "figures are too good"
)


def add_to(commands: options.Commands) -> None:
    """Add both commands to the parser."""
    parser = options.add_command(commands, "evaluate", run)
    parser.usage = "nudge evaluate --tuned DIR (--beir DIR | --pairs FILE | ...) [options]"
    options.add_tuned(parser)
    _add_questions(parser)
    options.add_model(parser, "the one that the run was made with")
    parser = options.add_command(commands, "check", check)
    parser.usage = "nudge check [--tuned DIR] (--beir DIR | --pairs FILE | ...) [options]"
    options.add_tuned(parser, required=False)
    _add_questions(parser)
    group = parser.add_argument_group("bounds")
    text = "the least change of the metric over all questions, -1 to 1"
    flag(group, "--min-change X", text, type=float, default=0.0)
    flag(group, "--min-unseen X", "the same over unseen questions", type=float)
    flag(group, "--on METRIC", "which metric", default="ndcg@10")
    options.add_model(parser, "the saved run's, or all-MiniLM-L6-v2")
    # What `nudge fit` has options for.
    names = ("train", "dev", "val_dataset", "test_dataset")
    parser.set_defaults(**dict.fromkeys(names), drop_leaks=False)


def _add_questions(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    llama_index = "questions and documents as LlamaIndex JSON"
    options.add_source(group, "a folder in BEIR layout", llama_index)
    flag(group, "--documents PATH", DOCUMENTS_HELP, type=Path)
    flag(group, "--split SPLIT", "with --beir: which questions (default: test)", dest="test")
    options.add_report(parser)
    options.add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Measure a saved run on other questions.

    Retrieval over all documents with the original vectors and with the tuned
    ones. Use questions that the run was not tuned on: any run looks good on
    those.

    Examples:
      nudge evaluate --tuned tuned --beir data --split test
      nudge evaluate --tuned tuned --llama-index test.json --html report.html
    """
    options.deliver(_measured(args), args)
    return 0


def check(args: argparse.Namespace) -> int:
    """Fail if tuning does not gain enough.

    Fail with exit code 3 if a metric changes by less than allowed: for CI, and
    before a tuned store goes live. With --tuned, the saved run is measured, as in
    `nudge evaluate`. Without it, the training questions are tuned on, as in
    `nudge fit`, and nothing is saved. --min-unseen sets the bound for questions
    whose answers have no training questions.

    Examples:
      nudge check --beir data --min-change 0
      nudge check --tuned tuned --beir data --min-change .01 --min-unseen -.02
    """
    if args.tuned:
        report = _measured(args)
    else:
        found = tuned_engine(args, read_splits(args)).tuned.report
        if found is None:
            raise NudgeError("too few questions to hold any out: there is nothing to check")
        report = found
    options.deliver(report, args)
    code = 0
    for group, least in (("all", args.min_change), ("unseen", args.min_unseen)):
        # Where nothing moved, there is one group only: no question differs from another.
        if least is None or group not in {each.group for each in report.rows}:
            continue
        row = report.row(args.on, group)
        if row.difference is not None and row.difference < least:
            change = f"{row.metric} changed by {row.difference:+.4f} over {group} queries"
            note(f"check failed: {change}; the least is {least:+g}")
            code = _TOO_LOW
    return code


def _measured(args: argparse.Namespace) -> EvaluationReport:
    """The report on a saved run over the questions that the options name."""
    if not args.beir and args.test is not None:
        args.parser.error("--split: goes with --beir, not with other sources")
    from nudge_integrations.tuning.run import Corpus, Questions, measure
    from nudge_integrations.tuning.tuned import TunedVectors

    tuned = TunedVectors.load(args.tuned)
    dataset = read_table(args, documents(args))
    source = args.pairs or args.feedback or args.llama_index or args.beir.resolve()
    if args.llama_index:
        dataset = RelevanceDataset.from_llama_index(args.llama_index)
    elif dataset is None:
        dataset = RelevanceDataset.from_beir(args.beir, args.test or "test")
    if not dataset.corpus:
        raise DataError(f"{source} has no documents to search; add its corpus, or --documents")
    options.check_device(args.device)
    model = _embedder(args, tuned.model.name)
    tuned.check_model(model.fingerprint)
    corpus = Corpus.embed(dataset.corpus, model)
    split = f"{args.test or 'test'} " if args.beir else ""
    report = measure(
        _present(tuned, corpus),
        corpus.ids,
        corpus.vectors,
        Questions.embed(dataset, model),
        judged_on=f"{len(dataset.judged_queries)} {split}questions of {source.name}",
    )
    return dataclasses.replace(report, notes=(*report.notes, _UNCHECKED))


def _embedder(args: argparse.Namespace, name: str) -> Embedder:
    try:
        return options.embedder(args, name)
    except NudgeError as error:
        if args.model is None:
            # A run stores only the last part of a local model's path.
            raise NudgeError(f"{error}. If its model is in a folder, name that: --model") from error
        raise


def _present(tuned: TunedVectors, corpus: Corpus) -> TunedVectors:
    """The tuned vectors whose documents are in the corpus with the text that was tuned.

    Raises:
        DataError: Something moved, but none of it is there.
    """
    there = set(zip(corpus.ids, corpus.hashes, strict=True))
    same = [each in there for each in zip(tuned.ids, tuned.text_hashes, strict=True)]
    lost = [name for name, is_same in zip(tuned.ids, same, strict=True) if not is_same]
    if not lost:
        return tuned
    if not any(same):
        raise DataError(
            f"none of the {len(tuned)} documents that the run moved ({name_some(lost)}) is in "
            "this corpus with the text that was tuned: name the documents of the run"
        )
    counts = (
        "not moved" if tuned.field is None else "new, which move with their neighbours if at all"
    )
    note(
        f"{len(lost)} of {len(tuned)} moved documents are not in this corpus, or have another "
        f"text, and count as {counts}: {name_some(lost)}"
    )
    rows = [row for row, is_same in enumerate(same) if is_same]
    return dataclasses.replace(
        tuned,
        ids=tuple(tuned.ids[row] for row in rows),
        vectors=tuned.vectors[rows],
        originals=tuned.originals[rows],
        text_hashes=tuple(tuned.text_hashes[row] for row in rows),
        labelled=tuple(name for name in tuned.labelled if name not in set(lost)),
    )
