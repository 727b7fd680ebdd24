"""Origins from the web: one guarded client. What an address may cost is bounded in every direction."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from pellucid.errors import (
    OriginForbiddenError,
    OriginNotFoundError,
    OriginRefusedError,
    OriginTimeoutError,
    OriginTooLargeError,
    OriginUnreachableError,
)
from pellucid.source.answers import Fetched, NotModified, Validators
from pellucid.source.freshness import fresh_seconds
from pellucid.source.limits import FetchLimits, Freshness
from pellucid.source.netguard import Guard
from pellucid.source.slots import FetchSlots
from pellucid.source.weburl import bare_host, covers, join_web_url, normalise_hosts, parse_web_url

AddrInfo = tuple[int, int, int, str, tuple[str | int, ...] | tuple[int, bytes]]
"""As `socket.getaddrinfo` gives it."""

_CHUNK_BYTES = 64 << 10
_VALIDATOR_LENGTH = 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WHOLE = frozenset({200, 203})


class NoConnectionError(OriginUnreachableError):
    """No HTTP answer came: no address, no connection, no TLS, or something that does not speak HTTP."""


class ConnectTimeoutError(OriginTimeoutError):
    """Name look-up, connection or TLS took too long."""


@dataclass(slots=True)
class _Dials:
    """What the guard said about the addresses of one request."""

    allowed: int = 0
    refusal: OriginRefusedError | None = None


class _DialRefused(OSError):  # noqa: N818 - never seen outside the connector, which retries and reports OSErrors only
    """The guard's refusal in the only form that the connector and its happy eyeballs pass on."""


# Happy eyeballs dial in tasks of their own and merge their errors into one text; a context variable reaches those tasks
# and carries the refusal around them.
_dials: ContextVar[_Dials] = ContextVar("dials")


class Fetcher:
    """Fetches origins. Use as an async context manager.

    `allow_hosts` (empty = any) is applied to redirects; they may also stay on the host where they began, which
    was judged when the location was resolved. `ssl_context` and `resolver` replace the system's.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        limits: FetchLimits,
        freshness: Freshness,
        allow_hosts: tuple[str, ...] = (),
        ssl_context: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self.limits = limits
        self._guard = guard
        self._freshness = freshness
        self._allow_hosts = normalise_hosts(allow_hosts)
        self._ssl_context = ssl_context
        self._resolver = resolver
        self._slots = FetchSlots(total=limits.max_concurrency, per_host=limits.max_per_host)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Fetcher:
        connector = aiohttp.TCPConnector(
            limit=0,  # counted by FetchSlots
            ssl=self._ssl_context or True,
            resolver=self._resolver,
            socket_factory=self._open_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": f"Pellucid/{version('pellucid')}", "Accept": "image/*,*/*;q=0.5"},
            max_line_size=self.limits.max_header_bytes,
            max_field_size=self.limits.max_header_bytes,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(
        self, url: str, *, validators: Validators | None = None, connect_timeout_s: float | None = None
    ) -> Fetched | NotModified:
        """The origin at `url`; NotModified when its server says that `validators` still hold.

        `connect_timeout_s` shortens the limit on name look-up, connection and TLS. Raises OriginError in all its kinds
        (NoConnectionError and ConnectTimeoutError when nothing answered), BusyError when no slot came free.
        """
        try:
            start = parse_web_url(url)
        except ValueError as error:
            raise OriginUnreachableError("the origin's URL is malformed") from error
        connect_s = min(self.limits.connect_timeout_s, connect_timeout_s or self.limits.connect_timeout_s)
        total_s = self.limits.total_timeout_s
        async with self._slots.hold(start.raw_authority, patience_s=total_s):
            try:
                async with asyncio.timeout(total_s):
                    return await self._follow(start, validators or Validators(), connect_s)
            except TimeoutError as error:
                raise OriginTimeoutError(f"the origin took longer than {total_s:g} s") from error

    async def _follow(self, start: URL, validators: Validators, connect_s: float) -> Fetched | NotModified:
        current = start
        for _ in range(self.limits.max_redirects + 1):
            self._guard.check_port(current.port or 0)
            answer = await self._ask(current, validators, connect_s)
            if not isinstance(answer, _Redirect):
                return answer
            current = self._next_hop(start, current, answer.location)
        raise OriginUnreachableError(f"the origin redirects more than {self.limits.max_redirects} times")

    def _next_hop(self, start: URL, current: URL, location: str) -> URL:
        try:
            target = join_web_url(current, location)
        except ValueError as error:
            raise OriginRefusedError("the origin redirects to what is no http or https URL") from error
        if current.scheme == "https" and target.scheme == "http":
            raise OriginRefusedError("the origin redirects from https to http")
        if bare_host(target) != bare_host(start) and not covers(self._allow_hosts, target):
            raise OriginRefusedError(
                "the origin redirects to a host that this server does not fetch from; "
                "PELLUCID_ORIGIN_ALLOW_HOSTS lists those it does"
            )
        return target

    async def _ask(self, url: URL, validators: Validators, connect_s: float) -> Fetched | NotModified | _Redirect:
        if self._session is None:
            raise RuntimeError("the fetcher is not open")
        timeout = aiohttp.ClientTimeout(total=None, connect=connect_s, sock_read=self.limits.idle_timeout_s)
        dials = _Dials()
        reset = _dials.set(dials)
        answered = False
        try:
            async with self._session.get(
                url, headers=_conditions(validators), timeout=timeout, allow_redirects=False
            ) as response:
                answered = True
                return await self._read(response, url, conditional=bool(validators))
        except aiohttp.ConnectionTimeoutError as error:
            raise ConnectTimeoutError(f"no connection to the origin within {connect_s:g} s") from error
        except TimeoutError as error:
            raise OriginTimeoutError(f"the origin was silent for {self.limits.idle_timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: host names that are no names only to the resolver (a label of 64 letters).
            if dials.refusal is not None and not dials.allowed:
                raise dials.refusal from error
            if answered:
                raise OriginUnreachableError("the origin's answer broke off or is malformed") from error
            raise NoConnectionError(_reason(error)) from error
        finally:
            _dials.reset(reset)

    def _open_socket(self, addr_info: AddrInfo) -> socket.socket:
        """The one place where sockets are made. Raises _DialRefused for an address that the guard refuses."""
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
        return socket.socket(family, kind, protocol)

    async def _read(
        self, response: aiohttp.ClientResponse, url: URL, *, conditional: bool
    ) -> Fetched | NotModified | _Redirect:
        if sum(len(name) + len(value) for name, value in response.raw_headers) > self.limits.max_header_bytes:
            raise OriginUnreachableError("the origin's headers are too long")
        headers = response.headers
        said_s = _said_s(response)
        validators = Validators(
            etag=_validator(headers.get("ETag")), last_modified=_validator(headers.get("Last-Modified"))
        )
        match response.status:
            case status if status in _REDIRECTS and "Location" in headers:
                return _Redirect(location=headers["Location"])
            case 304 if conditional:
                fresh_s = None if said_s is None else self._freshness.clamp(said_s)
                return NotModified(validators=validators, fresh_s=fresh_s)
            case status if status not in _WHOLE:
                raise _status_error(status)
            case _:
                pass
        body = await self._read_body(response)
        return Fetched(
            body=body,
            validators=validators,
            fresh_s=self._freshness.clamp(said_s),
            content_type=headers.get("Content-Type"),
            url=str(url),
        )

    async def _read_body(self, response: aiohttp.ClientResponse) -> bytes:
        limit = self.limits.max_bytes
        too_large = f"the origin has more than {limit} bytes"
        if (response.content_length or 0) > limit:
            raise OriginTooLargeError(too_large)
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            size += len(chunk)
            if size > limit:
                response.close()
                raise OriginTooLargeError(too_large)
            chunks.append(chunk)
        if not size:
            raise OriginUnreachableError("the origin's answer is empty")
        return b"".join(chunks)


@dataclass(frozen=True, slots=True)
class _Redirect:
    location: str


def _conditions(validators: Validators) -> dict[str, str]:
    conditions: dict[str, str] = {}
    if validators.etag is not None:
        conditions["If-None-Match"] = validators.etag
    if validators.last_modified is not None:
        conditions["If-Modified-Since"] = validators.last_modified
    return conditions


def _said_s(response: aiohttp.ClientResponse) -> float | None:
    headers = response.headers
    return fresh_seconds(
        cache_control=", ".join(headers.getall("Cache-Control", [])),
        expires=headers.get("Expires"),
        date=headers.get("Date"),
        age=headers.get("Age"),
        now=time.time(),
    )


def _status_error(status: int) -> OriginNotFoundError | OriginForbiddenError | OriginUnreachableError:
    message = f"the origin answered with status {status}"
    if status in (404, 410):
        return OriginNotFoundError(message)
    if status in (401, 403):
        return OriginForbiddenError(message)
    return OriginUnreachableError(message)


def _reason(error: Exception) -> str:
    """What may be said in public: the library's own words name addresses."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "the origin's host name does not resolve"
        case aiohttp.ClientConnectorCertificateError():
            return "the origin's TLS certificate is not valid"
        case aiohttp.ClientSSLError():
            return "the origin's port speaks no TLS that this server understands"
        case aiohttp.ClientConnectorError():
            return "the origin accepts no connection"
        case _:
            return "the origin closed the connection or does not speak HTTP"


def _validator(value: str | None) -> str | None:
    """A validator that can be stored and sent back: printable ASCII of sane length, else none at all."""
    return value if value and len(value) <= _VALIDATOR_LENGTH and value.isascii() and value.isprintable() else None
