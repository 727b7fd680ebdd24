"""Origins from the web: one guarded client. What an address may cost is bounded in every direction."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from pellucid.concurrency.clients import SERVER, Client
from pellucid.errors import (
    LoopDetectedError,
    OriginError,
    OriginForbiddenError,
    OriginNotFoundError,
    OriginRefusedError,
    OriginTimeoutError,
    OriginTooLargeError,
    OriginUnreachableError,
)
from pellucid.source.answers import Fetched, NotModified, Validators
from pellucid.source.codings import READABLE, PackedTooLargeError, UnknownCodingError, Unpacker, read_codings
from pellucid.source.cookies import FetchCookies
from pellucid.source.freshness import fresh_seconds, sharing_of
from pellucid.source.headers import HostHeaders
from pellucid.source.limits import FetchLimits, Freshness
from pellucid.source.loops import current_trail
from pellucid.source.memory import MEMORY_WAIT_S, BodyMemory, Reservation
from pellucid.source.netguard import Guard
from pellucid.source.resolver import LookupTimeoutError, NameNotFoundError
from pellucid.source.session import GuardedSession, explain, user_agent
from pellucid.source.slots import FetchSlots
from pellucid.source.weburl import bare_host, covers, join_web_url, parse_web_url

_CHUNK_BYTES = 64 << 10
_MARGIN_S = 0.1
_UNBOUNDED = 1 << 62
_VALIDATOR_LENGTH = 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WHOLE = frozenset({200, 203})

_UNREADABLE = (
    "the origin sent its answer in a coding that it was not asked for and that this server does not read; "
    f"it reads {', '.join(READABLE)}"
)


class NoConnectionError(OriginUnreachableError):
    """No HTTP answer came: no address, no connection, no TLS, or something that does not speak HTTP."""


class ConnectTimeoutError(OriginTimeoutError):
    """Name look-up, connection or TLS took too long."""


class Fetcher:
    """Fetches origins. Use as an async context manager.

    `instance` names this server to those it fetches from (`source.loops`), `contact` says in `User-Agent` who runs it.
    `ssl_context` and `resolver` replace the system's.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        limits: FetchLimits,
        freshness: Freshness,
        instance: str = "pellucid-000000000000",
        contact: str = "",
        ssl_context: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self.limits = limits
        self._guard = guard
        self._freshness = freshness
        self._instance = instance
        self._slots = FetchSlots(total=limits.max_concurrency, per_host=limits.max_per_host)
        self._session = GuardedSession(
            guard=guard,
            user_agent=user_agent(contact),
            accept="image/*,*/*;q=0.5",
            accept_encoding=", ".join(READABLE),
            max_header_bytes=limits.max_header_bytes,
            max_requests=limits.max_concurrency,
            ssl_context=ssl_context,
            resolver=resolver,
        )

    async def __aenter__(self) -> Fetcher:
        await self._session.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.__aexit__(kind, error, trace)

    async def fetch(
        self,
        url: str,
        *,
        client: Client = SERVER,
        headers: HostHeaders | None = None,
        allow_hosts: tuple[str, ...] = (),
        validators: Validators | None = None,
        validators_of: str | None = None,
        connect_timeout_s: float | None = None,
        room: Reservation | None = None,
    ) -> Fetched | NotModified:
        """The origin at `url`, on behalf of `client`; NotModified when its server says that `validators` still hold.
        `headers` are sent to the hosts they are meant for. Redirects may lead to the hosts of `allow_hosts` (made by
        `normalise_hosts`, empty = any), and within the host where they began, which was judged when the location was
        resolved.

        `validators_of` is the URL whose answer had them, None for `url`. They are sent to that URL alone (RFC 9110,
        section 13.1): where a redirect leads to another file, that file may well not have changed.

        `connect_timeout_s` shortens the limit on connection and TLS. `room` is where the memory for the body is
        reserved; it holds that of what is returned. Raises OriginError in all its kinds (NoConnectionError and
        ConnectTimeoutError when nothing answered), BusyError when no slot or no memory came free.
        """
        current_trail().check(self._instance)
        try:
            start = parse_web_url(url)
        except ValueError as error:
            raise OriginUnreachableError("the origin's URL is malformed") from error
        connect_s = min(self.limits.connect_timeout_s, connect_timeout_s or self.limits.connect_timeout_s)
        total_s = self.limits.total_timeout_s
        self._guard.check_port(start.port or 0)
        # Before a slot is taken: names that hang, however many, keep nobody else from fetching.
        await self._look_up(start, client)
        async with self._slots.acquire(f"{bare_host(start)}:{start.port}", client, timeout_s=total_s):
            call = _Call(
                client=client,
                start=start,
                headers=headers or HostHeaders(),
                allow_hosts=allow_hosts,
                validators=validators or Validators(),
                validators_of=validators_of or str(start),
                connect_s=connect_s,
                room=room or Reservation(BodyMemory(_UNBOUNDED, largest_bytes=_UNBOUNDED), client),
                deadline=asyncio.get_running_loop().time() + total_s,
            )
            try:
                async with asyncio.timeout_at(call.deadline):
                    return await self._follow(start, call)
            except TimeoutError as error:
                raise OriginTimeoutError(f"the origin took longer than {total_s:g} s") from error

    async def _look_up(self, url: URL, client: Client) -> None:
        try:
            await self._session.look_up(url, client=client)
        except LookupTimeoutError as error:
            raise ConnectTimeoutError("the name servers do not answer for the origin's host name") from error
        except NameNotFoundError as error:
            raise NoConnectionError(explain(error, "the origin")) from error

    async def _follow(self, start: URL, call: _Call) -> Fetched | NotModified:
        current = start
        asked: set[tuple[URL, str]] = set()
        for hop in range(self.limits.max_redirects + 1):
            if hop:
                self._guard.check_port(current.port or 0)
                await self._look_up(current, call.client)
            cookie = call.cookies.header_for(current)
            if (current, cookie) in asked:
                raise OriginUnreachableError("the origin redirects in a circle")
            asked.add((current, cookie))
            answer = await self._ask(current, call, cookie)
            if not isinstance(answer, _Redirect):
                return answer
            call.cookies.take(current, answer.set_cookies)
            current = self._next_hop(current, answer.location, call)
        raise OriginUnreachableError(f"the origin redirects more than {self.limits.max_redirects} times")

    def _next_hop(self, current: URL, location: str, call: _Call) -> URL:
        try:
            target = join_web_url(current, location)
        except ValueError as error:
            raise OriginRefusedError("the origin redirects to what is no http or https URL") from error
        if current.scheme == "https" and target.scheme == "http":
            raise OriginRefusedError("the origin redirects from https to http")
        if bare_host(target) != bare_host(call.start) and not covers(call.allow_hosts, target):
            raise OriginRefusedError(
                "the origin redirects to a host that this server does not fetch from; "
                "PELLUCID_ORIGIN_ALLOW_HOSTS lists those it does"
            )
        return target

    async def _ask(self, url: URL, call: _Call, cookie: str) -> Fetched | NotModified | _Redirect:
        validators = call.validators if str(url) == call.validators_of else Validators()
        timeout = aiohttp.ClientTimeout(total=None, connect=call.connect_s, sock_read=self.limits.idle_timeout_s)
        answered = False
        try:
            headers = dict(call.headers.on_the_way(call.start, url).pairs) | _conditions(validators)
            headers |= current_trail().next_headers(self._instance) | ({"Cookie": cookie} if cookie else {})
            async with self._session.request(
                "GET", url, headers=headers, timeout=timeout, decompress=False
            ) as response:
                answered = True
                return await self._read(response, url, call, conditional=bool(validators))
        except aiohttp.ConnectionTimeoutError as error:
            raise ConnectTimeoutError(f"no connection to the origin within {call.connect_s:g} s") from error
        except TimeoutError as error:
            raise OriginTimeoutError(f"the origin was silent for {self.limits.idle_timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if answered:
                raise OriginUnreachableError("the origin's answer broke off or is malformed") from error
            raise NoConnectionError(explain(error, "the origin")) from error

    async def _read(
        self, response: aiohttp.ClientResponse, url: URL, call: _Call, *, conditional: bool
    ) -> Fetched | NotModified | _Redirect:
        if sum(len(name) + len(value) for name, value in response.raw_headers) > self.limits.max_header_bytes:
            raise OriginUnreachableError("the origin's headers are too long")
        headers = response.headers
        cache_control = ", ".join(headers.getall("Cache-Control", []))
        said_s = _said_s(response, cache_control)
        validators = Validators(
            etag=_validator(headers.get("ETag")), last_modified=_validator(headers.get("Last-Modified"))
        )
        match response.status:
            case status if status in _REDIRECTS and "Location" in headers:
                return _Redirect(headers["Location"], tuple(headers.getall("Set-Cookie", ())))
            case 304 if conditional:
                fresh_s = None if said_s is None else self._freshness.clamp(said_s)
                sharing = sharing_of(cache_control) if cache_control else None
                return NotModified(validators=validators, fresh_s=fresh_s, sharing=sharing)
            case status if status not in _WHOLE:
                raise _status_error(status)
            case _:
                pass
        try:
            codings = read_codings(", ".join(headers.getall("Content-Encoding", ())))
        except UnknownCodingError as error:
            raise OriginUnreachableError(_UNREADABLE) from error
        body = await self._read_body(response, call, codings)
        return Fetched(
            body=body,
            validators=validators,
            fresh_s=self._freshness.clamp(said_s),
            content_type=headers.get("Content-Type"),
            url=str(url),
            sharing=sharing_of(cache_control),
        )

    async def _read_body(self, response: aiohttp.ClientResponse, call: _Call, codings: tuple[str, ...]) -> bytearray:
        limit = self.limits.max_bytes
        too_large = f"the origin has more than {limit} bytes"
        if (response.content_length or 0) > limit:
            raise OriginTooLargeError(too_large)
        expected = None if codings else response.content_length
        unpacker = Unpacker(codings, max_bytes=limit)
        # Not chunks that are joined at the end: for a moment that would be twice the memory.
        body = bytearray()
        try:
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                async for piece in _pieces(chunk, unpacker if codings else None):
                    size = len(body) + len(piece)
                    if size > limit:
                        raise PackedTooLargeError
                    # The end of this waiting comes before that of the fetch, which would be held against the origin.
                    left_s = call.deadline - asyncio.get_running_loop().time() - _MARGIN_S
                    await call.room.grow(
                        size, expected_bytes=expected, limit_bytes=limit, timeout_s=min(MEMORY_WAIT_S, max(0.0, left_s))
                    )
                    body += piece
        except PackedTooLargeError as error:
            response.close()
            raise OriginTooLargeError(too_large) from error
        unpacker.finish()
        call.room.settle(len(body))
        return body


async def _pieces(chunk: bytes, unpacker: Unpacker | None) -> AsyncIterator[bytes]:
    """What comes out of `chunk`. Packed, that may be a thousand times as much, or nothing after as much work: it is
    unpacked on threads, so that nobody else waits for it.
    """
    if unpacker is None:
        yield chunk
        return
    pieces = unpacker.feed(chunk)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One fetch, through all its redirects; `deadline` is a time of the event loop."""

    client: Client
    start: URL
    headers: HostHeaders
    allow_hosts: tuple[str, ...]
    validators: Validators
    validators_of: str
    connect_s: float
    room: Reservation
    deadline: float
    cookies: FetchCookies = field(default_factory=FetchCookies)


@dataclass(frozen=True, slots=True)
class _Redirect:
    location: str
    set_cookies: tuple[str, ...]


def _conditions(validators: Validators) -> dict[str, str]:
    conditions: dict[str, str] = {}
    if validators.etag is not None:
        conditions["If-None-Match"] = validators.etag
    if validators.last_modified is not None:
        conditions["If-Modified-Since"] = validators.last_modified
    return conditions


def _said_s(response: aiohttp.ClientResponse, cache_control: str) -> float | None:
    headers = response.headers
    if "*" in headers.get("Vary", ""):
        return 0.0  # it holds for this request alone (RFC 9110, section 12.5.5)
    return fresh_seconds(
        cache_control=cache_control,
        expires=headers.get("Expires"),
        date=headers.get("Date"),
        age=headers.get("Age"),
        now=time.time(),
    )


def _status_error(status: int) -> OriginError:
    message = f"the origin answered with status {status}"
    if status == 508:
        return LoopDetectedError(f"{message}: its URL leads back to this server, or through too many servers")
    if status in (404, 410):
        return OriginNotFoundError(message)
    if status in (401, 403):
        return OriginForbiddenError(message)
    return OriginUnreachableError(message)


def _validator(value: str | None) -> str | None:
    """A validator that can be stored and sent back: printable ASCII of sane length, else none at all."""
    return value if value and len(value) <= _VALIDATOR_LENGTH and value.isascii() and value.isprintable() else None
