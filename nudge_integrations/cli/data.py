"""Read the judged questions that the options of a command name, in splits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from nudge_integrations.cli.terminal import note
from nudge_integrations.errors import DataError, LeakError
from nudge_integrations.relevance import RelevanceDataset, check_leaks
from nudge_integrations.relevance.documents import documents_at

NONE = "none"
DOCUMENTS_HELP = (
    "with --pairs or --feedback: the documents, a corpus.jsonl, or text, Markdown and HTML files "
    "(one, or a folder; default: the answers of the pairs)"
)

_BEIR_DEFAULTS = {"train": "train", "dev": "dev", "test": "test"}
_WEIGHED = (
    "feedback: a thumb counts 1 or -1, a copy 0.7, a click 0.3; a document whose sum reaches 0.5 "
    "is an answer, and a better one from 2 and from 8 on (other weights: FeedbackOptions in Python)"
)
_OF_LLAMA_INDEX = {"val_dataset": "--val-dataset", "test_dataset": "--test-dataset"}


class Splits(NamedTuple):
    """Questions to train on, to choose the step on, and to report on."""

    train: RelevanceDataset
    validation: RelevanceDataset | None
    test: RelevanceDataset | None


def read_splits(args: argparse.Namespace) -> Splits:
    """Read the datasets that `nudge fit` was given. Splits never share a question.

    Raises:
        DataError: A file is missing or bad.
        LeakError: Splits share a question, and `--drop-leaks` was not given.
    """
    _check_usage(args)
    table = read_table(args, documents(args))
    if table is not None:
        splits = Splits(table, None, None)
    else:
        splits = _from_beir(args) if args.beir else _from_llama_index(args)
    splits = _without_leaks(splits) if args.drop_leaks else _checked(splits)
    note(_described(splits))
    return splits


def documents(args: argparse.Namespace) -> Any:
    """The documents that `--documents` names; None without it."""
    path = getattr(args, "documents", None)
    return None if path is None else documents_at(path)


def read_table(
    args: argparse.Namespace, match: Any = None, embed_model: Any = None
) -> RelevanceDataset | None:
    """Read what `--pairs` or `--feedback` names, and tell how; None without both.

    Args:
        args: The options.
        match: Where the answers are: documents, or a store.
        embed_model: Chooses among the documents of a file.
    """
    if getattr(args, "pairs", None) is not None:
        data = RelevanceDataset.from_pairs(args.pairs, match, embed_model=embed_model)
        note(str(data.match_report))
        return data
    if getattr(args, "feedback", None) is not None:
        note(_WEIGHED)
        corpus = match if isinstance(match, dict) else None
        return RelevanceDataset.from_feedback(args.feedback, corpus)
    return None


def _check_usage(args: argparse.Namespace) -> None:
    """Refuse an option that would silently do nothing."""
    others = _OF_LLAMA_INDEX if args.beir else {name: f"--{name}" for name in _BEIR_DEFAULTS}
    given = [option for name, option in others.items() if getattr(args, name) is not None]
    if given:
        right, wrong = ("--llama-index", "--beir") if args.beir else ("--beir", "--llama-index")
        args.parser.error(f"{', '.join(given)}: goes with {right}, not with {wrong}")


def _from_beir(args: argparse.Namespace) -> Splits:
    train = args.train or _BEIR_DEFAULTS["train"]
    taken = {train, args.dev, args.test}
    return Splits(
        RelevanceDataset.from_beir(args.beir, train),
        _beir_split(args.beir, args.dev, _BEIR_DEFAULTS["dev"], taken),
        _beir_split(args.beir, args.test, _BEIR_DEFAULTS["test"], taken),
    )


def _beir_split(
    folder: Path, name: str | None, default: str, taken: set[str]
) -> RelevanceDataset | None:
    """The named split; or else the default one, if it exists and is not used as another part."""
    if name == NONE:
        return None
    if name is None and (default in taken or not (folder / "qrels" / f"{default}.tsv").is_file()):
        return None
    # The documents come with the training split; once is enough.
    return RelevanceDataset.from_beir(folder, name or default, corpus=False)


def _from_llama_index(args: argparse.Namespace) -> Splits:
    read = RelevanceDataset.from_llama_index
    return Splits(
        read(args.llama_index),
        read(args.val_dataset) if args.val_dataset else None,
        read(args.test_dataset) if args.test_dataset else None,
    )


def _checked(splits: Splits) -> Splits:
    try:
        check_leaks(**{name: part for name, part in splits._asdict().items() if part})
    except LeakError as error:
        raise LeakError(f"{error}. On the command line: --drop-leaks") from error
    return splits


def _without_leaks(splits: Splits) -> Splits:
    """Drop the questions of a later split that are in an earlier one, and say how many."""
    earlier = {"train": splits.train}
    for name, part in (("validation", splits.validation), ("test", splits.test)):
        if part is None:
            continue
        kept = _dropped(part, name, list(earlier.values()))
        if len(kept) < len(part):
            note(
                f"dropped {len(part) - len(kept)} of {len(part)} {name} questions, which stand in "
                f"{' or '.join(earlier)} too"
            )
        earlier[name] = kept
    return Splits(splits.train, earlier.get("validation"), earlier.get("test"))


def _dropped(
    part: RelevanceDataset, name: str, earlier: list[RelevanceDataset]
) -> RelevanceDataset:
    try:
        for other in earlier:
            part = part.without_queries_of(other)
    except DataError as error:
        raise DataError(f"{name} questions: {error}") from error
    return part


def _described(splits: Splits) -> str:
    train, validation, test = splits
    parts = [f"{len(train.corpus)} documents", f"{len(train)} training questions"]
    parts.append(
        f"{len(validation)} validation questions" if validation else "no validation questions"
    )
    parts.append(f"{len(test)} test questions" if test else "no test questions")
    return ", ".join(parts)
