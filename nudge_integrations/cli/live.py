"""`nudge tune`, `recover`, `status`, `journal` and `revert` for stores that are running."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from nudge_integrations.cli.data import NONE, read_table
from nudge_integrations.cli.options import (
    Commands,
    add_command,
    add_engine_options,
    add_model,
    add_quiet,
    add_source,
    check_device,
    embedder,
    engine_options,
    flag,
)
from nudge_integrations.cli.terminal import note, say
from nudge_integrations.errors import DataError
from nudge_integrations.relevance import RelevanceDataset

_STORES = """\
A store is named by its kind, its place and the collection:
  chroma:FOLDER#COLLECTION    chroma:http://HOST:PORT#COLLECTION
  qdrant:FOLDER#COLLECTION    qdrant:http://HOST:PORT#COLLECTION
  lancedb:FOLDER#TABLE        postgresql://USER@HOST/DATABASE#TABLE
  milvus:FILE#COLLECTION      milvus:http://HOST:PORT#COLLECTION
Secrets come from $QDRANT_API_KEY, $MILVUS_TOKEN and $PGPASSWORD."""

_TUNE = f"""\
Plan how to tune a vector store that is in use: read the documents that answer
a question, search once a question, and say what would move and what that would
gain. Nothing is written without --apply. Document ids are those of the store.

{_STORES}"""

_TUNE_EXAMPLES = """\
  nudge tune --store chroma:./db#docs --pairs pairs.csv --apply
  nudge tune --store chroma:./db#docs --beir judged
  nudge tune --store postgresql://me@localhost/shop#items --beir judged --apply
  nudge status --store chroma:./db#docs
  nudge revert --store chroma:./db#docs"""

_RECOVER = f"""\
Finish an --apply or a revert that was interrupted; or undo it.

{_STORES}"""

_JOURNAL = f"""\
Write what is known of a tuned store (originals, questions, facts) to a file, or
read it into the store's own database, or into the folder given as --journal.

{_STORES}"""

_STATUS = f"""\
Tell what is tuned in a store, by which run, and where the originals are.

{_STORES}"""


def add_to(commands: Commands) -> None:
    """Add the commands to the parser."""
    tune = add_command(commands, "tune", run, "tune a store that is running", _TUNE, _TUNE_EXAMPLES)
    tune.usage = "nudge tune --store ADDRESS (--beir DIR | --pairs FILE | ...) [options]"
    group = tune.add_argument_group("store")
    flag(group, "--store ADDRESS", "see above", required=True)
    add_details(group)
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
    _add_store(recovering)
    flag(recovering, "--undo", "restore the originals instead of completing the write")
    add_quiet(recovering)
    telling = add_command(
        commands,
        "status",
        status,
        "tell what is tuned in a store",
        _STATUS,
        "  nudge status --store chroma:./db#docs",
    )
    _add_store(telling)

    moving = add_command(
        commands,
        "journal",
        journal,
        "export or import the originals of a store",
        _JOURNAL,
        "  nudge journal export --store chroma:./db#docs --file originals.json",
    )
    moving.add_argument("action", choices=("export", "import"))
    flag(moving, "--file FILE", "the JSON file to write or read", required=True)
    _add_store(moving)


def _add_store(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a live store."""
    group = parser.add_argument_group("store")
    flag(group, "--store ADDRESS", "see above", required=True)
    _add_place(group)


def add_details(group: Any) -> None:
    """Add what an address does not tell, and which part of the store is meant."""
    _add_place(group)
    text = "only these documents, such as a tenant's: Chroma's where or Qdrant's filter as JSON, "
    flag(group, "--filter TEXT", text + "an expression of LanceDB or Milvus, SQL of PostgreSQL")


def _add_place(group: Any) -> None:
    text = "how your application searches (LanceDB, PostgreSQL; default: as the index does)"
    flag(group, "--metric", text, choices=("cosine", "dot", "l2"))
    flag(group, "--id-column NAME", "LanceDB, PostgreSQL (default: id)")
    text = "LanceDB (default: vector), PostgreSQL (default: embedding)"
    flag(group, "--vector-column NAME", text)
    flag(group, "--vector NAME", "Qdrant: which of the named vectors")
    text = "folder for the originals (default: beside the vectors, in the store's own database)"
    flag(group, "--journal DIR", text)


def details(args: argparse.Namespace) -> dict[str, Any]:
    """What was said of the store, for `open_store`."""
    names = ("metric", "id_column", "vector_column", "vector")
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def _add_questions(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("questions")
    add_source(
        group,
        "a folder with queries.jsonl and qrels/train.tsv; document texts are not needed",
        "questions as LlamaIndex JSON",
    )
    flag(group, "--train SPLIT", "split to train on", default="train")
    text = f"split to choose the step on; '{NONE}' for cross-validation"
    flag(group, "--dev SPLIT", text, default=NONE)
    flag(group, "--fresh", "forget the questions of earlier runs")


def _add_tuning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tuning")
    flag(group, "--apply", "write to the store (without it: a dry run)")
    text = "with --apply: how long to rest after each batch of 200 rows"
    flag(group, "--pause SECONDS", text, type=float, default=0.0)
    add_engine_options(group, "method", "protect_unseen", "gamma", "seed")


def run(args: argparse.Namespace) -> int:
    """Plan, say so, and write if that was asked for."""
    check_device(args.device)
    from nudge_integrations.embedding import DEFAULT_MODEL
    from nudge_integrations.stores import open_store, tune

    store = open_store(args.store, **details(args))
    model = embedder(args, DEFAULT_MODEL)
    table = read_table(args, store, model)
    train, validation = _datasets(args) if table is None else (table, None)
    tuning = ("method", "protect_unseen", "gamma", "seed", "device", "show_progress")
    plan = tune(
        store,
        train,
        embed_query=model,
        val_dataset=validation,
        filter=args.filter,
        fresh=args.fresh,
        journal=args.journal,
        **{name: value for name, value in engine_options(args).items() if name in tuning},
    )
    say(str(plan.report))
    say()
    if not args.apply:
        say("A dry run: nothing was written. Add --apply to write.")
        return 0
    say(str(plan.apply(pause=args.pause)))
    say(f"Undo: {_undo(args)}")
    return 0


def recover(args: argparse.Namespace) -> int:
    """End what was interrupted."""
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


def journal(args: argparse.Namespace) -> int:
    """Export or import what is known of a tuning."""
    from nudge_integrations.stores import export_journal, import_journal, open_store

    store = open_store(args.store, **details(args))
    if args.action == "export":
        say(f"{export_journal(store, args.file, journal=args.journal):,} originals written.")
    else:
        say(f"{import_journal(store, args.file, journal=args.journal):,} originals read.")
    return 0


def revert(args: argparse.Namespace) -> int:
    """Put the originals back."""
    from nudge_integrations.stores import open_store
    from nudge_integrations.stores import revert as put_back

    store = open_store(str(args.store), **details(args))
    names = ("filter", "forget", "journal", "show_progress")
    say(str(put_back(store, **{name: getattr(args, name) for name in names})))
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
    for name in ("metric", "id_column", "vector_column", "vector", "journal", "filter"):
        value = getattr(args, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    if shown != args.store:
        note("user, password and parameters of the address are left out of the line below")
    return shlex.join(words)
