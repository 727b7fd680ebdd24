"""Finds out whether the program that has a port is another Pellucid."""

from __future__ import annotations

import contextlib
import re
import socket
import time

import msgspec

_TIMEOUT_S = 2.0
"""Timeout of the whole check. The program may be silent, or send a byte per second for ever."""

_MAX_BYTES = 16 << 10

_REQUEST = b"GET /-/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

_LOOPBACKS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound

_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,40}")


class _Health(msgspec.Struct, frozen=True):
    """The response of `/-/health`."""

    name: str
    version: str


class Running(msgspec.Struct, frozen=True):
    """A running Pellucid."""

    version: str
    url: str


def find_running(host: str, port: int) -> Running | None:
    """The Pellucid that answers at the address of a server for `host` and `port`; None, within 2 s, if there is none.

    For a wildcard address the loopback addresses are tried.
    """
    deadline = time.monotonic() + _TIMEOUT_S
    with contextlib.suppress(OSError):
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        for known, at in _addresses(socket.AddressFamily(family), str(address[0])):
            health = _request_health(known, at, port, deadline)
            if health is not None:
                return Running(version=health.version, url=f"http://{f'[{at}]' if ':' in at else at}:{port}/")
    return None


def _addresses(family: socket.AddressFamily, address: str) -> list[tuple[socket.AddressFamily, str]]:
    if address not in _WILDCARDS:
        return [(family, address)]
    # The other program may listen on one of the two families only.
    return sorted(((known, at) for known, at in _LOOPBACKS.items()), key=lambda each: each[0] != family)


def _request_health(family: socket.AddressFamily, address: str, port: int, deadline: float) -> _Health | None:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            _wait_until(sock, deadline)
            sock.connect((address, port))
            sock.sendall(_REQUEST)
            data = b""
            while len(data) < _MAX_BYTES:
                _wait_until(sock, deadline)
                chunk = sock.recv(_MAX_BYTES - len(data))
                if not chunk:
                    break
                data += chunk
    except OSError:
        return None
    return _read(data)


def _wait_until(sock: socket.socket, deadline: float) -> None:
    """Set the socket's timeout to the time left. Raises TimeoutError after `deadline`."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    sock.settimeout(left_s)


def _read(answer: bytes) -> _Health | None:
    head, _, body = answer.partition(b"\r\n\r\n")
    if not re.match(rb"HTTP/1\.[01] 200\b", head):
        return None
    try:
        health = msgspec.json.decode(body, type=_Health)
    except msgspec.DecodeError:
        return None
    return health if health.name == "pellucid" and _VERSION.fullmatch(health.version) else None
