"""Clients that speak HTTP by the byte, as neighbours do who are up to no good."""

from __future__ import annotations

import contextlib
import http.client
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Protocol

import pytest
from e2e_server import DEADLINE_S, PellucidServer


class Connect(Protocol):
    """`open_connection`, closed at the end of the test."""

    def __call__(
        self, server: PellucidServer, *, source: str = "127.0.0.1", receive_bytes: int | None = None
    ) -> socket.socket: ...


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connections that are closed at the end of the test."""
    with ExitStack() as stack:

        def connect(
            server: PellucidServer, *, source: str = "127.0.0.1", receive_bytes: int | None = None
        ) -> socket.socket:
            return stack.enter_context(closing(open_connection(server, source=source, receive_bytes=receive_bytes)))

        yield connect


def open_connection(
    server: PellucidServer, *, source: str = "127.0.0.1", receive_bytes: int | None = None
) -> socket.socket:
    """A connection from an address of loopback. `receive_bytes`: what the client's kernel takes for it."""
    host, _, port = server.address.rpartition(":")
    sock = socket.socket()
    if receive_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.bind((source, 0))
    sock.settimeout(DEADLINE_S)
    sock.connect((host, int(port)))
    return sock


def get(path: str, *lines: str) -> bytes:
    """A GET as it is sent."""
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: pellucid", *lines, "", "")).encode()


def read_all(sock: socket.socket) -> bytes:
    """Everything until the server closes the connection. Raises ConnectionResetError when it is reset."""
    parts: list[bytes] = []
    while part := sock.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def read_answer(sock: socket.socket) -> int:
    """The status of one answer, which is read to the end of its body: that may come later than its head."""
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    answer.read()
    return answer.status


def wait_until_closed(sock: socket.socket, *, within_s: float) -> float:
    """Seconds until the server closed or reset the connection."""
    began = time.monotonic()
    sock.settimeout(within_s)
    with contextlib.suppress(ConnectionResetError):
        read_all(sock)
    return time.monotonic() - began


def is_open(sock: socket.socket) -> bool:
    """Whether the server has not closed the connection, as far as we have been told."""
    sock.setblocking(False)
    try:
        while sock.recv(1 << 16):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def crowd(server: PellucidServer, number: int, *, source: str, says: bytes = b"") -> Iterator[list[socket.socket]]:
    """That many connections from one address; each says something or nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * number + 500)), hard))
    socks: list[socket.socket] = []
    try:
        for _ in range(number):
            sock = open_connection(server, source=source)
            socks.append(sock)
            if says:
                with contextlib.suppress(OSError):
                    sock.send(says)
        yield socks
    finally:
        for sock in socks:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
