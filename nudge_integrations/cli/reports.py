"""The report on stdout and as files, for every command that has one."""

from __future__ import annotations

import argparse
import json
from typing import Any

from nudge_integrations.cli.options import page, picture
from nudge_integrations.cli.terminal import note, say
from nudge_integrations.common.lazy import require
from nudge_integrations.evaluation import EvaluationReport


def add_report_form(parser: Any) -> None:
    """Add the options that choose how the report is printed."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--full", action="store_true", help="print every figure of the report")
    group.add_argument(
        "--json", action="store_true", help="print the report as JSON, with its verdict, only"
    )


def add_report_files(parser: Any) -> None:
    """Add the options that write the report to files."""
    parser.add_argument(
        "--html",
        metavar="FILE",
        type=page,
        help="write the report as a page: queries lost and won with what they found, what to try "
        "next; ends in .html",
    )
    parser.add_argument(
        "--plot", metavar="FILE", type=picture, help="draw the report; ends in .png, .svg or .pdf"
    )


def check_report_files(args: argparse.Namespace) -> None:
    """Refuse what could not be drawn before any work is done."""
    if args.plot is not None:
        require("matplotlib", "plot")


def say_report(report: EvaluationReport, args: argparse.Namespace) -> None:
    """Print the report: six lines, or what `--full` and `--json` ask for."""
    if args.json:
        say(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        say(str(report) if args.full else report.summary())


def write_report_files(report: EvaluationReport, args: argparse.Namespace) -> None:
    """Write the files that were asked for."""
    if args.html is not None:
        report.to_html(args.html)
        note(f"wrote the report to {args.html}")
    if args.plot is not None:
        report.plot(args.plot)
        note(f"drew the report in {args.plot}")
