"""Asking origins: from the file or the web server that has them, https first where the URL left it open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from cachetools import TTLCache

from pellucid.concurrency.clients import Client
from pellucid.customers.customer import Customer
from pellucid.errors import LoopDetectedError, OriginError, OriginRefusedError, OriginTimeoutError
from pellucid.source.answers import Fetched, NotModified, Validators
from pellucid.source.fetch import ConnectTimeoutError, Fetcher, NoConnectionError
from pellucid.source.files import check_file, read_file
from pellucid.source.headers import NOTHING, OriginHeaders, SentHeaders
from pellucid.source.limits import Freshness
from pellucid.source.location import FileLocation, Location, WebLocation
from pellucid.source.memory import MEMORY_WAIT_S, Reservation
from pellucid.source.weburl import parse_web_url
from pellucid.spec import Token

_SCHEMES_IN_MEMORY = 10_000
_SCHEME_TTL_S = 3600.0
# A host without TLS that drops packets costs its first visitor this long.
_PROBE_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Conditions:
    """The validators of what is known of an origin, and the URL, after redirects, whose answer had them."""

    validators: Validators = field(default_factory=Validators)
    url: str | None = None


class OriginClient:
    """Puts one question at a time; remembers which scheme brought an answer from a host. `headers` are what hosts are
    sent besides.
    """

    def __init__(
        self, fetcher: Fetcher, *, freshness: Freshness, clock: Callable[[], float], headers: OriginHeaders
    ) -> None:
        self._headers = headers
        self._fetcher = fetcher
        self._freshness = freshness
        self._worked: TTLCache[tuple[Token, str], str] = TTLCache(_SCHEMES_IN_MEMORY, _SCHEME_TTL_S, clock)

    async def ask(
        self,
        customer: Customer,
        location: Location,
        known: Conditions,
        *,
        client: Client,
        hint: str | None,
        room: Reservation,
    ) -> tuple[str, Fetched | NotModified]:
        """The answer, and the scheme that brought it. Redirects lead to hosts that the customer may fetch from; `hint`
        is the scheme that worked before; in `room` the memory for the body is reserved. Raises OriginError, BusyError.
        """
        if isinstance(location, FileLocation):
            return "file", await self._read_file(location, known.validators, room)
        if not self._may_go_in_clear(customer.token, location):
            return "https", await self._ask_by_tls_alone(customer, location, known, client=client, room=room)
        first, *others = self._schemes(customer.token, location, hint)
        if not others:
            return first, await self._ask_web(customer, location, first, known, client=client, room=room)
        try:
            return first, await self._ask_web(
                customer, location, first, known, client=client, room=room, connect_timeout_s=_PROBE_TIMEOUT_S
            )
        except (NoConnectionError, ConnectTimeoutError) as error:
            try:
                return others[0], await self._ask_web(customer, location, others[0], known, client=client, room=room)
            except (NoConnectionError, ConnectTimeoutError):
                raise error from None

    def scope(self, token: Token, location: Location) -> str:
        """The credential scope of what is asked for: '' where no headers are sent."""
        return "" if isinstance(location, FileLocation) else self._sent(token, location).scope

    def _sent(self, token: Token, location: WebLocation) -> SentHeaders:
        if not self._headers:
            return NOTHING
        return self._headers.of(token).of(parse_web_url(location.url("https")))

    def _may_go_in_clear(self, token: Token, location: WebLocation) -> bool:
        sent = self._sent(token, location)
        return not sent or sent.in_clear

    async def _ask_by_tls_alone(
        self, customer: Customer, location: WebLocation, known: Conditions, *, client: Client, room: Reservation
    ) -> Fetched | NotModified:
        """A host with headers is asked by https, whatever the URL says: without TLS anybody on the way could read a
        key, and without the key another picture may come, which would be kept as the host's.
        """
        try:
            return await self._ask_web(customer, location, "https", known, client=client, room=room)
        except (NoConnectionError, ConnectTimeoutError) as error:
            if location.schemes == ("https",):
                raise
            raise type(error)(
                f"{error}; it is asked by https alone, because PELLUCID_ORIGIN_HEADERS has headers for it that are not "
                "marked with http://"
            ) from error

    async def _read_file(
        self, location: FileLocation, validators: Validators, room: Reservation
    ) -> Fetched | NotModified:
        limit, fresh_s = self._fetcher.limits.max_bytes, self._freshness.min_s
        checked = await asyncio.to_thread(
            partial(check_file, location, validators=validators, max_bytes=limit, fresh_s=fresh_s)
        )
        if isinstance(checked, NotModified):
            return checked
        await room.grow(checked, expected_bytes=checked, limit_bytes=limit, timeout_s=MEMORY_WAIT_S)
        read = await asyncio.to_thread(partial(read_file, location, max_bytes=limit, fresh_s=fresh_s))
        room.settle(len(read.body))  # it may have changed in between
        return read

    async def _ask_web(
        self,
        customer: Customer,
        location: WebLocation,
        scheme: str,
        known: Conditions,
        *,
        client: Client,
        room: Reservation,
        connect_timeout_s: float | None = None,
    ) -> Fetched | NotModified:
        try:
            answer = await self._fetcher.fetch(
                location.url(scheme),
                client=client,
                headers=self._headers.of(customer.token),
                allow_hosts=customer.allow_hosts,
                validators=known.validators,
                validators_of=known.url,
                connect_timeout_s=connect_timeout_s,
                room=room,
            )
        except (NoConnectionError, OriginTimeoutError, OriginRefusedError, LoopDetectedError):
            raise
        except OriginError:
            # A status that is no success is an answer: the scheme works.
            self._worked[customer.token, location.host] = scheme
            raise
        self._worked[customer.token, location.host] = scheme
        return answer

    def _schemes(self, token: Token, location: WebLocation, hint: str | None) -> tuple[str, ...]:
        """Those to try, in order. A host that is known to speak https is not asked in clear when it stumbles."""
        if len(location.schemes) == 1:
            return location.schemes
        worked = self._worked.get((token, location.host))
        if worked == "https":
            return ("https",)
        return ("http", "https") if (worked or hint) == "http" else ("https", "http")
