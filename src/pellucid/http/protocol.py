"""HTTP/1.1 as uvicorn speaks it with httptools, with a bound on all that a client decides: the time and size of a
request's head, the time between two requests and for taking an answer, requests sent ahead, bodies that nobody reads.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import struct
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from pellucid.concurrency.clients import Client
from pellucid.http.connections import Connection, Connections, Phase
from pellucid.http.problems import (
    BAD_REQUEST,
    HEAD_TIMEOUT,
    HEAD_TOO_LARGE,
    TOO_MANY_CONNECTIONS,
    URL_TOO_LONG,
    ProblemKind,
    make_problem,
)

_SIOCOUTQ = 0x5411
"""Linux, tcp(7): bytes in the send queue that the other end has not acknowledged."""

_PIPELINED = 16
"""Requests that may be sent ahead, all heads together no longer than one may be. More are not read: the last of these
is answered with `Connection: close`, which tells the client to send the others again (RFC 9112, section 9.3.2)."""

_LEAVING_BYTES = 1 << 20
"""What is read and thrown away of a client that has been refused, so that it gets to read why."""

_BODY_BYTES = 1 << 20
"""So much of a body that nobody has a use for is read and thrown away; then the connection is closed."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class _EnoughError(Exception):
    """Raised in a callback of the parser to stop it; what is to be done has been noted."""


class LimitedProtocol(HttpToolsProtocol, Connection):
    """One connection. `table` is what all of them share; `protocol_for` makes the class that has one."""

    # In slots: CPython shares the keys of attributes among instances only up to 30 of them, and uvicorn has 27. With
    # these beside them every look-up of every attribute was slower: 10 us a request.
    __slots__ = (
        "_ahead_bytes",
        "_body_bytes",
        "_deaf",
        "_has_body",
        "_head_bytes",
        "_in_head",
        "_is_whole",
        "_limits",
        "_line_bytes",
        "_refusal",
        "_thrown_away",
        "address",
        "owner",
        "phase",
        "trusted",
    )

    table: Connections

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.address = ""
        self.phase = Phase.HEAD
        self.owner = Client("")
        self.trusted = False
        self._limits = self.table.limits
        self._refusal: ProblemKind | None = None
        self._deaf = False  # what comes in is thrown away
        self._thrown_away = 0
        self._in_head = False
        self._head_bytes = 0
        self._line_bytes = 0  # of a line that has not come in full: the parser keeps it to itself
        self._ahead_bytes = 0  # heads of requests that wait for their turn
        self._has_body = False
        self._body_bytes = 0
        self._is_whole = True  # whether the last request has come in full

    # asyncio

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        if not self.table.admit(self):
            self._deaf = True
            self._write_problem(TOO_MANY_CONNECTIONS)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.table.forget(self)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._thrown_away += len(data)
            if self.phase is Phase.LEAVING and self._thrown_away > _LEAVING_BYTES:
                self.drop()
            return
        in_head, head_bytes, was_idle = self._in_head, self._head_bytes, self.phase is Phase.IDLE
        assert self.parser is not None  # noqa: S101  only after the connection is lost
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # We speak nothing else: the answer that has begun is the last on this connection (`on_headers_complete`).
            self._deaf = True
            return
        except httptools.HttpParserError:
            if not self._deaf:
                self._refuse(self._refusal or BAD_REQUEST)
            return
        if in_head and self._in_head and self._head_bytes == head_bytes:
            self._line_bytes += len(data)
            if self._head_bytes + self._line_bytes > self._limits.head_bytes:
                self._refuse(HEAD_TOO_LARGE)
                return
        if self.phase is Phase.IDLE and (was_idle or self._in_head):
            self.table.enter(self, Phase.HEAD)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.table.note_unsent(self)

    # The parser's callbacks

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._has_body, self._is_whole = True, False, False
        self._head_bytes = self._line_bytes = self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._head_bytes += len(url)
        self._line_bytes = 0
        if len(self.url) > self._limits.url_bytes:
            self._refusal = URL_TOO_LONG
            raise _EnoughError

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.headers.append((name, value))
        self._head_bytes += len(name) + len(value) + 4
        self._line_bytes = 0
        if self._head_bytes > self._limits.head_bytes or len(self.headers) > self._limits.header_lines:
            self._refusal = HEAD_TOO_LARGE
            raise _EnoughError
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        elif name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
            self._has_body = True

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False
        self.table.enter(self, Phase.BUSY)
        if self.table.stopping or self._upgrades() or (self._has_body and self.scope["method"] in _READING):
            self.cycle.keep_alive = False
        self._ahead_bytes = self._ahead_bytes + self._head_bytes if self.pipeline else 0
        if len(self.pipeline) >= _PIPELINED or self._ahead_bytes > self._limits.head_bytes:
            self.cycle.keep_alive = False
            self._deaf = True
            raise _EnoughError

    def on_body(self, body: bytes) -> None:
        if self.scope["method"] not in _READING:
            super().on_body(body)
            return
        # Thrown away: nobody has asked for it, and it would wait in memory for as long as the answer takes.
        self._body_bytes += len(body)
        if self._body_bytes > _BODY_BYTES:
            self.drop()

    def on_message_complete(self) -> None:
        self._is_whole = True
        super().on_message_complete()
        if self.phase is Phase.HEAD:
            self.table.enter(self, Phase.IDLE)

    def on_response_complete(self) -> None:
        # In place of uvicorn's, which starts a timer for each connection.
        self.server_state.total_requests += 1
        if self.transport.get_write_buffer_size():
            self.table.note_unsent(self)
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._refusal is not None:
            self._write_problem(self._refusal)
            self._leave()
        elif self._in_head or not self._is_whole:
            self.table.enter(self, Phase.HEAD)
        elif self.table.stopping:
            self.transport.close()
        else:
            self.table.enter(self, Phase.IDLE)

    # The table's calls

    def unsent_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    def untaken_bytes(self) -> int:
        try:
            queued: int = struct.unpack("i", fcntl.ioctl(self._socket().fileno(), _SIOCOUTQ, bytes(4)))[0]
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOTTY, errno.EINVAL):
                raise
            queued = 0  # closed just now, or a system that does not tell
        return self.unsent_bytes() + queued

    def expire(self) -> None:
        if self.phase is Phase.LEAVING:
            self.drop()
        elif self._in_head and not self._answering():
            self._refuse(HEAD_TIMEOUT)
        else:
            self.transport.close()

    def drop(self) -> None:
        # A reset: the kernel would keep what it holds for a client that takes nothing.
        if self.unsent_bytes():
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    # The server's call

    def shutdown(self) -> None:
        """Close the connection, after the answers that are under way."""
        if self._answering():
            self.cycle.keep_alive = False
        elif self.phase is not Phase.LEAVING:
            self.transport.close()

    def _answering(self) -> bool:
        # None before the first request, which its type does not say.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return bool(self.pipeline) or (cycle is not None and not cycle.response_complete)

    def _upgrades(self) -> bool:
        return self.parser is not None and self.parser.should_upgrade()

    def _refuse(self, kind: ProblemKind) -> None:
        """Answer `kind` and close, after the answers to what came before."""
        self._refusal = kind
        self._deaf = True
        if not self._answering():
            self._write_problem(kind)
            self._leave()

    def _leave(self) -> None:
        self._deaf = True
        self.table.enter(self, Phase.LEAVING)
        if self.transport.get_write_buffer_size():
            self.table.note_unsent(self)
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _write_problem(self, kind: ProblemKind) -> None:
        problem = make_problem(kind, retry_after_s=1 if kind is TOO_MANY_CONNECTIONS else None)
        head = [
            f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}".encode(),
            *(
                name + b": " + value
                for name, value in (
                    *self.server_state.default_headers,
                    *problem.headers,
                    (b"content-length", str(len(problem.body)).encode()),
                    (b"connection", b"close"),
                )
            ),
        ]
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + problem.body)

    def _socket(self) -> socket.socket:
        return self.transport.get_extra_info("socket")


def protocol_for(table: Connections) -> type[LimitedProtocol]:
    """The protocol class whose connections stand in `table`."""

    class BoundProtocol(LimitedProtocol):
        pass

    BoundProtocol.table = table
    return BoundProtocol
