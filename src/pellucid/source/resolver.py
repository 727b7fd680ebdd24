"""Names to addresses by c-ares: no look-up holds a thread, and each has an end."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import cast

import aiodns
from aiohttp.abc import AbstractResolver, ResolveResult
from cachetools import TLRUCache

from pellucid.concurrency.clients import SERVER, Client
from pellucid.concurrency.fair_semaphore import FairSemaphore
from pellucid.concurrency.single_flight import SingleFlight
from pellucid.errors import BusyError

_LOOKUPS = 512
"""Look-ups at a time, of which one client gets three quarters. Each is a query of about 1 kB on a socket that all
share, so there can be many more than fetches; the bound is there so that their sum has one.
"""

_WAITING = 1000
_KNOWN = 10_000
"""Names remembered, of those that resolve and of those that do not: about 1 kB each."""

_TTL_MIN_S, _TTL_MAX_S = 30.0, 300.0
_FAILURE_S = 5.0
"""A name that does not resolve is not asked for again for this long."""

_PER_FAMILY = 4
"""Addresses tried of each family. A name may have hundreds, and happy eyeballs dial the next one every 250 ms without
giving up the last.
"""

_TRIES = 4
_TRY_S = 1.0
"""c-ares doubles it from try to try, and shortens it where a server is known to answer faster."""

_TIMED_OUT = frozenset({12, 24})
"""`ARES_ETIMEOUT` and `ARES_ECANCELLED`: the constants have no types."""


class NameNotFoundError(OSError):
    """The name does not resolve."""


class LookupTimeoutError(TimeoutError):
    """No name server answered in time."""


@dataclass(frozen=True, slots=True)
class _Addresses:
    """What a name resolved to, for `ttl_s`."""

    of: tuple[tuple[int, str], ...]
    """Family and address."""
    ttl_s: float


@dataclass(frozen=True, slots=True)
class _Failure:
    """A name that did not resolve."""

    timed_out: bool

    def to_error(self) -> OSError:
        return LookupTimeoutError() if self.timed_out else NameNotFoundError()


class NameResolver(AbstractResolver):
    """Resolves names as resolv.conf and the hosts file say, or through `nameservers` (`address` or `address:port`).

    Simultaneous look-ups of one name are one. `timeout_s` is for a whole look-up, all tries and servers included. Use
    as an async context manager; several sessions may share one.
    """

    def __init__(
        self,
        *,
        nameservers: tuple[str, ...] = (),
        timeout_s: float = 5.0,
        max_lookups: int = _LOOKUPS,
        max_known: int = _KNOWN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nameservers = nameservers
        self._timeout_s = timeout_s
        self._channel: aiodns.DNSResolver | None = None
        self._flights: SingleFlight[str, _Addresses | _Failure] = SingleFlight()
        self._known: TLRUCache[str, _Addresses | _Failure] = TLRUCache(max_known, ttu=_valid_until, timer=clock)
        self._places = FairSemaphore(
            max_lookups,
            per_client=max(1, max_lookups - max_lookups // 4),
            max_waiting=_WAITING,
            max_waiting_per_client=_WAITING // 2,
            busy="too many host names are being looked up",
        )

    async def __aenter__(self) -> NameResolver:
        self._channel = aiodns.DNSResolver(nameservers=self._nameservers or None, timeout=_TRY_S, tries=_TRIES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def lookup(self, host: str, *, client: Client = SERVER) -> list[tuple[int, str]]:
        """Families and addresses of `host`, on behalf of `client`; an address stands for itself.

        Raises NameNotFoundError, LookupTimeoutError, BusyError when too many look-ups wait.
        """
        literal = _as_address(host)
        if literal is not None:
            return [literal]
        name = host.lower()
        known = self._known.get(name)
        if known is None:
            known = await self._flights.run(name, partial(self._resolve, name, client))
        if isinstance(known, _Failure):
            raise known.to_error()
        return list(known.of)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """`lookup` in the form that the HTTP client wants."""
        return [
            ResolveResult(hostname=host, host=address, port=port, family=each, proto=0, flags=socket.AI_NUMERICHOST)
            for each, address in await self.lookup(host)
            if family in (socket.AF_UNSPEC, each)
        ]

    async def close(self) -> None:
        """End what is under way. The resolver is not used again."""
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()

    async def _resolve(self, name: str, client: Client) -> _Addresses | _Failure:
        async with self._places.acquire(client, timeout_s=self._timeout_s):
            found = await self._ask(name)
        self._known[name] = found
        return found

    async def _ask(self, name: str) -> _Addresses | _Failure:
        if self._channel is None:
            raise RuntimeError("the resolver is not open")
        # c-ares answers for `localhost` itself (RFC 6761), but not with the dot of a fully qualified name.
        asked = name.rstrip(".") if name.rstrip(".").endswith("localhost") else name
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._channel.getaddrinfo(asked, type=socket.SOCK_STREAM)
        except TimeoutError:
            return _Failure(timed_out=True)
        except aiodns.error.DNSError as error:
            _check_descriptors()
            return _Failure(timed_out=error.args[0] in _TIMED_OUT)
        except UnicodeError:
            return _Failure(timed_out=False)
        # In the order in which they came, which is that of RFC 6724.
        of: list[tuple[int, str]] = []
        ttl_s = _TTL_MAX_S
        for node in answer.nodes:
            family = int(node.family)
            if sum(each == family for each, _ in of) < _PER_FAMILY:
                of.append((family, cast(bytes, node.addr[0]).decode()))
                ttl_s = min(ttl_s, float(node.ttl))
        return _Addresses(of=tuple(of), ttl_s=max(ttl_s, _TTL_MIN_S)) if of else _Failure(timed_out=False)


def _valid_until(_name: str, known: _Addresses | _Failure, now: float) -> float:
    return now + (known.ttl_s if isinstance(known, _Addresses) else _FAILURE_S)


def _as_address(host: str) -> tuple[int, str] | None:
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (socket.AF_INET6 if parsed.version == 6 else socket.AF_INET), host


def _check_descriptors() -> None:
    """Raises BusyError when this process has no descriptor left: c-ares says then that the servers refuse."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    except OSError as error:
        raise BusyError("this server has no descriptor left to look a name up") from error
