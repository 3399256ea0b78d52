"""An OpenAI-compatible server on loopback that answers as a script says: real HTTP, no model.

    python tests/openai_server.py [--delay 0.05] [--port 8000]

Questions about a document are made of its own words, so that they are about it.
"""

from __future__ import annotations

import argparse
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_DOCUMENT = re.compile(r"\[document ([0-9a-f]{12})\]\n(.*)\n\[end of document \1\]", re.DOTALL)
_COUNT = re.compile(r"Write (\d+) question")
_WORD = re.compile(r"\w{4,}")


@dataclass
class Ask:
    """A request as the script sees it."""

    number: int
    tries: int  # of the same request before this one
    system: str
    user: str
    body: dict[str, Any]

    @property
    def document(self) -> str:
        found = _DOCUMENT.search(self.user)
        return found.group(2) if found else ""

    @property
    def count(self) -> int:
        found = _COUNT.search(self.user)
        return int(found.group(1)) if found else 1


@dataclass
class Say:
    """What to answer: a text, or an HTTP error, or a fault of the line."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False
    broken: bool = False


Script = Callable[[Ask], "Say | str | None"]


def questions_about(ask: Ask) -> list[str]:
    """Questions of the document's own longer words, each of others."""
    words = list(dict.fromkeys(_WORD.findall(ask.document))) or ["nothing"]
    size = 4
    return [
        f"How is it with {' and '.join(words[size * place % len(words) :][:size])}?"
        for place in range(ask.count)
    ]


class OpenAIServer(ThreadingHTTPServer):
    """Serves in threads of its own while it is open; `served` counts answers by their request."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, script: Script | None = None, delay: float = 0.0, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.script = script
        self.delay = delay
        self.asked: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.asks: list[Ask] = []
        self.running = 0
        self.most_running = 0
        self.lock = threading.Lock()
        self.open = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> OpenAIServer:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: OpenAIServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.server.open:  # connections outlive the socket that took them
            self.close_connection = True
            return
        texts = {each["role"]: _text(each["content"]) for each in body["messages"]}
        user = texts["user"]
        server = self.server
        with server.lock:
            ask = Ask(len(server.asks), server.asked[user], texts.get("system", ""), user, body)
            server.asked[user] += 1
            server.asks.append(ask)
            server.running += 1
            server.most_running = max(server.most_running, server.running)
        try:
            said = server.script(ask) if server.script else None
            if said is None:
                said = json.dumps({"questions": questions_about(ask)})
            self._say(ask, Say(said) if isinstance(said, str) else said)
        finally:
            with server.lock:
                server.running -= 1

    def _say(self, ask: Ask, say: Say) -> None:
        time.sleep(say.delay or self.server.delay)
        if say.status != 200:
            content = json.dumps({"error": {"message": say.text or "no", "type": "scripted"}})
        else:
            content = json.dumps(_completion(ask, say.text))
        data = content.encode()
        if say.broken:
            data = data[: len(data) // 2]
        self.send_response(say.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in say.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if say.cut:
            self.wfile.write(data[:10])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(data)
        self.wfile.flush()
        if say.status == 200 and not say.broken:
            with self.server.lock:
                self.server.served[ask.user] += 1


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _completion(ask: Ask, text: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if ask.body.get("tools"):
        name = ask.body["tools"][0]["function"]["name"]
        call = {"id": "call-1", "type": "function", "function": {"name": name, "arguments": text}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return {
        "id": f"chatcmpl-{ask.number}",
        "object": "chat.completion",
        "created": 0,
        "model": ask.body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": len(ask.user) // 4,
            "completion_tokens": len(text) // 4,
            "total_tokens": (len(ask.user) + len(text)) // 4,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds an answer takes")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    with OpenAIServer(delay=arguments.delay, port=arguments.port) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
