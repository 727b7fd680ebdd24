"""The origin cache: who asks here reaches the network only when nothing usable is known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pellucid.concurrency.clients import SERVER, Client
from pellucid.concurrency.single_flight import SingleFlight
from pellucid.customers.customer import Customer
from pellucid.invalidation.validity import Validity
from pellucid.source.bodies import Bodies
from pellucid.source.client import OriginClient
from pellucid.source.fetch import Fetcher
from pellucid.source.headers import OriginHeaders
from pellucid.source.known import KnownOrigins
from pellucid.source.limits import Freshness
from pellucid.source.location import resolve
from pellucid.source.loops import current_trail
from pellucid.source.memory import BodyMemory
from pellucid.source.origin import Origin, Wanted, origin_of
from pellucid.source.records import FormerBytes, KnownFailure, KnownOrigin, recall_failure
from pellucid.source.renewing import STALE_IF_ERROR, Changed, Renewer
from pellucid.spec import OriginRef
from pellucid.store import keys
from pellucid.store.port import BlobStore

_STALE_WAIT_S = 0.5
"""How long a stale origin that is there waits for its server."""


class Origins:
    """The cache in front of the fetcher. `records` holds what is known about origins, `bodies` their bytes; both may
    lie in one store. Bytes are in `memory` until they are stored. `validity` says what is no longer believed: the next
    `get` asks the origin's server, unconditionally if somebody named the origin, and waits for the answer; what is
    there stands in only when the server cannot be reached. `changed` hears of origins that hold other bytes than
    before, which ones, and on whose behalf.

    The cache is keyed by the address as a URL named it and the credential scope: the token, and the headers that the
    origin is sent for it. What was fetched with one set of headers is not shown to whoever has another.
    """

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        records: BlobStore,
        bodies: Bodies,
        memory: BodyMemory,
        freshness: Freshness,
        headers: OriginHeaders | None = None,
        validity: Validity | None = None,
        changed: Changed | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._known = KnownOrigins(records, validity=validity or Validity(), clock=clock)
        self._client = OriginClient(fetcher, freshness=freshness, clock=clock, headers=headers or OriginHeaders())
        self._bodies = bodies
        self._clock = clock
        self._renewer = Renewer(
            origin_client=self._client,
            known=self._known,
            bodies=bodies,
            memory=memory,
            freshness=freshness,
            changed=changed,
            clock=clock,
        )
        self._flights: SingleFlight[str, Origin] = SingleFlight()
        self._refetches: SingleFlight[str, Origin] = SingleFlight()
        self._renewals: SingleFlight[str, Origin] = SingleFlight()

    async def get(self, customer: Customer, ref: OriginRef, *, version: str = "", client: Client = SERVER) -> Origin:
        """The origin as the customer's aliases and allow-list have it, from memory, the store or its server, which is
        asked on behalf of `client`. Simultaneous calls share one fetch.

        A stale origin is revalidated, and so is a fresh one for a `version` (the URL's cache buster) that its server
        was not asked for yet: a page with another one means that the image may have changed. When the server
        cannot be reached, the origin is answered as it is. Failures are remembered and raised again without asking.

        Raises OriginError, ImageError or RenderError for an origin that cannot be had or used, SpecError for what is no
        address, BusyError, StoreError.
        """
        return self._with_damage(await self._get(self._wanted(customer, ref, client, version)))

    async def _get(self, wanted: Wanted) -> Origin:
        key = wanted.key
        match self._known.get_fresh(key, wanted.location.name, wanted.scope):
            case KnownOrigin() as record if not _is_new(wanted, record):
                return origin_of(record, key)
            case KnownFailure() as failure:
                raise recall_failure(failure)
            case _:
                # A fetch for another version may have begun before the image changed.
                flight = f"{self._flight(key)}\n{wanted.version}"
                return await self._flights.run(flight, partial(self._resolve, wanted))

    async def read(self, origin: Origin) -> bytes | None:
        """The bytes of `origin`; None when they were evicted or damaged: then `refetch`. Raises StoreError."""
        if origin.body is not None:
            return bytes(origin.body.data)
        return await self._bodies.read(origin.digest)

    async def refetch(self, customer: Customer, ref: OriginRef, *, client: Client = SERVER) -> Origin:
        """The origin with bytes in the store for certain, fetched again if need be, whatever its freshness.

        Raises what `get` raises.
        """
        wanted = self._wanted(customer, ref, client)
        return self._with_damage(await self._refetches.run(self._flight(wanted.key), partial(self._restore, wanted)))

    async def former(self, origin: Origin, former: FormerBytes) -> Origin | None:
        """The origin as it was, None when those bytes are gone. Raises StoreError."""
        if not await self._bodies.exists(former.digest):
            return None
        return self._with_damage(
            replace(
                origin, digest=former.digest, facts=former.facts, size_bytes=former.size_bytes, former=(), body=None
            )
        )

    async def mark_damaged(self, customer: Customer, ref: OriginRef, origin: Origin) -> None:
        """The bytes of `origin` turned out to be damaged when they were decoded: its server is asked for them again
        before long, and nothing is made of them meanwhile that lasts. If the same come, they are tried anew.
        """
        self._bodies.mark_damaged(origin.digest)
        await self._renewer.mark_damaged(self._wanted(customer, ref, SERVER), origin.digest)

    def _with_damage(self, origin: Origin) -> Origin:
        """`origin` with what was learnt of its bytes since its record was written."""
        if not self._bodies.is_marked_damaged(origin.digest):
            return origin
        return replace(origin, facts=replace(origin.facts, damaged=True))

    def _wanted(self, customer: Customer, ref: OriginRef, client: Client, version: str = "") -> Wanted:
        location = resolve(ref, aliases=customer.aliases, allow_hosts=customer.allow_hosts)
        key = keys.origin_record_key(customer.token, ref)
        scope = self._client.scope(customer.token, location)
        return Wanted(
            customer=customer, ref=ref, key=key, location=location, scope=scope, client=client, version=version
        )

    def _flight(self, key: str) -> str:
        """Who shares a question: nobody who comes after an invalidation shares one that was put before it, and who came
        through other servers shares it with those that came the same way.
        """
        trail = current_trail()
        return f"{key} {self._known.generation_of(key)}\n{trail.cdn_loop}\n{trail.via}"

    async def _resolve(self, wanted: Wanted) -> Origin:
        key = wanted.key
        record = await self._usable(wanted)
        believed = record is not None and self._known.is_valid(key, record)
        present = record is not None and await self._bodies.exists(record.digest)
        is_new = record is not None and _is_new(wanted, record)
        if record is not None and present and believed and not is_new and self._clock() < record.fresh_until:
            self._known.remember(key, record)
            return origin_of(record, key)
        failure = self._renewer.refused(key)
        if failure is not None:
            error = recall_failure(failure)
            if record is not None and present and isinstance(error, STALE_IF_ERROR):
                return origin_of(record, key)
            raise error
        renew = partial(self._renewer.renew, wanted, known=record, present=present)
        if record is None or not present or not believed or is_new:
            return await renew()
        # A slow origin does not slow what is there: past a short patience the stale one is answered, while the
        # question goes on and settles the next answer.
        flight = self._flight(key)
        max_wait_s = 0 if self._renewals.is_in_flight(flight) else _STALE_WAIT_S
        renewal = self._renewals.start(flight, renew)
        done, _ = await asyncio.wait({renewal}, timeout=max_wait_s)
        return renewal.result() if done else origin_of(record, key)

    async def _restore(self, wanted: Wanted) -> Origin:
        record = await self._usable(wanted)
        if record is not None and await self._bodies.exists(record.digest):
            self._known.remember(wanted.key, record)
            return origin_of(record, wanted.key)
        return await self._renewer.renew(wanted, known=record, present=False)

    async def _usable(self, wanted: Wanted) -> KnownOrigin | None:
        """What is known, if it is no failure; one that holds still is raised again."""
        key = wanted.key
        record = await self._known.load(key, wanted.location.name, wanted.scope)
        if isinstance(record, KnownFailure):
            if self._clock() < record.until and self._known.is_valid(key, record):
                self._known.remember(key, record)
                raise recall_failure(record)
            return None
        return record


def _is_new(wanted: Wanted, record: KnownOrigin) -> bool:
    """Whether the origin's server was not asked yet for the version that is wanted."""
    return bool(wanted.version) and wanted.version not in record.versions
