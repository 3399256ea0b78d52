"""The options that several commands have."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from nudge_integrations.errors import NudgeError

Run: TypeAlias = Callable[[argparse.Namespace], int]
# As a string: the class cannot be subscripted where the program runs.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands, name: str, run: Run, summary: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """Add a command with the options that every command has."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, parser=parser)
    add_talk(parser)
    return parser


def add_talk(parser: argparse.ArgumentParser) -> None:
    """Add the options that make the command say more; they may stand before a command or after."""
    # Suppressed defaults, so that a command's parser leaves alone what stood before its name.
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
    """Add the option that turns off progress bars."""
    parser.add_argument(
        "-q",
        "--quiet",
        "--no-progress",
        action="store_false",
        dest="show_progress",
        help="draw no progress bars",
    )


def add_cache(parser: Any) -> None:
    """Add the options that say where embeddings are kept."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--cache",
        metavar="DIR",
        default=True,
        help="keep embeddings in DIR, so that no text is embedded twice (default: $NUDGE_CACHE_DIR "
        "or the user's cache folder)",
    )
    group.add_argument(
        "--no-cache", action="store_false", dest="cache", help="keep no embeddings on disk"
    )


def add_model(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the options about the embedding model and how it runs."""
    group = parser.add_argument_group("embedding")
    group.add_argument(
        "--model",
        metavar="NAME",
        help=f"a sentence-transformers model: its name or its folder (default: {default})",
    )
    add_cache(group)
    group.add_argument(
        "--batch-size", type=int, metavar="N", help="texts in one batch (default: 32)"
    )
    group.add_argument(
        "--device", help="such as cpu, cuda or mps (default: the best that there is)"
    )
    group.add_argument(
        "--half-precision", action="store_true", help="compute in float16; needs --device cuda"
    )


def add_tuned(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add the option that names a saved run."""
    parser.add_argument(
        "--tuned",
        metavar="DIR",
        type=Path,
        required=required,
        help="the folder that `nudge fit --out DIR` (or engine.save) wrote",
    )


def picture(text: str) -> Path:
    """Type of an argument that names a picture."""
    return _with_ending(text, (".png", ".svg", ".pdf"))


def page(text: str) -> Path:
    """Type of an argument that names a page."""
    return _with_ending(text, (".html",))


def npy(text: str) -> Path:
    """Type of an argument that names an array."""
    return _with_ending(text, (".npy",))


def _with_ending(text: str, endings: tuple[str, ...]) -> Path:
    if not text.lower().endswith(endings):
        raise argparse.ArgumentTypeError(f"{text!r} must end in {' or '.join(endings)}")
    return Path(text)


def check_device(name: str | None) -> None:
    """Refuse a device that does not exist here, before anything is loaded.

    Raises:
        NudgeError: Unknown, or not in this machine.
    """
    if name is None:
        return
    import torch

    try:
        # To hold something is the only question that every kind of device answers.
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise NudgeError(f"cannot use --device {name}: {reason}; try --device cpu") from error
