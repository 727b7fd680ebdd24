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
from pellucid.source.asking import Asker, Known
from pellucid.source.bodies import Arrived, Bodies
from pellucid.source.known import KnownOrigins
from pellucid.source.limits import DAMAGED_MOST_S, DAMAGED_S, Freshness
from pellucid.source.loops import Trail, current_trail
from pellucid.source.memory import BodyMemory, Reservation
from pellucid.source.origin import Origin, Wanted, origin_of
from pellucid.source.records import KnownFailure, KnownOrigin, former_of, remember_failure
from pellucid.spec import OriginRef, Token

_log = structlog.get_logger(__name__)

_NO_PICTURE_S = 60.0
"""An answer that is no picture, such as a maintenance page sent with status 200, is believed no longer than this."""

_REFUSED = 2000
"""Failures under a trail that are remembered, of up to 4 kB each."""

STAND_IN_FOR = (OriginUnreachableError, OriginTimeoutError, LoopDetectedError)
"""Failures for which the bytes that are there stand in."""

Changed = Callable[[Token, OriginRef, str, Client], None]
"""Hears of an origin that holds other bytes than before, which ones, and on whose behalf it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What is asked of an origin's server, and up to where its process had heard of invalidations then."""

    wanted: Wanted
    heard: str

    @property
    def source(self) -> str:
        """What identifies its location."""
        return self.wanted.location.name


class Renewer:
    """Asks by `asker`, puts what comes into `bodies`, with room in `memory` until it is there, and what is learnt of it
    into `known`. `changed` hears of origins that hold other bytes than before.
    """

    def __init__(
        self,
        *,
        asker: Asker,
        known: KnownOrigins,
        bodies: Bodies,
        memory: BodyMemory,
        freshness: Freshness,
        changed: Changed | None,
        clock: Callable[[], float],
    ) -> None:
        self._asker = asker
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
        return failure if failure is not None and self._known.is_believed(key, failure) else None

    async def renew(self, wanted: Wanted, *, known: KnownOrigin | None, present: bool) -> Origin:
        """Ask the origin's server. If the bytes of `known` are `present`, they stand in when it cannot be reached; if
        nobody named `known`, either, and they are sound, the request is conditional: half a file comes with the
        validators of the whole one.

        Raises OriginError, ImageError or RenderError for an origin that cannot be had or used, which is remembered;
        BusyError, StoreError.
        """
        heard = self._known.position
        former_digest = known.digest if known is not None else None
        if known is not None and (not present or known.facts.damaged or self._known.is_named(wanted.key, known)):
            known = msgspec.structs.replace(known, validators=Validators())
        spare = known if present else None
        question = _Question(wanted=wanted, heard=heard)
        conditions = Known(known.validators, known.url) if known is not None else Known()
        hint = known.scheme if known is not None else None
        try:
            with self._memory.reserve(wanted.client) as room:
                scheme, answer = await self._asker.ask(
                    wanted.token, wanted.location, conditions, client=wanted.client, hint=hint, room=room
                )
                if isinstance(answer, NotModified):
                    if known is None:
                        raise OriginUnreachableError("the origin's answer makes no sense")
                    known = await self._looked_at(question, known)
                    return await self._save(question, self._confirmed(question, known, answer))
                arrived = await self._store(question, answer, known=known, room=room)
                del answer  # the memory is given back now, and the bytes with it
            facts = await self._examine(question, arrived, known=known)
            record = self._described(question, arrived, facts, known=known, scheme=scheme)
        except (*STAND_IN_FOR, BusyError) as error:
            if spare is not None:
                return await self._stand_in(question, spare, error)
            if not isinstance(error, BusyError):
                await self._save_failure(question, error, for_s=self._freshness.failure_s)
            raise
        except OriginError as error:
            await self._save_failure(question, error, for_s=self._freshness.not_found_s)
            raise
        except (ImageError, RenderError) as error:
            if spare is None:
                raise
            return await self._stand_in(question, spare, error)
        stored = arrived.body is None
        origin = await self._save(question, record) if stored else origin_of(record, wanted.key)
        # Of damaged bytes nobody is told: who has the former ones shows the better picture.
        if self._changed is not None and not facts.damaged and former_digest not in (None, record.digest):
            self._changed(wanted.token, wanted.ref, record.digest, wanted.client)
        return replace(origin, body=arrived.body, stored=stored)

    async def doubt(self, wanted: Wanted, digest: str) -> None:
        """The bytes `digest` turned out to be damaged: their record is believed for a short while, and their server is
        then asked without conditions.
        """
        try:
            record = await self._known.recall(wanted.key, wanted.location.name, wanted.scope)
        except StoreError as error:
            _log.error("origin record not read", key=wanted.key, error=str(error))
            return
        if isinstance(record, KnownOrigin) and record.digest == digest and not record.facts.damaged:
            facts = replace(record.facts, damaged=True)
            fresh_until = min(record.fresh_until, self._clock() + DAMAGED_S)
            doubted = msgspec.structs.replace(record, facts=facts, fresh_until=fresh_until, damaged_s=DAMAGED_S)
            await self._known.save(wanted.key, doubted)

    async def _stand_in(self, question: _Question, known: KnownOrigin, error: PellucidError) -> Origin:
        """`known` as it is, for a while: its server cannot be reached, or sends what is no picture."""
        _log.warning("stale origin served", origin=question.source, error=str(error))
        fresh_until = self._clock() + self._freshness.failure_s
        if current_trail():
            if not isinstance(error, BusyError):
                await self._save_failure(question, error, for_s=self._freshness.failure_s)
            return origin_of(known, question.wanted.key)
        record = msgspec.structs.replace(known, heard=question.heard, fresh_until=fresh_until)
        return await self._save(question, record)

    def _confirmed(self, question: _Question, known: KnownOrigin, answer: NotModified) -> KnownOrigin:
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
            heard=question.heard,
            fresh_for_s=fresh_for_s,
            fresh_until=self._clock() + _believed_s(fresh_for_s, damaged_s),
            damaged_s=damaged_s,
            sharing=known.sharing if answer.sharing is None else answer.sharing,
        )

    async def _store(
        self, question: _Question, answer: Fetched, *, known: KnownOrigin | None, room: Reservation
    ) -> Arrived:
        """Put what was fetched into the store. What begins like no picture is remembered as such and not stored."""
        try:
            return await self._bodies.store(answer, room=room, known_digest=None if known is None else known.digest)
        except ImageError as error:
            await self._save_unusable(question, error, fresh_s=answer.fresh_s)
            raise

    async def _examine(self, question: _Question, arrived: Arrived, *, known: KnownOrigin | None) -> ImageFacts:
        """Probe what arrived. Bytes that are no usable picture are remembered as such, and not kept."""
        if known is not None and known.digest == arrived.digest and known.facts.damaged is False:
            return known.facts
        try:
            return await self._bodies.examine(arrived, question.wanted.client)
        except (ImageError, RenderError) as error:
            await self._save_unusable(question, error, fresh_s=arrived.answer.fresh_s)
            raise

    async def _looked_at(self, question: _Question, known: KnownOrigin) -> KnownOrigin:
        """`known` as it is written down today: an older version did not look for damage. What cannot be looked at now
        is looked at next time.
        """
        if known.facts.damaged is not None:
            return known
        try:
            facts = await self._bodies.examine_stored(known.digest, question.wanted.client)
        except DamagedImageError:
            facts = replace(known.facts, damaged=True)
        except (ImageError, RenderError, BusyError, StoreError) as error:
            _log.warning("origin not looked at", origin=question.source, error=str(error))
            return known
        return msgspec.structs.replace(known, facts=facts)

    def _described(
        self, question: _Question, arrived: Arrived, facts: ImageFacts, *, known: KnownOrigin | None, scheme: str
    ) -> KnownOrigin:
        answer, digest = arrived.answer, arrived.digest
        damaged_s = _damaged_s(facts, digest, known)
        return KnownOrigin(
            source=question.source,
            scope=question.wanted.scope,
            scheme=scheme,
            digest=digest,
            facts=facts,
            size_bytes=arrived.size_bytes,
            url=answer.url,
            validators=answer.validators,
            heard=question.heard,
            fresh_for_s=answer.fresh_s,
            fresh_until=self._clock() + _believed_s(answer.fresh_s, damaged_s),
            damaged_s=damaged_s,
            former=former_of(known, digest),
            sharing=answer.sharing,
        )

    async def _save(self, question: _Question, record: KnownOrigin) -> Origin:
        await self._known.save(question.wanted.key, record)
        return origin_of(record, question.wanted.key)

    async def _save_unusable(self, question: _Question, error: ImageError | RenderError, *, fresh_s: float) -> None:
        """Remember that what came is no usable picture; its server says that it is fresh for `fresh_s`."""
        # RenderError: the picture took its renderer too long. Not again at once, but before long.
        unusable_s = min(fresh_s, _NO_PICTURE_S)
        for_s = unusable_s if isinstance(error, ImageError) else self._freshness.failure_s
        await self._save_failure(question, error, for_s=for_s)

    async def _save_failure(self, question: _Question, error: PellucidError, *, for_s: float) -> None:
        until = self._clock() + for_s
        failure = remember_failure(
            error, source=question.source, scope=question.wanted.scope, heard=question.heard, until=until
        )
        trail = current_trail()
        if trail:
            self._refused[question.wanted.key, trail] = failure
            return
        await self._known.save(question.wanted.key, failure)


def _damaged_s(facts: ImageFacts, digest: str, known: KnownOrigin | None) -> float:
    """How long these bytes are believed at most, 0 for sound ones."""
    if not facts.damaged:
        return 0.0
    again = known is not None and known.digest == digest and known.facts.damaged
    return min(2 * known.damaged_s, DAMAGED_MOST_S) if known is not None and again else DAMAGED_S


def _believed_s(fresh_s: float, damaged_s: float) -> float:
    return min(fresh_s, damaged_s) if damaged_s else fresh_s
