"""`nudge show`, `nudge apply` and `nudge revert`."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from nudge_integrations.cli import live, options
from nudge_integrations.cli.options import flag
from nudge_integrations.cli.terminal import note, say
from nudge_integrations.common.arrays import name_some
from nudge_integrations.errors import DataError, NudgeError

if TYPE_CHECKING:
    from nudge_integrations.tuning.saved import Exchange

_STORE = "the saved store: its folder or its .json file"


def add_to(commands: options.Commands) -> None:
    """Add the commands to the parser."""
    parser = options.add_command(commands, "show", show)
    text = "the folder that `nudge fit --out DIR` wrote"
    parser.add_argument("tuned", metavar="DIR", type=Path, help=text)
    flag(parser, "--ids", "print the ids of the moved documents, and nothing else")
    options.add_report(parser)
    parser = options.add_command(commands, "apply", apply)
    options.add_tuned(parser)
    flag(parser, "--store PATH", _STORE, required=True)
    parser = options.add_command(commands, "revert", revert)
    options.add_tuned(parser, required=False)
    flag(parser, "--store PATH", f"{_STORE}, or the address of a running one", required=True)
    group = parser.add_argument_group("running stores")
    live.add_details(group)
    flag(group, "--forget", "give up the originals of rows that cannot be restored now")
    options.add_quiet(parser)


def show(args: argparse.Namespace) -> int:
    """What a saved run holds.

    Describe a saved run: method, step, embedding model, moved documents, and the
    report. The checksum of the whole run is verified on the way.

    Examples:
      nudge show tuned
      nudge show tuned --html report.html
      nudge show tuned --ids > moved.txt
    """
    from nudge_integrations.tuning.tuned import TunedVectors

    if args.ids and (args.html or args.plot or args.full or args.json):
        args.parser.error("--ids: goes without the options of the report")
    tuned = TunedVectors.load(args.tuned)
    if args.ids:
        say("\n".join(tuned.ids))
        return 0
    if tuned.report is None and (args.html is not None or args.plot is not None or args.json):
        raise NudgeError(f"the run in {args.tuned} has no report: nothing was measured")
    if not args.json:
        moved = f"{len(tuned):,}" + (f": {name_some(tuned.ids)}" if len(tuned) else "")
        say(f"Method:           {tuned.method.upper()}, step {tuned.step:.4g}")
        say(f"Ranked by:        {tuned.metric}")
        say(f"Model:            {tuned.model.name} ({tuned.model.dimension} dimensions)")
        say(f"Moved documents:  {moved}\n")
    if tuned.report is None:
        say("No report: nothing was measured.")
    else:
        options.deliver(tuned.report, args)
    return 0


def apply(args: argparse.Namespace) -> int:
    """Put tuned vectors into a saved store.

    The store is a saved NudgeVectorStore (LangChain: store.save(PATH);
    LlamaIndex: persist). A vector is replaced only if the store still holds the
    one the run started from; all others are left alone and counted.
    `nudge revert` restores the original bytes.

    Other stores (Chroma, Qdrant, ...) get tuned vectors through an embedding
    model, with the lines that `nudge fit` prints, or in place with `nudge tune`.

    Examples:
      nudge apply --tuned tuned --store my_store
      nudge apply --tuned tuned --store storage/default__vector_store.json
    """
    from nudge_integrations.tuning.saved import apply_to_saved
    from nudge_integrations.tuning.tuned import TunedVectors

    tuned = TunedVectors.load(args.tuned)
    result = apply_to_saved(args.store, tuned)
    _tell(result, "the tuned vector", "the one that the run started from")
    if result.metric != tuned.metric:
        note(
            f"the run was made for {tuned.metric!r}, and this store ranks by {result.metric!r}: "
            "the numbers of its report hold only if all vectors have length 1"
        )
    if result.changed:
        names = "--tuned", str(args.tuned), "--store", args.store
        say(f"Undo: {shlex.join(['nudge', 'revert', *names])}")
    return 0


def revert(args: argparse.Namespace) -> int:
    """Restore the original vectors.

    They are restored byte for byte: in a saved NudgeVectorStore, wherever it
    holds a tuned vector of the run --tuned, or in a running store such as
    chroma:./db#docs, from the originals kept with it.

    Examples:
      nudge revert --tuned tuned --store my_store
      nudge revert --store postgresql://me@localhost/shop#items
    """
    if args.tuned is None:
        if "#" not in args.store:
            args.parser.error("--tuned is needed for a saved store")
        return live.revert(args)
    from nudge_integrations.tuning.saved import revert_in_saved
    from nudge_integrations.tuning.tuned import TunedVectors

    result = revert_in_saved(args.store, TunedVectors.load(args.tuned))
    _tell(result, "the original vector", "this run's tuned one")
    return 0


def _tell(result: Exchange, new: str, old: str) -> None:
    """Say what changed and what was left alone.

    Raises:
        DataError: The run and the store have nothing to do with each other.
    """
    left = {
        f"already with {new}": result.already,
        "not in the store": result.absent,
        f"with another vector than {old}": result.different,
    }
    lines = [f"{what}: {len(ids)} ({name_some(ids)})" for what, ids in left.items() if ids]
    if not result.changed and not result.already and lines:
        raise DataError(
            f"nothing in {result.path} was changed; {'; '.join(lines)}. Is it the store of these "
            "documents, embedded by the same model and in the same way, and not tuned by another "
            "run (revert that one first)?"
        )
    say(f"{result.path}: {result.documents} documents, ranked by {result.metric}")
    if result.changed:
        count = f"{result.changed} {'vector' if result.changed == 1 else 'vectors'}"
        say(f"Exchanged {count}: each of these documents now has {new}.")
    else:
        say("Nothing to change" + ("." if lines else ": the run moved nothing."))
    for line in lines:
        say(f"Left alone, {line}")
    if result.different:
        note(
            "a vector differs if its text was embedded by another model, with another text, in "
            "another batch (the last digits), or was tuned by another run (revert that one first)"
        )
