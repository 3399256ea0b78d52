"""Any language model behind one call: LangChain's, LlamaIndex's, or a function."""

from __future__ import annotations

import asyncio
import inspect
import json
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
_KEYS = ("openai_api_key", "api_key", "anthropic_api_key", "google_api_key", "token")
_PLACES = ("openai_api_base", "api_base", "base_url", "endpoint")

Schema = Mapping[str, Any]
Shots = Sequence[tuple[str, str]]
Turns = list[tuple[str, str]]
"""Roles (`system`, `user`, `assistant`) and texts."""


@dataclass(frozen=True)
class Reply:
    """What a model answered.

    Attributes:
        text: Its text.
        data: Its structured output; None if it gave none.
        tokens: Tokens read and written; None if it does not report them.
    """

    text: str
    data: Any = None
    tokens: tuple[int, int] | None = None

    @property
    def content(self) -> str:
        """Its structured output as JSON, or else its text."""
        return json.dumps(self.data) if self.data else self.text


class Chat(Protocol):
    """A language model.

    Attributes:
        name: Its answers are kept under it.
        lasting: Whether the next run's model of that name is the same.
        secrets: Keys that a server may echo and that must not be shown.
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
            and returns the answer, or a coroutine of it.
        structured: Whether to ask for structured output. None: if the model says that it can; a
            server that refuses it is asked for plain text from then on.

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


class _Model:
    """A framework's model, asked for structured output until the server refuses that."""

    lasting = True

    def __init__(self, llm: Any, structured: bool | None) -> None:
        self._llm = llm
        model, can = self._described()
        self._structured = can if structured is None else structured
        # Another server's model of the same name is another model.
        places = (getattr(llm, name, None) for name in _PLACES)
        place = next((each for each in places if isinstance(each, str)), None)
        self.name = f"{model} at {place}" if place else str(model)
        keys = (getattr(llm, name, None) for name in _KEYS)
        plain = (getattr(each, "get_secret_value", lambda each=each: each)() for each in keys)
        self.secrets = tuple(each for each in plain if isinstance(each, str) and len(each) >= 6)

    def _described(self) -> tuple[Any, bool]:
        """Its name, and whether it says that it has structured output."""
        raise NotImplementedError

    def _plain(self, turns: Turns) -> Reply:
        raise NotImplementedError

    def _typed(self, turns: Turns, schema: Schema) -> Reply:
        raise NotImplementedError

    def ask(self, system: str, user: str, schema: Schema, shots: Shots = ()) -> Reply:
        if self._structured:
            try:
                return self._typed([("system", system), ("user", user)], schema)
            except Exception as error:
                if (
                    not isinstance(error, NotImplementedError)
                    and status_of(error) not in _NOT_KNOWN
                ):
                    raise
                self._structured = False
                _log.info(
                    "no structured output from this model (%s): plain text from here on",
                    told(error, self.secrets),
                )
        shown = [turn for task, answer in shots for turn in (("user", task), ("assistant", answer))]
        return self._plain([("system", system), *shown, ("user", user)])


class _LangChain(_Model):
    def _described(self) -> tuple[Any, bool]:
        llm = self._llm
        name = getattr(llm, "model_name", None) or getattr(llm, "model", None) or llm._llm_type
        return name, bool((getattr(llm, "profile", None) or {}).get("structured_output"))

    def _plain(self, turns: Turns) -> Reply:
        return self._read(self._llm.invoke(turns))

    def _typed(self, turns: Turns, schema: Schema) -> Reply:
        # The raw message has the tokens; if parsing fails, its text is read instead.
        found = self._llm.with_structured_output(dict(schema), include_raw=True).invoke(turns)
        return self._read(found["raw"], found["parsed"])

    @staticmethod
    def _read(message: Any, data: Any = None) -> Reply:
        text, usage = message.text, message.usage_metadata or {}
        tokens = (usage["input_tokens"], usage["output_tokens"]) if usage else None
        text = text() if callable(text) and not isinstance(text, str) else text
        return Reply(str(text), data, tokens)


class _LlamaIndex(_Model):
    def _described(self) -> tuple[Any, bool]:
        about = self._llm.metadata
        return about.model_name, bool(about.is_function_calling_model)

    def _plain(self, turns: Turns) -> Reply:
        return self._read(self._llm.chat(self._messages(turns)))

    def _typed(self, turns: Turns, schema: Schema) -> Reply:
        from llama_index.core.tools import FunctionTool, ToolMetadata
        from pydantic import create_model

        if not hasattr(self._llm, "chat_with_tools"):
            raise NotImplementedError("no tools")
        # Its tools want the schema as a class of pydantic: lists of one type.
        types: dict[str, Any] = {"string": list[str], "integer": list[int]}
        fields: Any = {
            name: (types[each["items"]["type"]], ...) for name, each in schema["properties"].items()
        }
        about = ToolMetadata(
            name=schema["title"],
            description=schema["description"],
            fn_schema=create_model(schema["title"], **fields),
        )
        tool = FunctionTool(fn=lambda **given: given, metadata=about)
        found = self._llm.chat_with_tools(
            [tool], chat_history=self._messages(turns), tool_required=True
        )
        calls = self._llm.get_tool_calls_from_response(found, error_on_no_tool_call=False)
        return self._read(found, calls[0].tool_kwargs if calls else None)

    @staticmethod
    def _messages(turns: Turns) -> list[Any]:
        from llama_index.core.llms import ChatMessage

        return [ChatMessage(role=role, content=text) for role, text in turns]

    @staticmethod
    def _read(response: Any, data: Any = None) -> Reply:
        raw = response.raw
        usage = raw.get("usage") if isinstance(raw, Mapping) else getattr(raw, "usage", None)
        given = usage if isinstance(usage, Mapping) else getattr(usage, "__dict__", {})
        tokens = None
        for read, wrote in (
            ("prompt_tokens", "completion_tokens"),
            ("input_tokens", "output_tokens"),
        ):
            if given.get(read) is not None:
                tokens = (int(given[read]), int(given.get(wrote) or 0))
        return Reply(response.message.content or "", data, tokens)


class _Function:
    secrets: tuple[str, ...] = ()

    def __init__(self, function: Callable[[str], str]) -> None:
        self._function = function
        name = getattr(function, "__qualname__", "<object>")
        # A lambda or an inner function has no name that means the same in the next run.
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
