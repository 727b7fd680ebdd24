"""Asking the servers of origins anew, and writing down what came of it: a picture, the same as before, or a failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
import structlog
from cachetools import TLRUCache

from pellucid.concurrency.clients import Client
from pellucid.errors import (
    BusyError,
    DamagedImageError,
    ImageError,
    LoopDetectedError,
    OriginError,
    OriginTimeoutError,
    OriginUnreachableError,
    PellucidError,
    RenderError,
    StoreError,
)
from pellucid.image.facts import ImageFacts
from pellucid.source.answers import Fetched, NotModified, Validators
from pellucid.source.bodies import Arrived, Bodies
from pellucid.source.client import Conditions, OriginClient
from pellucid.source.known import KnownOrigins
from pellucid.source.limits import DAMAGED_MOST_S, DAMAGED_S, Freshness
from pellucid.source.loops import Trail, current_trail
from pellucid.source.memory import BodyMemory, Reservation
from pellucid.source.origin import Origin, Wanted, origin_of
from pellucid.source.records import KnownFailure, KnownOrigin, former_of, remember_failure, with_version
from pellucid.spec import OriginRef, Token

_log = structlog.get_logger(__name__)

_NO_PICTURE_S = 60.0
"""An answer that is no picture, such as a maintenance page sent with status 200, is believed no longer than this."""

_REFUSED = 2000
"""Failures under a trail that are remembered, of up to 4 kB each."""

STALE_IF_ERROR = (OriginUnreachableError, OriginTimeoutError, LoopDetectedError)
"""Failures for which the bytes that are there stand in."""

Changed = Callable[[Token, OriginRef, str, Client], None]
"""Hears of an origin that holds other bytes than before, which ones, and on whose behalf it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetch:
    """What is asked of an origin's server, and up to where its process had heard of invalidations then."""

    wanted: Wanted
    position: str

    @property
    def source(self) -> str:
        """What identifies its location."""
        return self.wanted.location.name


class Renewer:
    """Fetches through `origin_client`, keeps bodies in `bodies` (with room in `memory` until they are stored), records
    in `known`. `changed` is called for origins whose bytes differ from before.
    """

    def __init__(
        self,
        *,
        origin_client: OriginClient,
        known: KnownOrigins,
        bodies: Bodies,
        memory: BodyMemory,
        freshness: Freshness,
        changed: Changed | None,
        clock: Callable[[], float],
    ) -> None:
        self._client = origin_client
        self._known = known
        self._bodies = bodies
        self._memory = memory
        self._freshness = freshness
        self._changed = changed
        self._clock = clock
        # Failures of requests that came through other servers, which are named in what the origin is asked: anybody
        # may claim to, and an origin that refuses such a request may serve all others.
        self._refused: TLRUCache[tuple[str, Trail], KnownFailure] = TLRUCache(
            _REFUSED, lambda _key, failure, _now: failure.until, clock
        )

    def refused(self, key: str) -> KnownFailure | None:
        """The failure, if it holds still, of a request for the origin of `key` that came the way of this one."""
        failure = self._refused.get((key, current_trail()))
        return failure if failure is not None and self._known.is_valid(key, failure) else None

    async def renew(self, wanted: Wanted, *, known: KnownOrigin | None, present: bool) -> Origin:
        """Ask the origin's server. If the bytes of `known` are `present`, they stand in when it cannot be reached; if
        nobody named `known`, either, and they are sound, the request is conditional: half a file comes with the
        validators of the whole one.

        Raises OriginError, ImageError or RenderError for an origin that cannot be had or used, which is remembered;
        BusyError, StoreError.
        """
        position = self._known.position
        former_digest = known.digest if known is not None else None
        if known is not None and (not present or known.facts.damaged or self._known.is_invalidated(wanted.key, known)):
            known = msgspec.structs.replace(known, validators=Validators())
        stale_copy = known if present else None
        fetch = _Fetch(wanted=wanted, position=position)
        conditions = Conditions(known.validators, known.url) if known is not None else Conditions()
        hint = known.scheme if known is not None else None
        try:
            with self._memory.reserve(wanted.client) as room:
                scheme, answer = await self._client.ask(
                    wanted.customer, wanted.location, conditions, client=wanted.client, hint=hint, room=room
                )
                if isinstance(answer, NotModified):
                    if known is None:
                        raise OriginUnreachableError("the origin's answer makes no sense")
                    known = await self._looked_at(fetch, known)
                    return await self._save(fetch, self._confirmed(fetch, known, answer))
                arrived = await self._store(fetch, answer, known=known, room=room)
                del answer  # the memory is given back now, and the bytes with it
            facts = await self._examine(fetch, arrived, known=known)
            record = self._described(fetch, arrived, facts, known=known, scheme=scheme)
        except (*STALE_IF_ERROR, BusyError) as error:
            if stale_copy is not None:
                return await self._serve_stale(fetch, stale_copy, error)
            if not isinstance(error, BusyError):
                await self._save_failure(fetch, error, for_s=self._freshness.failure_s)
            raise
        except OriginError as error:
            await self._save_failure(fetch, error, for_s=self._freshness.not_found_s)
            raise
        except (ImageError, RenderError) as error:
            if stale_copy is None:
                raise
            return await self._serve_stale(fetch, stale_copy, error)
        stored = arrived.body is None
        origin = await self._save(fetch, record) if stored else origin_of(record, wanted.key)
        # Of damaged bytes nobody is told: who has the former ones shows the better picture.
        if self._changed is not None and not facts.damaged and former_digest not in (None, record.digest):
            self._changed(wanted.customer.token, wanted.ref, record.digest, wanted.client)
        return replace(origin, body=arrived.body, stored=stored)

    async def mark_damaged(self, wanted: Wanted, digest: str) -> None:
        """The bytes `digest` turned out to be damaged: their record is believed for a short while, and their server is
        then asked without conditions.
        """
        try:
            record = await self._known.load(wanted.key, wanted.location.name, wanted.scope)
        except StoreError as error:
            _log.error("origin record not read", key=wanted.key, error=str(error))
            return
        if isinstance(record, KnownOrigin) and record.digest == digest and not record.facts.damaged:
            facts = replace(record.facts, damaged=True)
            fresh_until = min(record.fresh_until, self._clock() + DAMAGED_S)
            doubted = msgspec.structs.replace(record, facts=facts, fresh_until=fresh_until, damaged_s=DAMAGED_S)
            await self._known.save(wanted.key, doubted)

    async def _serve_stale(self, fetch: _Fetch, known: KnownOrigin, error: PellucidError) -> Origin:
        """`known` as it is, for a while: its server cannot be reached, or sends what is no picture."""
        _log.warning("stale origin served", origin=fetch.source, error=str(error))
        fresh_until = self._clock() + self._freshness.failure_s
        if current_trail():
            if not isinstance(error, BusyError):
                await self._save_failure(fetch, error, for_s=self._freshness.failure_s)
            return origin_of(known, fetch.wanted.key)
        record = msgspec.structs.replace(known, position=fetch.position, fresh_until=fresh_until)
        return await self._save(fetch, record)

    def _confirmed(self, fetch: _Fetch, known: KnownOrigin, answer: NotModified) -> KnownOrigin:
        fresh_for_s = known.fresh_for_s if answer.fresh_s is None else answer.fresh_s
        validators = replace(
            known.validators,
            etag=answer.validators.etag or known.validators.etag,
            last_modified=answer.validators.last_modified or known.validators.last_modified,
        )
        damaged_s = DAMAGED_S if known.facts.damaged else 0.0
        return msgspec.structs.replace(
            known,
            validators=validators,
            position=fetch.position,
            fresh_for_s=fresh_for_s,
            fresh_until=self._clock() + _ttl_s(fresh_for_s, damaged_s),
            damaged_s=damaged_s,
            sharing=known.sharing if answer.sharing is None else answer.sharing,
            versions=with_version(known, fetch.wanted.version),
        )

    async def _store(self, fetch: _Fetch, answer: Fetched, *, known: KnownOrigin | None, room: Reservation) -> Arrived:
        """Put what was fetched into the store. What begins like no picture is remembered as such and not stored."""
        try:
            return await self._bodies.store(answer, room=room, known_digest=None if known is None else known.digest)
        except ImageError as error:
            await self._save_unusable(fetch, error, fresh_s=answer.fresh_s)
            raise

    async def _examine(self, fetch: _Fetch, arrived: Arrived, *, known: KnownOrigin | None) -> ImageFacts:
        """Probe what arrived. Bytes that are no usable picture are remembered as such, and not kept."""
        if known is not None and known.digest == arrived.digest and known.facts.damaged is False:
            return known.facts
        try:
            return await self._bodies.examine(arrived, fetch.wanted.client)
        except (ImageError, RenderError) as error:
            await self._save_unusable(fetch, error, fresh_s=arrived.answer.fresh_s)
            raise

    async def _looked_at(self, fetch: _Fetch, known: KnownOrigin) -> KnownOrigin:
        """`known` as it is written down today: an older version did not look for damage. What cannot be looked at now
        is looked at next time.
        """
        if known.facts.damaged is not None:
            return known
        try:
            facts = await self._bodies.examine_stored(known.digest, fetch.wanted.client)
        except DamagedImageError:
            facts = replace(known.facts, damaged=True)
        except (ImageError, RenderError, BusyError, StoreError) as error:
            _log.warning("origin not looked at", origin=fetch.source, error=str(error))
            return known
        return msgspec.structs.replace(known, facts=facts)

    def _described(
        self, fetch: _Fetch, arrived: Arrived, facts: ImageFacts, *, known: KnownOrigin | None, scheme: str
    ) -> KnownOrigin:
        answer, digest = arrived.answer, arrived.digest
        damaged_s = _damaged_s(facts, digest, known)
        return KnownOrigin(
            source=fetch.source,
            scope=fetch.wanted.scope,
            scheme=scheme,
            digest=digest,
            facts=facts,
            size_bytes=arrived.size_bytes,
            url=answer.url,
            validators=answer.validators,
            position=fetch.position,
            fresh_for_s=answer.fresh_s,
            fresh_until=self._clock() + _ttl_s(answer.fresh_s, damaged_s),
            damaged_s=damaged_s,
            former=former_of(known, digest),
            sharing=answer.sharing,
            versions=with_version(known, fetch.wanted.version),
        )

    async def _save(self, fetch: _Fetch, record: KnownOrigin) -> Origin:
        await self._known.save(fetch.wanted.key, record)
        return origin_of(record, fetch.wanted.key)

    async def _save_unusable(self, fetch: _Fetch, error: ImageError | RenderError, *, fresh_s: float) -> None:
        """Remember that what came is no usable picture; its server says that it is fresh for `fresh_s`."""
        # RenderError: the picture took its renderer too long. Not again at once, but before long.
        unusable_s = min(fresh_s, _NO_PICTURE_S)
        for_s = unusable_s if isinstance(error, ImageError) else self._freshness.failure_s
        await self._save_failure(fetch, error, for_s=for_s)

    async def _save_failure(self, fetch: _Fetch, error: PellucidError, *, for_s: float) -> None:
        until = self._clock() + for_s
        failure = remember_failure(
            error, source=fetch.source, scope=fetch.wanted.scope, position=fetch.position, until=until
        )
        trail = current_trail()
        if trail:
            self._refused[fetch.wanted.key, trail] = failure
            return
        await self._known.save(fetch.wanted.key, failure)


def _damaged_s(facts: ImageFacts, digest: str, known: KnownOrigin | None) -> float:
    """How long these bytes are believed at most, 0 for sound ones."""
    if not facts.damaged:
        return 0.0
    again = known is not None and known.digest == digest and known.facts.damaged
    return min(2 * known.damaged_s, DAMAGED_MOST_S) if known is not None and again else DAMAGED_S


def _ttl_s(fresh_s: float, damaged_s: float) -> float:
    return min(fresh_s, damaged_s) if damaged_s else fresh_s
