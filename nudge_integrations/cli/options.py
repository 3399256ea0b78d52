"""The options that several commands share. Those of the engine are derived from `EngineOptions`."""

from __future__ import annotations

import argparse
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

from nudge_integrations.cli.terminal import note, say
from nudge_integrations.errors import NudgeError
from nudge_integrations.tuning.options import EngineOptions

if TYPE_CHECKING:
    from nudge_integrations.embedding import Embedder
    from nudge_integrations.evaluation import EvaluationReport

Run: TypeAlias = Callable[[argparse.Namespace], int]
# As a string: the class cannot be subscripted at run time.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

# The engine options that have a flag.
_ENGINE_FLAGS = (
    *("method", "metric", "validation_metric", "protect_unseen", "selection", "gamma", "seed"),
    *("batch_size", "device", "half_precision"),
)
# The engine also takes instances of methods, which no flag can name.
_CHOICES = {"method": ("c", "n", "m")}


def flag(parser: Any, spelling: str, text: str, **keywords: Any) -> None:
    """Add an option.

    Args:
        parser: A parser or a group of one.
        spelling: Its names and, unless it is a switch, the placeholder of its value:
            `"-o --out DIR"`.
        text: The help; a default other than None is added to it.
        keywords: Passed on to `add_argument`.
    """
    *names, last = spelling.split()
    if last.startswith("-"):
        names.append(last)
        if not keywords.keys() & {"action", "choices"}:
            keywords["action"] = "store_true"
    else:
        keywords["metavar"] = last
        keywords.setdefault("type", {"DIR": Path, "FILE": Path, "N": int}.get(last, str))
    if keywords.get("default") not in (None, True, argparse.SUPPRESS):
        text = f"{text} (default: {keywords['default']})"
    parser.add_argument(*names, help=text, **keywords)


def add_engine_options(parser: Any, *names: str) -> None:
    """Add flags for engine options, with the help that `EngineOptions` gives of each.

    One that is not given stays None; see `engine_options`.
    """
    hints = get_type_hints(EngineOptions, localns={"Method": object})
    for name in names:
        kinds = get_args(hints[name]) or (hints[name],)
        if kinds == (bool,):
            # Unlike store_true, this leaves None if the flag is not given.
            keywords: dict[str, Any] = {"action": "store_const", "const": True}
        elif name in _CHOICES or get_origin(hints[name]) is Literal:
            keywords = {"choices": _CHOICES.get(name, kinds)}
        else:
            kind = next(kind for kind in (int, float, str) if kind in kinds)
            keywords = {"type": kind, "metavar": {int: "N", float: "X"}.get(kind, name.upper())}
        text = " ".join(_described(name).split()).replace("`", "").replace('"', "")
        parser.add_argument(f"--{name.replace('_', '-')}", help=text, **keywords)


def _described(name: str) -> str:
    """What the docstring of `EngineOptions` says of an option, fit for argparse."""
    told = EngineOptions.__doc__ or ""
    found = re.search(rf"^ +{name}: (.+?)\.?$(?=\n +\w+: |\n\n)", told, re.DOTALL | re.MULTILINE)
    return found[1].replace("%", "%%") if found else ""


def engine_options(args: argparse.Namespace) -> Any:
    """The engine options that were given; all others are left to the engine's own defaults."""
    names = (*_ENGINE_FLAGS, "cache", "show_progress")
    return {name: args.__dict__[name] for name in names if args.__dict__.get(name) is not None}


def add_command(
    commands: Commands,
    name: str,
    run: Run,
    summary: str = "",
    description: str = "",
    examples: str = "",
) -> argparse.ArgumentParser:
    """Add a subcommand, with the options that every subcommand has.

    Without texts, they are those of the docstring of `run`: its first line, what follows, and
    the examples.
    """
    if not summary:
        text, _, examples = (inspect.getdoc(run) or name).partition("\n\nExamples:\n")
        summary, _, description = text.partition("\n\n")
        summary = summary[0].lower() + summary[1:].rstrip(".")
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, parser=parser)
    add_verbosity(parser)
    return parser


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Add `--verbose` and `--debug`, which may come before or after the subcommand."""
    # Suppressed defaults, so that a subcommand does not overwrite what came before its name.
    hidden: dict[str, Any] = {"default": argparse.SUPPRESS}
    flag(
        parser, "-v --verbose", "say what is being done (-vv: in detail)", action="count", **hidden
    )
    flag(parser, "--debug", "show the traceback of an error", action="store_true", **hidden)


def add_quiet(parser: Any) -> None:
    """Add the option that hides progress bars."""
    names = "-q --quiet --no-progress"
    flag(parser, names, "hide progress bars", action="store_false", dest="show_progress")


def add_cache(parser: Any) -> None:
    """Add the options that say where embeddings are cached."""
    group = parser.add_mutually_exclusive_group()
    text = (
        "cache embeddings in DIR, so that no text is embedded twice (default: $NUDGE_CACHE_DIR, or "
    )
    flag(group, "--cache DIR", f"{text}your user cache folder)", default=True, type=str)
    flag(group, "--no-cache", "cache no embeddings on disk", action="store_false", dest="cache")


def add_model(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the options that choose the embedding model and how it runs."""
    group = parser.add_argument_group("embedding")
    text = f"a sentence-transformers model, by name or folder (default: {default})"
    flag(group, "--model NAME", text)
    add_cache(group)
    add_engine_options(group, "batch_size", "device", "half_precision")


def add_tuned(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add the option that names a saved run."""
    text = "folder written by `nudge fit --out DIR` or engine.save(DIR)"
    flag(parser, "--tuned DIR", text, required=required)


def add_source(group: Any, beir: str, llama_index: str) -> None:
    """Add the options of which one names the questions; the first two take their help."""
    source = group.add_mutually_exclusive_group(required=True)
    flag(source, "--beir DIR", beir)
    flag(source, "--llama-index FILE", llama_index)
    text = "a table (.csv, .jsonl, .parquet) of questions and answers: ids, file names or texts"
    flag(source, "--pairs FILE", text)
    flag(source, "--feedback FILE", "a log of clicks and thumbs (.csv, .jsonl), by document id")


def add_report(parser: Any, *, form: bool = True) -> None:
    """Add the options that choose how a report is printed, if `form`, and what it is written to."""
    if form:
        group = parser.add_mutually_exclusive_group()
        flag(group, "--full", "print every figure of the report")
        flag(group, "--json", "print only the report, with its verdict, as JSON")
    text = "write the report as a page: queries lost and won with what they found, what to try next"
    flag(parser, "--html FILE", f"{text}; ends in .html", type=ending(".html"))
    text = "draw the report; ends in .png, .svg or .pdf"
    flag(parser, "--plot FILE", text, type=ending(".png", ".svg", ".pdf"))


def deliver(report: EvaluationReport, args: argparse.Namespace) -> None:
    """Write the report to the requested files, and print it in the requested form."""
    if args.html is not None:
        report.to_html(args.html)
        note(f"wrote the report to {args.html}")
    if args.plot is not None:
        report.plot(args.plot)
        note(f"drew the report in {args.plot}")
    if "json" not in args:
        return
    if args.json:
        say(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        say(str(report) if args.full else report.summary())


def ending(*endings: str) -> Callable[[str], Path]:
    """Argument type: a file to write, whose name ends in one of these."""

    def path(text: str) -> Path:
        if not text.lower().endswith(endings):
            raise argparse.ArgumentTypeError(f"{text!r} must end in {' or '.join(endings)}")
        return Path(text)

    return path


def check_device(name: str | None) -> None:
    """Refuse an unavailable device before anything is loaded.

    Raises:
        NudgeError: There is no such device, or this machine lacks it.
    """
    if name is None:
        return
    import torch

    try:
        # Allocating is the only check that every kind of device supports.
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise NudgeError(f"cannot use --device {name}: {reason}; try --device cpu") from error


def embedder(args: argparse.Namespace, default: str) -> Embedder:
    """The embedding model that the options of `add_model` choose."""
    return EngineOptions(**engine_options(args)).make_embedder(args.model or default)
