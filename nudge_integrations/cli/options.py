"""The options that several commands share. Those of the engine are derived from `EngineOptions`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

from nudge_integrations.errors import NudgeError
from nudge_integrations.tuning.options import EngineOptions

Run: TypeAlias = Callable[[argparse.Namespace], int]
# As a string: the class cannot be subscripted at run time.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

# Metavar and help of every engine option that has a flag.
_ENGINE_FLAGS: dict[str, tuple[str | None, str]] = {
    "method": (
        None,
        "c: NUDGE-C, this package's own; n: NUDGE-N, from the paper; m: NUDGE-M, for "
        "stores that rank by inner product only",
    ),
    "metric": (None, "how your store ranks"),
    "validation_metric": ("METRIC", "what to improve, e.g. recall@5 or mrr@10 (default: ndcg@10)"),
    "protect_unseen": (
        "LOSS",
        "the largest estimated loss to accept on questions about documents that have no training "
        "questions (default: 0.05; 0 accepts none; --method c only)",
    ),
    "selection": (
        None,
        "cross-validation: every question ends up shaping the vectors; holdout: "
        "validation questions only choose the step",
    ),
    "gamma": ("G", "use this step instead of choosing one"),
    "seed": ("N", "random seed"),
    "batch_size": ("N", "texts to embed at once (default: 32)"),
    "device": (None, "e.g. cpu, cuda or mps (default: the best available)"),
    "half_precision": (None, "compute in float16; needs --device cuda"),
}
# Short names of the three methods; the engine takes instances, too, which no flag can name.
_CHOICES = {"method": ("c", "n", "m")}


def add_engine_options(parser: Any, *names: str) -> None:
    """Add flags for engine options. One that is not given stays None; see `engine_options`."""
    hints = get_type_hints(EngineOptions, localns={"Method": object})
    for name in names:
        metavar, text = _ENGINE_FLAGS[name]
        default = getattr(EngineOptions, name, None)
        if default is not None and default is not False:
            text = f"{text} (default: {default})"
        keywords: dict[str, Any] = {"help": text, "default": None}
        hint = hints[name]
        if hint is bool:
            # Unlike store_true, this leaves None where the flag is not given.
            keywords |= {"action": "store_const", "const": True}
        elif name in _CHOICES or get_origin(hint) is Literal:
            keywords["choices"] = _CHOICES.get(name) or get_args(hint)
        else:
            members = get_args(hint) or (hint,)
            keywords |= {
                "type": next(kind for kind in (int, float, str) if kind in members),
                "metavar": metavar,
            }
        parser.add_argument(f"--{name.replace('_', '-')}", **keywords)


def engine_options(args: argparse.Namespace) -> Any:
    """The engine options that were given; all others are left to the engine's own defaults."""
    names = (*_ENGINE_FLAGS, "cache", "show_progress")
    return {name: args.__dict__[name] for name in names if args.__dict__.get(name) is not None}


def add_command(
    commands: Commands, name: str, run: Run, summary: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """Add a subcommand, with the options that every subcommand has."""
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
    """Add `--verbose` and `--debug`, which may stand before or after the subcommand."""
    # Suppressed defaults, so that a subcommand does not overwrite what stood before its name.
    parser.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=argparse.SUPPRESS,
        help="say what is being done (-vv: in detail)",
    )
    parser.add_argument(
        "--debug",
        action="store_true",
        default=argparse.SUPPRESS,
        help="show the traceback of an error",
    )


def add_quiet(parser: Any) -> None:
    """Add the option that hides progress bars."""
    parser.add_argument(
        "-q",
        "--quiet",
        "--no-progress",
        action="store_false",
        dest="show_progress",
        help="hide progress bars",
    )


def add_cache(parser: Any) -> None:
    """Add the options that say where embeddings are cached."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--cache",
        metavar="DIR",
        default=True,
        help="cache embeddings in DIR, so that no text is embedded twice (default: "
        "$NUDGE_CACHE_DIR, or your user cache folder)",
    )
    group.add_argument(
        "--no-cache", action="store_false", dest="cache", help="cache no embeddings on disk"
    )


def add_model(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the options that choose the embedding model and how it runs."""
    group = parser.add_argument_group("embedding")
    group.add_argument(
        "--model",
        metavar="NAME",
        help=f"a sentence-transformers model, by name or folder (default: {default})",
    )
    add_cache(group)
    add_engine_options(group, "batch_size", "device", "half_precision")


def add_tuned(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add the option that names a saved run."""
    parser.add_argument(
        "--tuned",
        metavar="DIR",
        type=Path,
        required=required,
        help="folder written by `nudge fit --out DIR` or engine.save(DIR)",
    )


def picture(text: str) -> Path:
    """Argument type: a picture to write."""
    return _with_ending(text, (".png", ".svg", ".pdf"))


def page(text: str) -> Path:
    """Argument type: an HTML page to write."""
    return _with_ending(text, (".html",))


def npy(text: str) -> Path:
    """Argument type: a NumPy array to write."""
    return _with_ending(text, (".npy",))


def _with_ending(text: str, endings: tuple[str, ...]) -> Path:
    if not text.lower().endswith(endings):
        raise argparse.ArgumentTypeError(f"{text!r} must end in {' or '.join(endings)}")
    return Path(text)


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
