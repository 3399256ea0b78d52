"""Any language model behind one call: LangChain's, LlamaIndex's, or a function."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nudge_integrations.common.text import described
from nudge_integrations.errors import DataError
from nudge_integrations.questions.failures import status_of, told

_log = logging.getLogger(__name__)
# What a server says to a request for structured output that it does not know.
_NOT_KNOWN = (400, 404, 415, 422, 501)

Schema = Mapping[str, Any]
Shots = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Reply:
    """What a model answered.

    Attributes:
        text: As it wrote it.
        data: Its structured output; None where it gave none.
        tokens: Read and written; None where it does not tell.
    """

    text: str
    data: Any = None
    tokens: tuple[int, int] | None = None


class Chat(Protocol):
    """A language model.

    Attributes:
        name: Its answers are kept under it.
        lasting: Whether that name is the same model's in the next run.
        secrets: Keys that a server may echo, and that must not be told.
    """

    name: str
    lasting: bool
    secrets: tuple[str, ...]

    def ask(self, system: str, user: str, schema: Schema, shots: Shots = ()) -> Reply:
        """Send one request and wait for the answer; called from several threads at once.

        Args:
            system: The rules.
            user: The task.
            schema: Of the structured output.
            shots: Tasks and answers to show a model that has no structured output.
        """


def as_chat(llm: Any, structured: bool | None = None) -> Chat:
    """A language model of either framework, or a function from prompt to text.

    Args:
        llm: LangChain's `BaseChatModel`, LlamaIndex's `LLM`, or a callable that takes the prompt
            and returns the answer.
        structured: Whether to ask for structured output. None: where the model says that it
            can; a server that refuses it is asked for plain text from then on.

    Raises:
        DataError: None of these.
    """
    if _is_a(llm, "langchain_core.language_models.chat_models", "BaseChatModel"):
        return _LangChain(llm, structured)
    if _is_a(llm, "llama_index.core.llms.llm", "LLM"):
        return _LlamaIndex(llm, structured)
    if callable(llm) and not isinstance(llm, type):
        return _Function(llm)
    example = llm if isinstance(llm, str) else "gpt-4o-mini"
    raise DataError(
        f"no language model: {described(llm)}; give a LangChain chat model, a LlamaIndex LLM (such "
        f"as ChatOpenAI(model={example!r}), from either's OpenAI package), or a function that "
        "takes a prompt and returns the answer"
    )


def _is_a(value: Any, module: str, name: str) -> bool:
    # An object of a class can only exist once its library is imported.
    known = getattr(sys.modules.get(module), name, None)
    return isinstance(known, type) and isinstance(value, known)


def _named(llm: Any, model: Any) -> str:
    """Model and endpoint: another server's model of the same name is another model."""
    for attribute in ("openai_api_base", "api_base", "base_url", "endpoint"):
        place = getattr(llm, attribute, None)
        if isinstance(place, str):
            return f"{model} at {place}"
    return str(model)


class _Structured:
    """Structured output until the server says that it does not know it."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted

    def first(self, structured: Callable[[], Reply], plain: Callable[[], Reply]) -> Reply:
        if not self.wanted:
            return plain()
        try:
            return structured()
        except NotImplementedError as error:
            self._give_up(error)
        except Exception as error:
            if status_of(error) not in _NOT_KNOWN:
                raise
            self._give_up(error)
        return plain()

    def _give_up(self, error: Exception) -> None:
        if self.wanted:
            _log.info(
                "no structured output from this model (%s): plain text from here on", told(error)
            )
        self.wanted = False


class _LangChain:
    lasting = True

    def __init__(self, llm: Any, structured: bool | None) -> None:
        self._llm = llm
        self.secrets = _secrets_of(llm)
        self.name = _named(
            llm, getattr(llm, "model_name", None) or getattr(llm, "model", None) or llm._llm_type
        )
        if structured is None:
            structured = bool((getattr(llm, "profile", None) or {}).get("structured_output"))
        self._structured = _Structured(structured)

    def ask(self, system: str, user: str, schema: Schema, shots: Shots = ()) -> Reply:
        messages = [("system", system), ("human", user)]
        turns = [
            (role, text) for shot in shots for role, text in zip(("human", "ai"), shot, strict=True)
        ]
        shown = [messages[0], *turns, messages[1]]
        return self._structured.first(
            lambda: self._typed(messages, schema), lambda: _of_message(self._llm.invoke(shown))
        )

    def _typed(self, messages: list[tuple[str, str]], schema: Schema) -> Reply:
        # The raw message tells the tokens; where parsing fails, its text is read instead.
        model = self._llm.with_structured_output(dict(schema), include_raw=True)
        found = model.invoke(messages)
        raw = _of_message(found["raw"])
        return Reply(raw.text, found["parsed"], raw.tokens)


def _of_message(message: Any) -> Reply:
    text = message.text
    usage = message.usage_metadata or {}
    tokens = (usage["input_tokens"], usage["output_tokens"]) if usage else None
    return Reply(
        str(text() if callable(text) and not isinstance(text, str) else text), None, tokens
    )


class _LlamaIndex:
    lasting = True

    def __init__(self, llm: Any, structured: bool | None) -> None:
        self._llm = llm
        self.secrets = _secrets_of(llm)
        self.name = _named(llm, llm.metadata.model_name)
        tools = hasattr(llm, "chat_with_tools")
        if structured is None:
            structured = bool(llm.metadata.is_function_calling_model)
        self._structured = _Structured(structured and tools)

    def ask(self, system: str, user: str, schema: Schema, shots: Shots = ()) -> Reply:
        from llama_index.core.llms import ChatMessage, MessageRole

        messages = [
            ChatMessage(role=MessageRole.SYSTEM, content=system),
            ChatMessage(role=MessageRole.USER, content=user),
        ]
        roles = (MessageRole.USER, MessageRole.ASSISTANT)
        turns = [
            ChatMessage(role=role, content=text)
            for shot in shots
            for role, text in zip(roles, shot, strict=True)
        ]
        shown = [messages[0], *turns, messages[1]]
        return self._structured.first(
            lambda: self._typed(messages, schema), lambda: _of_response(self._llm.chat(shown))
        )

    def _typed(self, messages: list[Any], schema: Schema) -> Reply:
        from llama_index.core.tools import FunctionTool, ToolMetadata

        tool = FunctionTool(
            fn=lambda **given: given,
            metadata=ToolMetadata(
                name=schema["title"], description=schema["description"], fn_schema=_model_of(schema)
            ),
        )
        found = self._llm.chat_with_tools([tool], chat_history=messages, tool_required=True)
        calls = self._llm.get_tool_calls_from_response(found, error_on_no_tool_call=False)
        plain = _of_response(found)
        return Reply(plain.text, calls[0].tool_kwargs if calls else None, plain.tokens)


def _model_of(schema: Schema) -> Any:
    """The schema as the pydantic class that LlamaIndex's tools want: lists of one type."""
    from pydantic import create_model

    types: dict[str, Any] = {"string": list[str], "integer": list[int]}
    fields: Any = {
        name: (types[each["items"]["type"]], ...) for name, each in schema["properties"].items()
    }
    return create_model(schema["title"], **fields)


def _of_response(response: Any) -> Reply:
    usage = getattr(response.raw, "usage", None)
    if usage is None and isinstance(response.raw, Mapping):
        usage = response.raw.get("usage")
    given = usage if isinstance(usage, Mapping) else getattr(usage, "__dict__", {})
    tokens = None
    for read, written in (
        ("prompt_tokens", "completion_tokens"),
        ("input_tokens", "output_tokens"),
    ):
        if given.get(read) is not None:
            tokens = (int(given[read]), int(given.get(written) or 0))
    return Reply(response.message.content or "", None, tokens)


class _Function:
    def __init__(self, function: Callable[[str], str]) -> None:
        self._function = function
        self.secrets: tuple[str, ...] = ()
        name = getattr(function, "__qualname__", "<object>")
        # A lambda or an inner function is another one in the next run: nothing names it.
        self.lasting = "<" not in name
        self.name = f"{getattr(function, '__module__', '')}.{name}"

    def ask(self, system: str, user: str, schema: Schema, shots: Shots = ()) -> Reply:  # noqa: ARG002
        answer: Any = self._function(f"{system}\n\n{user}")
        if inspect.isawaitable(answer):
            # Requests run in threads of their own, which have no event loop yet.
            answer = asyncio.run(_awaited(answer))
        return Reply(str(answer))


async def _awaited(answer: Any) -> Any:
    return await answer


def _secrets_of(llm: Any) -> tuple[str, ...]:
    """Keys among a client's settings, to be taken out of messages."""
    found = []
    for name in ("openai_api_key", "api_key", "anthropic_api_key", "google_api_key", "token"):
        value = getattr(llm, name, None)
        value = getattr(value, "get_secret_value", lambda value=value: value)()
        if isinstance(value, str) and len(value) >= 6:
            found.append(value)
    return tuple(found)
