"""The report as files: a page and a picture, for every command that has one."""

from __future__ import annotations

import argparse
from typing import Any

from nudge_integrations.cli.options import page, picture
from nudge_integrations.cli.terminal import note
from nudge_integrations.common.lazy import require
from nudge_integrations.evaluation import EvaluationReport


def add_report_files(parser: Any) -> None:
    """Add the options that write the report to files."""
    parser.add_argument(
        "--html",
        metavar="FILE",
        type=page,
        help="write the report as a page: queries won and lost with what they found, what to try "
        "next; ends in .html",
    )
    parser.add_argument(
        "--plot", metavar="FILE", type=picture, help="draw the report; ends in .png, .svg or .pdf"
    )


def check_report_files(args: argparse.Namespace) -> None:
    """Refuse what could not be drawn before any work is done."""
    if args.plot is not None:
        require("matplotlib", "plot")


def write_report_files(report: EvaluationReport, args: argparse.Namespace) -> None:
    """Write the files that were asked for."""
    if args.html is not None:
        report.to_html(args.html)
        note(f"wrote the report into {args.html}")
    if args.plot is not None:
        report.plot(args.plot)
        note(f"drew the report into {args.plot}")
