"""`nudge questions`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from nudge_integrations.cli.options import Commands, add_command, add_model, add_quiet, check_device
from nudge_integrations.cli.terminal import note, say
from nudge_integrations.errors import MissingExtraError, NudgeError
from nudge_integrations.relevance.beir import read_documents

_EXAMPLES = """\
  nudge questions --documents docs/corpus.jsonl --out data \\
      --endpoint http://localhost:11434/v1 --llm llama3.1
  OPENAI_API_KEY=... nudge questions --documents corpus.jsonl --out data \\
      --llm gpt-4o-mini --max-documents 500 --price 0.15 0.60 --max-cost 1
  nudge fit --beir data --out tuned"""


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "questions",
        run,
        "let a language model write judged questions about documents",
        "Let a language model behind any OpenAI-compatible endpoint write the questions that\n"
        "documents answer, filter them, and write a folder in the layout of BEIR with a train\n"
        "and a test split, for `nudge fit --beir`.",
        _EXAMPLES,
    )
    parser.add_argument(
        "--documents",
        metavar="FILE",
        type=Path,
        required=True,
        help='one JSON object a line: {"_id": ..., "text": ..., "title": ...}',
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder for the questions"
    )
    parser.add_argument(
        "--test-share",
        type=float,
        default=0.2,
        metavar="S",
        help="share of the questions for the test split (default: 0.2; 0: none)",
    )
    _add_llm(parser)
    _add_writing(parser)
    add_model(parser, "all-MiniLM-L6-v2")
    add_quiet(parser)


def _add_llm(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("language model")
    group.add_argument("--llm", metavar="NAME", required=True, help="its name at the endpoint")
    group.add_argument(
        "--endpoint",
        metavar="URL",
        help="an OpenAI-compatible endpoint (default: $OPENAI_BASE_URL, or OpenAI's own)",
    )
    group.add_argument(
        "--key-variable",
        metavar="NAME",
        default="OPENAI_API_KEY",
        help="environment variable that holds the key (default: OPENAI_API_KEY)",
    )
    group.add_argument(
        "--timeout", type=float, default=120.0, metavar="SECONDS", help="of a request"
    )
    group.add_argument(
        "--concurrency", type=int, default=16, metavar="N", help="requests at once (default: 16)"
    )
    group.add_argument("--requests-per-minute", type=float, metavar="N", help="at most so many")
    group.add_argument(
        "--price",
        type=float,
        nargs=2,
        metavar=("READ", "WRITTEN"),
        help="price of a million tokens, for the report and --max-cost",
    )
    group.add_argument(
        "--max-cost", type=float, metavar="C", help="stop before more is spent; needs --price"
    )


def _add_writing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("questions")
    group.add_argument(
        "--per-document", type=int, default=3, metavar="N", help="questions a document (default: 3)"
    )
    group.add_argument(
        "--kinds",
        nargs="+",
        metavar="KIND",
        help="question, keywords, situation, paraphrase, section (default: question keywords "
        "paraphrase)",
    )
    group.add_argument(
        "--examples", metavar="FILE", type=Path, help="questions of real users, one a line"
    )
    group.add_argument(
        "--max-documents", type=int, metavar="N", help="ask about so many, spread evenly"
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    group.add_argument(
        "--checkpoint",
        metavar="PATH",
        default=True,
        help="where answers are kept, so that none is paid for twice (default: the cache folder)",
    )


def run(args: argparse.Namespace) -> int:
    """Generate, filter, split, write."""
    from nudge_integrations.embedding import DEFAULT_MODEL, Embedder
    from nudge_integrations.questions import generate_questions, train_and_test

    documents = read_documents(args.documents)
    kept = args.out / "qrels"
    if kept.exists():
        raise NudgeError(f"{args.out} holds questions already: choose another folder")
    check_device(args.device)
    llm = _language_model(args)
    given: dict[str, Any] = {} if args.kinds is None else {"kinds": args.kinds}
    embedder = Embedder(
        args.model or DEFAULT_MODEL,
        cache=args.cache,
        batch_size=args.batch_size,
        device=args.device,
        half_precision=args.half_precision,
        show_progress=args.show_progress,
    )
    found = generate_questions(
        documents,
        llm,
        questions_per_document=args.per_document,
        examples=_lines(args.examples),
        max_documents=args.max_documents,
        embed_model=embedder,
        seed=args.seed,
        concurrency=args.concurrency,
        requests_per_minute=args.requests_per_minute,
        price_per_million=tuple(args.price) if args.price else None,
        max_cost=args.max_cost,
        checkpoint=args.checkpoint,
        show_progress=args.show_progress,
        **given,
    )
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
