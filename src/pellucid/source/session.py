"""The guarded HTTP client: every connection to the outside is judged where its socket is made."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.metadata import version
from types import TracebackType

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from pellucid.concurrency.clients import SERVER, Client
from pellucid.errors import BusyError, OriginRefusedError
from pellucid.source.connections import AddrInfo, BoundedConnector, OpenSockets
from pellucid.source.netguard import Guard
from pellucid.source.resolver import NameNotFoundError, NameResolver

MAX_IDLE = 64
"""Idle connections that a session keeps."""

_DIALS = 2
"""Sockets that one request has at a time. A name may have eight addresses that answer nothing, and happy eyeballs dial
the next one every 250 ms without giving up the last: sixteen requests would have all sockets of a session.
"""

_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_REPLY_BYTES = 1024

_PRODUCT = f"Pellucid/{version('pellucid')}"


class NoReplyError(Exception):
    """A call got no HTTP answer. The text may be logged; it names no address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a call. `text` is what its body begins with, at most 1 kB; `retry_after_s` what the header of that
    name says in seconds, None without one.
    """

    status: int
    text: str
    retry_after_s: float | None = None


@dataclass(slots=True)
class _Dials:
    """What the guard said about the addresses of one request."""

    allowed: int = 0
    refusal: OriginRefusedError | None = None
    opened: list[socket.socket] = field(default_factory=list[socket.socket])
    starved: bool = False
    """Whether this process had no socket left: the other end is not to blame."""


def user_agent(contact: str) -> str:
    """The `User-Agent` header (RFC 9110, section 10.1.5): name and version, and whom to ask about its requests."""
    return f"{_PRODUCT} ({contact})" if contact else _PRODUCT


def max_sockets(max_requests: int, max_idle: int) -> int:
    """The most sockets that a session opens for so many requests at a time, with so many connections kept."""
    return max(_DIALS * max_requests, max_requests + max_idle)


class _DialRefused(OSError):  # noqa: N818 - never seen outside the connector, which retries and reports OSErrors only
    """The guard's refusal in the only form that the connector and its happy eyeballs pass on."""


# Happy eyeballs dial in tasks of their own and merge their errors into one text; a context variable reaches those tasks
# and carries the refusal around them.
_dials: ContextVar[_Dials] = ContextVar("dials")


class GuardedSession:
    """An HTTP client without cookies, proxies and redirects. Use as an async context manager.

    `user_agent`, `accept` and `accept_encoding` are the headers of those names; `max_header_bytes` bounds one field of
    an answer. The caller bounds its requests, `max_requests` at a time, of which each has two sockets at most while it
    dials; `max_idle` connections are kept beside them, and closed where their sockets are needed. `ssl_context`
    replaces the system's; a `resolver` is shared, without one the session has its own.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        user_agent: str | None = None,
        accept: str = "*/*",
        accept_encoding: str = "identity",
        max_header_bytes: int = 16 << 10,
        max_requests: int = 64,
        max_idle: int = MAX_IDLE,
        ssl_context: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._guard = guard
        self._headers = {
            "User-Agent": user_agent or _PRODUCT,
            "Accept": accept,
            "Accept-Encoding": accept_encoding,
        }
        self._max_header_bytes = max_header_bytes
        self._ssl_context = ssl_context
        self._resolver = resolver
        self._own_resolver: NameResolver | None = None
        self._max_idle = max_idle
        self._sockets = OpenSockets(max_sockets(max_requests, max_idle))
        self._connector: BoundedConnector | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> GuardedSession:
        if self._resolver is None:
            self._resolver = self._own_resolver = await NameResolver().__aenter__()
        self._connector = BoundedConnector(
            max_idle=self._max_idle,
            ssl=self._ssl_context or True,
            resolver=self._resolver,
            open_socket=self._open_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers=self._headers,
            max_line_size=self._max_header_bytes,
            max_field_size=self._max_header_bytes,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
        if self._own_resolver is not None:
            await self._own_resolver.close()

    async def look_up(self, url: URL, *, client: Client = SERVER) -> None:
        """Resolve the host of `url`, so that `request` finds it resolved: a request that waits for a name holds
        nothing then that others need.

        Raises NameNotFoundError, LookupTimeoutError, BusyError.
        """
        if isinstance(self._resolver, NameResolver) and url.raw_host is not None:
            await self._resolver.lookup(url.raw_host, client=client)

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
        body: bytes | None = None,
        decompress: bool = True,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """One request, redirects not followed; the answer's body is read inside the block.

        Raises OriginRefusedError when the guard refused every address, BusyError when no socket was left to dial
        with, else what aiohttp raises: TimeoutError, ClientError, OSError, ValueError.
        """
        if self._session is None:
            raise RuntimeError("the session is not open")
        dials = _Dials()
        reset = _dials.set(dials)
        try:
            async with self._session.request(
                method,
                url,
                headers=headers,
                data=body,
                timeout=timeout,
                allow_redirects=False,
                auto_decompress=decompress,
            ) as response:
                yield response
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if dials.starved:
                raise BusyError("this server has no connection left to fetch with") from error
            if dials.refusal is not None and not dials.allowed:
                raise dials.refusal from error
            raise
        finally:
            _dials.reset(reset)

    async def call(self, method: str, url: URL, *, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        """Send `body` and say what the answer was; no more than its first kB is read.

        `timeout_s` is for everything. Raises OriginRefusedError when the guard refused every address, NoReplyError when
        no answer came.
        """
        try:
            async with (
                asyncio.timeout(timeout_s),
                self.request(
                    method,
                    url,
                    headers=headers,
                    body=body,
                    timeout=aiohttp.ClientTimeout(total=None),
                    decompress=False,  # a kB could become a MB
                ) as response,
            ):
                start = await response.content.read(_REPLY_BYTES)
                if not response.content.at_eof():
                    response.close()
                return Reply(
                    status=response.status,
                    text=start.decode(errors="replace"),
                    retry_after_s=_seconds(response.headers.get("Retry-After")),
                )
        except TimeoutError as error:
            raise NoReplyError(f"no answer within {timeout_s:g} s") from error
        except BusyError as error:
            raise NoReplyError(str(error)) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoReplyError(explain(error, "the receiver")) from error

    def _open_socket(self, addr_info: AddrInfo) -> socket.socket:
        """The one place where sockets are made. Raises _DialRefused for an address that the guard refuses, OSError when
        none is left.
        """
        family, kind, protocol, _, address = addr_info
        ip, port = address[0], address[1]
        scope = address[3] if len(address) == 4 else 0
        dials = _dials.get()
        try:
            self._guard.check_address(f"{ip}%{scope}" if scope else str(ip), int(port))
        except OriginRefusedError as error:
            dials.refusal = error
            raise _DialRefused(errno.EACCES, "refused by the guard") from error
        dials.allowed += 1
        dials.opened = [each for each in dials.opened if each.fileno() >= 0]
        if len(dials.opened) >= _DIALS:
            raise OSError(errno.EMFILE, "enough addresses of this host are being dialled")
        if self._sockets.is_full and not (self._connector is not None and self._connector.close_oldest()):
            dials.starved = True
            raise OSError(errno.EMFILE, "too many connections")
        try:
            opened = socket.socket(family, kind, protocol)
        except OSError as error:
            dials.starved = dials.starved or error.errno in _NO_DESCRIPTOR
            raise
        self._sockets.add(opened)
        dials.opened.append(opened)
        return opened


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` in its form as a number (RFC 9110, section 10.2.3); a date is not read."""
    return float(retry_after) if retry_after and retry_after.isdecimal() and len(retry_after) < 10 else None


def explain(error: Exception, who: str) -> str:
    """Why no answer came from `who`, as it may be said in public: the library's own words name addresses."""
    match error:
        case aiohttp.ClientConnectorDNSError() | NameNotFoundError():
            return f"{who}'s host name does not resolve"
        case aiohttp.ClientConnectorCertificateError():
            return f"{who}'s TLS certificate is not valid"
        case aiohttp.ClientSSLError():
            return f"{who}'s port speaks no TLS that this server understands"
        case aiohttp.ClientConnectorError():
            return f"{who} accepts no connection"
        case _:
            return f"{who} closed the connection or does not speak HTTP"
