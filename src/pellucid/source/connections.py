"""Connections to the outside: those in use are counted by who asks, those that idle are bounded here."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from socket import socket
from ssl import SSLContext

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey

_KEEP_S = 4.0
"""A connection that nobody used for this long is closed. A page's pictures are fetched within a second or two."""

_IDLE_PER_HOST = 8

AddrInfo = tuple[int, int, int, str, tuple[str | int, ...] | tuple[int, bytes]]
"""As `socket.getaddrinfo` gives it."""


class BoundedConnector(aiohttp.TCPConnector):
    """A connector that keeps at most `max_idle` idle connections, and 8 of one host; the oldest are closed first.

    The library bounds connections in use only: those that idle would be one for each host of the last seconds.
    """

    def __init__(
        self,
        *,
        max_idle: int,
        ssl: SSLContext | bool,
        resolver: AbstractResolver,
        open_socket: Callable[[AddrInfo], socket],
    ) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - one option's tuple has no types
            limit=0,  # counted by who asks
            keepalive_timeout=_KEEP_S,
            use_dns_cache=False,  # the resolver remembers
            ssl=ssl,
            resolver=resolver,
            socket_factory=open_socket,
        )
        self._max_idle = max_idle

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        if len(self._conns.get(key, ())) > _IDLE_PER_HOST:
            self._close_oldest_of(key)
        while sum(map(len, self._conns.values())) > self._max_idle:
            self.close_oldest()

    def close_oldest(self) -> bool:
        """Close the connection that has idled longest; False when none idles."""
        idle = [(waiting[0][1], key) for key, waiting in self._conns.items() if waiting]
        if not idle:
            return False
        self._close_oldest_of(min(idle, key=lambda each: each[0])[1])
        return True

    def _close_oldest_of(self, key: ConnectionKey) -> None:
        waiting = self._conns[key]
        waiting.popleft()[0].close()
        if not waiting:
            del self._conns[key]


class OpenSockets:
    """The sockets of one session that are open, which are at most `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sockets: weakref.WeakSet[socket] = weakref.WeakSet()

    @property
    def is_full(self) -> bool:
        """Whether no further one may be opened."""
        return len(self) >= self._most

    def __len__(self) -> int:
        return sum(each.fileno() >= 0 for each in self._sockets)

    def add(self, opened: socket) -> None:
        """Count `opened` until it is closed."""
        self._sockets.add(opened)
