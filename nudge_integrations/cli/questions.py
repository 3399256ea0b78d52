"""`nudge questions`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from nudge_integrations.cli.options import (
    Commands,
    add_command,
    add_model,
    add_quiet,
    check_device,
    embedder,
    flag,
)
from nudge_integrations.cli.terminal import note, say
from nudge_integrations.errors import MissingExtraError, NudgeError
from nudge_integrations.relevance.documents import documents_at

_EXAMPLES = """\
  nudge questions --documents docs --out data \\
      --endpoint http://localhost:11434/v1 --llm llama3.1
  OPENAI_API_KEY=... nudge questions --documents corpus.jsonl --out data \\
      --llm gpt-4o-mini --max-documents 500 --price 0.15 0.60 --max-cost 1
  nudge fit --beir data --out tuned"""

# The parameters of `generate_questions` that have an option.
_PARAMETERS = (
    *("questions_per_document", "kinds", "examples", "max_documents", "seed", "concurrency"),
    *("requests_per_minute", "price_per_million", "max_cost", "checkpoint", "show_progress"),
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "questions",
        run,
        "have a language model write judged questions",
        "Let a language model behind any OpenAI-compatible endpoint write questions that\n"
        "your documents answer, filter them, and save them in BEIR layout with a train\n"
        "and a test split, ready for `nudge fit --beir`.",
        _EXAMPLES,
    )
    text = "a text, Markdown or HTML file, or a folder of them; or one JSON object per line: "
    text += '{"_id": ..., "text": ..., "title": ...}'
    flag(parser, "--documents PATH", text, required=True, type=Path)
    flag(parser, "--out DIR", "folder for the questions", required=True)
    text = "share of the questions for the test split; 0 for none"
    flag(parser, "--test-share S", text, type=float, default=0.2)
    _add_llm(parser)
    _add_writing(parser)
    add_model(parser, "all-MiniLM-L6-v2")
    add_quiet(parser)


def _add_llm(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("language model")
    flag(group, "--llm NAME", "its name at the endpoint", required=True)
    text = "an OpenAI-compatible endpoint (default: $OPENAI_BASE_URL, or OpenAI's own)"
    flag(group, "--endpoint URL", text)
    text = "environment variable that holds the API key"
    flag(group, "--key-variable NAME", text, default="OPENAI_API_KEY")
    flag(group, "--timeout SECONDS", "of one request", type=float, default=120.0)
    flag(group, "--concurrency N", "requests at once", default=16)
    flag(group, "--requests-per-minute N", "limit on the rate of requests", type=float)
    group.add_argument(
        "--price",
        type=float,
        nargs=2,
        metavar=("INPUT", "OUTPUT"),
        dest="price_per_million",
        help="price of a million tokens, for the report and --max-cost",
    )
    flag(group, "--max-cost C", "stop before spending more; needs --price", type=float)


def _add_writing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("questions")
    flag(
        group,
        "--per-document N",
        "questions per document",
        default=3,
        dest="questions_per_document",
    )
    group.add_argument(
        "--kinds",
        nargs="+",
        metavar="KIND",
        help="question, keywords, situation, paraphrase, section (default: question keywords "
        "paraphrase)",
    )
    flag(group, "--examples FILE", "questions of real users, one per line")
    flag(group, "--max-documents N", "ask about this many documents, evenly spread")
    flag(group, "--seed N", "random seed", default=0)
    group.add_argument(
        "--checkpoint",
        metavar="PATH",
        default=True,
        help="where answers are kept, so that none is billed twice (default: the cache folder)",
    )


def run(args: argparse.Namespace) -> int:
    """Generate questions, filter and split them, and write a BEIR folder."""
    from nudge_integrations.embedding import DEFAULT_MODEL
    from nudge_integrations.questions import generate_questions, train_and_test

    documents = documents_at(args.documents)
    kept = args.out / "qrels"
    if kept.exists():
        raise NudgeError(f"{args.out} holds questions already: choose another folder")
    check_device(args.device)
    llm = _language_model(args)
    args.examples = _lines(args.examples)
    given = {name: vars(args)[name] for name in _PARAMETERS if vars(args)[name] is not None}
    found = generate_questions(documents, llm, embed_model=embedder(args, DEFAULT_MODEL), **given)
    train, test = train_and_test(found, args.test_share, args.seed)
    train.to_beir(args.out, "train")
    if test is not None:
        test.to_beir(args.out, "test")
    say(str(found.report))
    splits = f"{len(train)} for training" + (f", {len(test)} for testing" if test else "")
    say(f"\nWritten to {args.out}: {splits}.\nNext: nudge fit --beir {args.out} --out tuned")
    return 0


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise NudgeError(f"cannot read {path}: {error}") from error


def _language_model(args: argparse.Namespace) -> Any:
    """The endpoint through whichever framework's client is installed."""
    key = os.environ.get(args.key_variable)
    endpoint = args.endpoint or os.environ.get("OPENAI_BASE_URL")
    if key is None:
        if endpoint is None:
            raise NudgeError(
                f"no key: set {args.key_variable}, or name a local server with --endpoint URL"
            )
        note(f"{args.key_variable} is not set: asking {endpoint} without a key")
        key = "none"
    try:
        from langchain_openai import ChatOpenAI
    except ModuleNotFoundError:
        return _through_llama_index(args, key, endpoint)
    given: dict[str, Any] = {"model": args.llm, "api_key": key, "base_url": endpoint}
    return ChatOpenAI(**given, timeout=args.timeout, max_retries=0)


def _through_llama_index(args: argparse.Namespace, key: str, endpoint: str | None) -> Any:
    try:
        from llama_index.llms.openai_like import OpenAILike
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "no client for the language model: pip install 'nudge-integrations[openai]'"
        ) from error
    return OpenAILike(
        model=args.llm,
        api_key=key,
        api_base=endpoint or "https://api.openai.com/v1",
        timeout=args.timeout,
        max_retries=0,
        is_chat_model=True,
    )
