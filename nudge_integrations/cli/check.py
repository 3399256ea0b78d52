"""`nudge check`."""

from __future__ import annotations

import argparse

from nudge_integrations.cli.data import read_splits
from nudge_integrations.cli.evaluate import add_questions, measured
from nudge_integrations.cli.options import (
    Commands,
    add_command,
    add_model,
    add_quiet,
    add_tuned,
    check_device,
)
from nudge_integrations.cli.reports import (
    add_report_files,
    add_report_form,
    check_report_files,
    say_report,
    write_report_files,
)
from nudge_integrations.cli.terminal import note
from nudge_integrations.errors import NudgeError
from nudge_integrations.evaluation import EvaluationReport

_TOO_LOW = 3

_DESCRIPTION = """\
Fail with exit code 3 if a metric changes by less than allowed: for CI, and
before a tuned store goes live. With --tuned, the saved run is measured, as in
`nudge evaluate`. Without it, the training questions are tuned on, as in
`nudge fit`, and nothing is saved. --min-unseen bounds the questions whose
answers have no training questions."""

_EXAMPLES = """\
  nudge check --beir data --min-change 0
  nudge check --tuned tuned --beir data --min-change .01 --min-unseen -.02"""


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands, "check", run, "fail if tuning does not gain enough", _DESCRIPTION, _EXAMPLES
    )
    parser.usage = "nudge check [--tuned DIR] (--beir DIR | --llama-index FILE) [options]"
    add_tuned(parser, required=False)
    add_questions(parser)
    group = parser.add_argument_group("bounds")
    group.add_argument(
        "--min-change",
        type=float,
        default=0.0,
        metavar="X",
        help="the least change of the metric over all questions, -1 to 1 (default: 0)",
    )
    group.add_argument(
        "--min-unseen", type=float, metavar="X", help="the same over unseen questions"
    )
    group.add_argument(
        "--on", default="ndcg@10", metavar="METRIC", help="which metric (default: ndcg@10)"
    )
    add_model(parser, "the saved run's, or all-MiniLM-L6-v2")
    add_report_form(parser)
    add_report_files(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, and compare with the bounds."""
    check_report_files(args)
    report = measured(args) if args.tuned else _tuned_now(args)
    write_report_files(report, args)
    say_report(report, args)
    bounds = {"all": args.min_change, "unseen": args.min_unseen}
    failed = [
        _failure(report, args.on, group, least)
        for group, least in bounds.items()
        if least is not None
    ]
    for each in filter(None, failed):
        note(f"check failed: {each}")
    return _TOO_LOW if any(failed) else 0


def _tuned_now(args: argparse.Namespace) -> EvaluationReport:
    """The report on a run with the default method, which is not saved."""
    names = dict.fromkeys(("train", "dev", "val_dataset", "test_dataset"))
    splits = read_splits(
        argparse.Namespace(**vars(args), **names, test=args.split, drop_leaks=False)
    )
    check_device(args.device)
    from nudge_integrations.tuning.engine import FinetuneEngine

    engine = FinetuneEngine(
        splits.train,
        None,
        args.model,
        val_dataset=splits.validation,
        test_dataset=splits.test,
        cache=args.cache,
        batch_size=args.batch_size,
        device=args.device,
        half_precision=args.half_precision,
        show_progress=args.show_progress,
    )
    engine.finetune()
    if engine.tuned.report is None:
        raise NudgeError("too few questions to hold any out: there is nothing to check")
    return engine.tuned.report


def _failure(report: EvaluationReport, metric: str, group: str, least: float) -> str:
    if group not in {row.group for row in report.rows}:
        return ""  # nothing moved, so no question differs from another
    row = report.row(metric, group)
    if row.difference is None or row.difference >= least:
        return ""
    change = f"{row.metric} changed by {row.difference:+.4f} over {group} queries"
    return f"{change}; the least is {least:+g}"
