"""`nudge check`."""

from __future__ import annotations

import argparse

from nudge_integrations.cli.evaluate import add_questions, measured
from nudge_integrations.cli.options import Commands, add_command, add_model, add_quiet, add_tuned
from nudge_integrations.cli.reports import (
    add_report_files,
    add_report_form,
    check_report_files,
    say_report,
    write_report_files,
)
from nudge_integrations.cli.terminal import note
from nudge_integrations.evaluation import EvaluationReport

_TOO_LOW = 3

_DESCRIPTION = """\
Measure a saved run as `nudge evaluate` does, and fail with exit code 3 if a
metric changed by less than allowed: for CI, and before a tuned store goes live.
The bounds are on means; --min-unseen is on the questions whose answers have no
training questions."""

_EXAMPLES = """\
  nudge check --tuned tuned --beir data --min-change 0
  nudge check --tuned tuned --beir data --min-change .01 --min-unseen -.02 --json"""


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands, "check", run, "fail if a saved run does not gain enough", _DESCRIPTION, _EXAMPLES
    )
    parser.usage = "nudge check --tuned DIR (--beir DIR | --llama-index FILE) [options]"
    add_tuned(parser)
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
    add_model(parser, "the one that the run was made with")
    add_report_form(parser)
    add_report_files(parser)
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, and compare with the bounds."""
    check_report_files(args)
    report = measured(args)
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


def _failure(report: EvaluationReport, metric: str, group: str, least: float) -> str:
    if group not in {row.group for row in report.rows}:
        return ""  # nothing moved, so no question differs from another
    row = report.row(metric, group)
    if row.difference is None or row.difference >= least:
        return ""
    return f"{row.metric} changed by {row.difference:+.4f} over {group} queries; the least is {least:+g}"
