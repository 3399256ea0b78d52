"""A transaction pooler: each transaction of a client may run in another session of the server."""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Iterator

SESSIONS = 4
_PLAIN = (80877103, 80877104)  # asks for TLS, and for GSSAPI


class _Wire:
    """Messages of PostgreSQL's protocol over a socket."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    def exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = self.end.recv(size - len(found))
            if not part:
                raise EOFError
            found += part
        return found

    def startup(self) -> bytes:
        head = self.exactly(4)
        return head + self.exactly(struct.unpack("!I", head)[0] - 4)

    def message(self) -> bytes:
        head = self.exactly(5)
        return head + self.exactly(struct.unpack("!I", head[1:])[0] - 4)

    def until_ready(self) -> Iterator[bytes]:
        while True:
            found = self.message()
            yield found
            if found[:1] == b"Z":
                return


class Pooler:
    """Listens on localhost, before a server that listens on a socket in a folder.

    Attributes:
        port: Where.
        used: Server sessions that ran the transactions, in order.
    """

    def __init__(self, folder: str) -> None:
        self.place = f"{folder}/.s.PGSQL.5432"
        self.used: list[int] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.idle: queue.Queue[tuple[int, _Wire]] = queue.Queue()
        self.greeting: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listening.accept()
                threading.Thread(target=self._client, args=(_Wire(client),), daemon=True).start()

    def _client(self, client: _Wire) -> None:
        with client.end, contextlib.suppress(EOFError, OSError):
            asked = client.startup()
            while struct.unpack("!I", asked[4:8])[0] in _PLAIN:
                client.end.sendall(b"N")
                asked = client.startup()
            if not self.greeting:
                for number in range(SESSIONS):
                    self._session(number, asked)
            client.end.sendall(b"".join(self.greeting))
            while True:
                self._transaction(client)

    def _session(self, number: int, asked: bytes) -> None:
        server = _Wire(socket.socket(socket.AF_UNIX))
        server.end.connect(self.place)
        server.end.sendall(asked)
        self.greeting = list(server.until_ready())
        self.idle.put((number, server))

    def _transaction(self, client: _Wire) -> None:
        first = client.message()
        if first[:1] == b"X":
            raise EOFError
        number, server = self.idle.get()
        self.used.append(number)
        state = b"T"
        try:
            message = first
            while True:
                server.end.sendall(message)
                if message[:1] in b"QS":
                    for answer in server.until_ready():
                        client.end.sendall(answer)
                    state = answer[5:]
                    if state == b"I":
                        return
                message = client.message()
        finally:
            if state != b"I":  # the client left in the middle: roll back
                query = b"ROLLBACK\0"
                server.end.sendall(b"Q" + struct.pack("!I", 4 + len(query)) + query)
                list(server.until_ready())
            self.idle.put((number, server))

    def close(self) -> None:
        self.listening.close()
