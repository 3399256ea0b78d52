"""`nudge tune`, `nudge recover`, `nudge status`, and `nudge revert` for stores that are running."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from nudge_integrations.cli.data import NONE
from nudge_integrations.cli.options import (
    Commands,
    add_command,
    add_model,
    add_quiet,
    check_device,
)
from nudge_integrations.cli.terminal import note, say
from nudge_integrations.errors import DataError
from nudge_integrations.relevance import RelevanceDataset

_STORES = """\
A store is named by its kind, its place and the collection:
  chroma:FOLDER#COLLECTION       chroma:http://HOST:PORT#COLLECTION
  qdrant:FOLDER#COLLECTION       qdrant:http://HOST:PORT#COLLECTION  ($QDRANT_API_KEY)
  lancedb:FOLDER#TABLE           milvus:FILE#COLLECTION or http://   ($MILVUS_TOKEN)
  postgresql://USER@HOST/DATABASE#TABLE                              ($PGPASSWORD)"""

_TUNE = f"""\
Plan how to tune a vector store that is in use: read the documents that answer
a question, search once a question, and say what would move and what that would
gain. Nothing is written without --apply. Document ids are those of the store.

{_STORES}"""

_TUNE_EXAMPLES = """\
  nudge tune --store chroma:./db#docs --beir judged
  nudge tune --store postgresql://me@localhost/shop#items --beir judged --apply
  nudge status --store chroma:./db#docs
  nudge revert --store chroma:./db#docs"""

_RECOVER = f"""\
Finish an --apply or a revert that was interrupted; or undo it.

{_STORES}"""

_STATUS = f"""\
Tell what is tuned in a store, by which run, and where the originals are.

{_STORES}"""


def add_to(commands: Commands) -> None:
    """Add the commands to the parser."""
    tune = add_command(commands, "tune", run, "tune a store that is running", _TUNE, _TUNE_EXAMPLES)
    add_store(tune)
    _add_questions(tune)
    _add_tuning(tune)
    add_model(tune, "all-MiniLM-L6-v2")
    add_quiet(tune)
    recovering = add_command(
        commands,
        "recover",
        recover,
        "end an interrupted tune --apply",
        _RECOVER,
        "  nudge recover --store chroma:./db#docs",
    )
    add_store(recovering)
    recovering.add_argument(
        "--undo", action="store_true", help="put the originals back instead of completing"
    )
    add_quiet(recovering)
    telling = add_command(
        commands,
        "status",
        status,
        "tell what is tuned in a store",
        _STATUS,
        "  nudge status --store chroma:./db#docs",
    )
    add_store(telling)


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a live store."""
    group = parser.add_argument_group("store")
    group.add_argument("--store", metavar="ADDRESS", required=True, help="see above")
    add_details(group)


def add_details(group: Any) -> None:
    """Add what an address does not tell."""
    group.add_argument(
        "--metric",
        choices=("cosine", "dot", "l2"),
        help="how your application searches (LanceDB, PostgreSQL; default: as the index does)",
    )
    group.add_argument("--id-column", metavar="NAME", help="LanceDB, PostgreSQL (default: id)")
    group.add_argument(
        "--vector-column",
        metavar="NAME",
        help="LanceDB (default: vector), PostgreSQL (default: embedding)",
    )
    group.add_argument("--vector", metavar="NAME", help="Qdrant: which of the named vectors")
    group.add_argument(
        "--journal",
        metavar="DIR",
        type=Path,
        help="folder for the originals, if you may not create tables or collections (default: "
        "beside the vectors, in the store's own database)",
    )


def details(args: argparse.Namespace) -> dict[str, Any]:
    """What was said of the store, for `open_store`."""
    names = ("metric", "id_column", "vector_column", "vector")
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def _add_questions(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("questions")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--beir",
        metavar="DIR",
        type=Path,
        help="a folder with queries.jsonl and qrels/train.tsv; no document texts are needed",
    )
    source.add_argument(
        "--llama-index", metavar="FILE", type=Path, help="questions as LlamaIndex's JSON"
    )
    group.add_argument("--train", metavar="SPLIT", default="train", help="default: train")
    group.add_argument(
        "--dev",
        metavar="SPLIT",
        default=NONE,
        help=f"choose the step on this split (default: '{NONE}', cross-validation)",
    )
    group.add_argument("--fresh", action="store_true", help="forget the questions of earlier runs")


def _add_tuning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tuning")
    group.add_argument("--apply", action="store_true", help="write (default: a dry run)")
    group.add_argument(
        "--method", choices=("c", "n", "m"), default="c", help="see `nudge fit` (default: c)"
    )
    group.add_argument(
        "--protect-unseen", type=float, metavar="LOSS", help="see `nudge fit` (default: 0.05)"
    )
    group.add_argument("--gamma", type=float, metavar="G", help="a fixed step")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")


def run(args: argparse.Namespace) -> int:
    """Plan, say so, and write if that was asked for."""
    check_device(args.device)
    train, validation = _datasets(args)
    from nudge_integrations.embedding import DEFAULT_MODEL
    from nudge_integrations.stores import open_store, tune
    from nudge_integrations.tuning.options import EngineOptions, embedder_of

    store = open_store(args.store, **details(args))
    chosen: EngineOptions = {
        "cache": args.cache,
        "batch_size": args.batch_size,
        "device": args.device,
        "half_precision": args.half_precision,
        "show_progress": args.show_progress,
    }
    protection = {} if args.protect_unseen is None else {"protect_unseen": args.protect_unseen}
    plan = tune(
        store,
        train,
        embed_query=embedder_of(args.model or DEFAULT_MODEL, chosen),
        val_dataset=validation,
        method=args.method,
        fresh=args.fresh,
        journal=args.journal,
        show_progress=args.show_progress,
        gamma=args.gamma,
        seed=args.seed,
        device=args.device,
        **protection,
    )
    say(str(plan.report))
    say()
    if not args.apply:
        say("A dry run: nothing was written. Add --apply to write.")
        return 0
    say(str(plan.apply()))
    say(f"Undo: {_undo(args)}")
    return 0


def recover(args: argparse.Namespace) -> int:
    """Finish what was interrupted."""
    from nudge_integrations.stores import open_store
    from nudge_integrations.stores import recover as ended

    store = open_store(args.store, **details(args))
    say(str(ended(store, undo=args.undo, journal=args.journal, show_progress=args.show_progress)))
    return 0


def status(args: argparse.Namespace) -> int:
    """Tell what is tuned."""
    from nudge_integrations.stores import open_store
    from nudge_integrations.stores import status as told

    say(str(told(open_store(args.store, **details(args)), journal=args.journal)))
    return 0


def revert(args: argparse.Namespace) -> int:
    """Put the originals back."""
    from nudge_integrations.stores import open_store
    from nudge_integrations.stores import revert as put_back

    store = open_store(str(args.store), **details(args))
    done = put_back(
        store, forget=args.forget, journal=args.journal, show_progress=args.show_progress
    )
    say(str(done))
    return 0


def _datasets(args: argparse.Namespace) -> tuple[RelevanceDataset, RelevanceDataset | None]:
    if args.llama_index is not None:
        if args.dev != NONE:
            raise DataError("--dev goes with --beir")
        return RelevanceDataset.from_llama_index(args.llama_index), None
    train = RelevanceDataset.from_beir(args.beir, args.train, corpus=False)
    if args.dev == NONE:
        return train, None
    return train, RelevanceDataset.from_beir(args.beir, args.dev, corpus=False)


def _undo(args: argparse.Namespace) -> str:
    from nudge_integrations.stores.open import shown_address

    shown = shown_address(args.store)
    words = ["nudge", "revert", "--store", shown]
    for name in ("metric", "id_column", "vector_column", "vector", "journal"):
        value = getattr(args, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    if shown != args.store:
        note("user, password and parameters of the address are left out of the line below")
    return shlex.join(words)
