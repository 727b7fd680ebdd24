"""The origin cache: who asks here reaches the network only when nothing usable is known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import msgspec
import structlog
from cachetools import TLRUCache

from pellucid import keys
from pellucid.clients import SERVER, Client
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
from pellucid.flight import SingleFlight
from pellucid.image.facts import ImageFacts
from pellucid.source.answers import Fetched, NotModified, Sharing, Validators
from pellucid.source.asking import Asker, Known
from pellucid.source.bodies import Arrived, Bodies
from pellucid.source.fetch import Fetcher
from pellucid.source.headers import OriginHeaders
from pellucid.source.heard import Heard
from pellucid.source.known import KnownOrigins
from pellucid.source.limits import Freshness
from pellucid.source.location import Location, check_aliases, resolve
from pellucid.source.loops import Trail, current_trail
from pellucid.source.memory import BodyMemory, HeldBody, Reservation
from pellucid.source.records import (
    FormerBytes,
    KnownFailure,
    KnownOrigin,
    former_of,
    recall_failure,
    remember_failure,
)
from pellucid.source.weburl import normalise_hosts
from pellucid.spec import OriginRef, Token
from pellucid.store.port import BlobStore

_log = structlog.get_logger(__name__)

_STALE_PATIENCE_S = 0.5
# An answer that is no picture, such as a maintenance page sent with status 200, is believed no longer than this.
_NO_PICTURE_S = 60.0

_DAMAGED_S = 60.0
"""Damaged bytes are believed no longer than this: half a download is whole the next time."""

_REFUSED = 2000
"""Failures under a trail that are remembered, of up to 4 kB each."""

_STAND_IN_FOR = (OriginUnreachableError, OriginTimeoutError, LoopDetectedError)
"""Failures for which the bytes that are there stand in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A source image that can be had. `digest` names its bytes; `url` is where redirects ended."""

    digest: str
    facts: ImageFacts
    size_bytes: int
    url: str
    source: str
    """Where it was looked for: the address that its URL or its alias stands for, or a file's URL."""
    record_key: str
    """Store key of what is known of it (`keys.origin_record_key`)."""
    fresh_until: float = field(default=0.0, compare=False)
    """Until when it is believed without asking its server, in seconds since the epoch."""
    former: tuple[FormerBytes, ...] = ()
    """What it held before, newest first; perhaps evicted (`Origins.former`)."""
    sharing: Sharing = Sharing.PUBLIC
    """Who may keep the picture, as its server says."""
    stored: bool = True
    """False when the store could not take the bytes: they are here, for this request, and nowhere else."""
    body: HeldBody | None = field(default=None, compare=False, repr=False)
    """The bytes then; None for those that are in the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """An origin that somebody wants: what it is called, where it lies, and on whose behalf it is asked for."""

    token: Token
    ref: OriginRef
    key: str
    """Store key of its record."""
    location: Location
    scope: str
    """The credential scope (`source.headers`) that it is asked for in."""
    client: Client


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What is asked of an origin's server, and up to where its process had heard of invalidations then."""

    wanted: _Wanted
    heard: str

    @property
    def source(self) -> str:
        """What identifies its location."""
        return self.wanted.location.name


class Origins:
    """The cache in front of the fetcher. `records` holds what is known about origins, `bodies` their bytes; both may
    lie in one store. Bytes are in `memory` until they are stored. `heard` says what is no longer believed: the next
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
        aliases: Mapping[str, str],
        allow_hosts: tuple[str, ...],
        freshness: Freshness,
        headers: OriginHeaders | None = None,
        heard: Heard | None = None,
        changed: Callable[[Token, OriginRef, str, Client], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_aliases(aliases)
        self._known = KnownOrigins(records, heard=heard or Heard(), clock=clock)
        self._asker = Asker(fetcher, freshness=freshness, clock=clock, headers=headers or OriginHeaders())
        self._bodies = bodies
        self._memory = memory
        self._aliases = dict(aliases)
        self._allow_hosts = normalise_hosts(allow_hosts)
        self._freshness = freshness
        self._changed = changed
        self._clock = clock
        # Failures of requests that came through other servers, which are named in what the origin is asked: anybody
        # may claim to, and an origin that refuses such a request may serve all others.
        self._refused: TLRUCache[tuple[str, Trail], KnownFailure] = TLRUCache(
            _REFUSED, lambda _key, failure, _now: failure.until, clock
        )
        self._flights: SingleFlight[str, Origin] = SingleFlight()
        self._refetches: SingleFlight[str, Origin] = SingleFlight()
        self._renewals: SingleFlight[str, Origin] = SingleFlight()

    async def get(self, token: Token, ref: OriginRef, *, client: Client = SERVER) -> Origin:
        """The origin, from memory, the store or its server, which is asked on behalf of `client`. Simultaneous calls
        share one fetch.

        A stale origin is revalidated; when its server cannot be reached, it is answered as it is. Failures are
        remembered and raised again without asking.

        Raises OriginError, ImageError or RenderError for an origin that cannot be had or used, SpecError for what is no
        address, BusyError, StoreError.
        """
        return self._doubted(await self._get(self._wanted(token, ref, client)))

    async def _get(self, wanted: _Wanted) -> Origin:
        key = wanted.key
        match self._known.at_hand(key, wanted.location.name, wanted.scope):
            case KnownOrigin() as record:
                return _origin(record, key)
            case KnownFailure() as failure:
                raise recall_failure(failure)
            case None:
                return await self._flights.run(self._flight(key), partial(self._settle, wanted))

    async def read(self, origin: Origin) -> bytes | None:
        """The bytes of `origin`; None when they were evicted or damaged: then `refetch`. Raises StoreError."""
        if origin.body is not None:
            return bytes(origin.body.data)
        return await self._bodies.read(origin.digest)

    async def refetch(self, token: Token, ref: OriginRef, *, client: Client = SERVER) -> Origin:
        """The origin with bytes in the store for certain, fetched again if need be, whatever its freshness.

        Raises what `get` raises.
        """
        wanted = self._wanted(token, ref, client)
        return self._doubted(await self._refetches.run(self._flight(wanted.key), partial(self._restore, wanted)))

    async def former(self, origin: Origin, former: FormerBytes) -> Origin | None:
        """The origin as it was, None when those bytes are gone. Raises StoreError."""
        if not await self._bodies.exists(former.digest):
            return None
        return self._doubted(
            replace(
                origin, digest=former.digest, facts=former.facts, size_bytes=former.size_bytes, former=(), body=None
            )
        )

    async def doubt(self, token: Token, ref: OriginRef, origin: Origin) -> None:
        """The bytes of `origin` turned out to be damaged when they were decoded: its server is asked for them again
        before long, and nothing is made of them meanwhile that lasts. If the same come, they are tried anew.
        """
        self._bodies.doubt(origin.digest)
        wanted = self._wanted(token, ref, SERVER)
        key = wanted.key
        try:
            record = await self._known.recall(key, wanted.location.name, wanted.scope)
        except StoreError as error:
            _log.error("origin record not read", key=key, error=str(error))
            return
        if isinstance(record, KnownOrigin) and record.digest == origin.digest and not record.facts.damaged:
            facts = replace(record.facts, damaged=True)
            fresh_until = min(record.fresh_until, self._clock() + _DAMAGED_S)
            await self._known.save(key, msgspec.structs.replace(record, facts=facts, fresh_until=fresh_until))

    def _doubted(self, origin: Origin) -> Origin:
        """`origin` with what was learnt of its bytes since its record was written."""
        if not self._bodies.is_doubted(origin.digest):
            return origin
        return replace(origin, facts=replace(origin.facts, damaged=True))

    def _wanted(self, token: Token, ref: OriginRef, client: Client) -> _Wanted:
        location = resolve(ref, aliases=self._aliases, allow_hosts=self._allow_hosts)
        key = keys.origin_record_key(token, ref)
        scope = self._asker.scope(token, location)
        return _Wanted(token=token, ref=ref, key=key, location=location, scope=scope, client=client)

    def _flight(self, key: str) -> str:
        """Who shares a question: nobody who comes after an invalidation shares one that was put before it, and who came
        through other servers shares it with those that came the same way.
        """
        trail = current_trail()
        return f"{key} {self._known.moment_of(key)}\n{trail.cdn_loop}\n{trail.via}"

    async def _settle(self, wanted: _Wanted) -> Origin:
        key = wanted.key
        record = await self._usable(wanted)
        believed = record is not None and self._known.is_believed(key, record)
        present = record is not None and await self._bodies.exists(record.digest)
        if record is not None and present and believed and self._clock() < record.fresh_until:
            self._known.hold(key, record)
            return _origin(record, key)
        failure = self._refused.get((key, current_trail()))
        if failure is not None and self._known.is_believed(key, failure):
            error = recall_failure(failure)
            if record is not None and present and isinstance(error, _STAND_IN_FOR):
                return _origin(record, key)
            raise error
        renew = partial(self._renew, wanted, known=record, present=present)
        if record is None or not present or not believed:
            return await renew()
        # A slow origin does not slow what is there: past a short patience the stale one is answered, while the
        # question goes on and settles the next answer.
        flight = self._flight(key)
        patience_s = 0 if self._renewals.is_flying(flight) else _STALE_PATIENCE_S
        renewal = self._renewals.start(flight, renew)
        done, _ = await asyncio.wait({renewal}, timeout=patience_s)
        return renewal.result() if done else _origin(record, key)

    async def _restore(self, wanted: _Wanted) -> Origin:
        record = await self._usable(wanted)
        if record is not None and await self._bodies.exists(record.digest):
            self._known.hold(wanted.key, record)
            return _origin(record, wanted.key)
        return await self._renew(wanted, known=record, present=False)

    async def _usable(self, wanted: _Wanted) -> KnownOrigin | None:
        """What is known, if it is no failure; one that holds still is raised again."""
        key = wanted.key
        record = await self._known.recall(key, wanted.location.name, wanted.scope)
        if isinstance(record, KnownFailure):
            if self._clock() < record.until and self._known.is_believed(key, record):
                self._known.hold(key, record)
                raise recall_failure(record)
            return None
        return record

    async def _renew(self, wanted: _Wanted, *, known: KnownOrigin | None, present: bool) -> Origin:
        """Ask the origin's server. If the bytes of `known` are `present`, they stand in when it cannot be reached; if
        nobody named `known`, either, and they are sound, the request is conditional: half a file comes with the
        validators of the whole one.
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
        except (*_STAND_IN_FOR, BusyError) as error:
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
        origin = await self._save(question, record) if stored else _origin(record, wanted.key)
        # Of damaged bytes nobody is told: who has the former ones shows the better picture.
        if self._changed is not None and not facts.damaged and former_digest not in (None, record.digest):
            self._changed(wanted.token, wanted.ref, record.digest, wanted.client)
        return replace(origin, body=arrived.body, stored=stored)

    async def _stand_in(self, question: _Question, known: KnownOrigin, error: PellucidError) -> Origin:
        """`known` as it is, for a while: its server cannot be reached, or sends what is no picture."""
        _log.warning("stale origin served", origin=question.source, error=str(error))
        fresh_until = self._clock() + self._freshness.failure_s
        if current_trail():
            if not isinstance(error, BusyError):
                await self._save_failure(question, error, for_s=self._freshness.failure_s)
            return _origin(known, question.wanted.key)
        record = msgspec.structs.replace(known, heard=question.heard, fresh_until=fresh_until)
        return await self._save(question, record)

    def _confirmed(self, question: _Question, known: KnownOrigin, answer: NotModified) -> KnownOrigin:
        fresh_for_s = known.fresh_for_s if answer.fresh_s is None else answer.fresh_s
        validators = replace(
            known.validators,
            etag=answer.validators.etag or known.validators.etag,
            last_modified=answer.validators.last_modified or known.validators.last_modified,
        )
        return msgspec.structs.replace(
            known,
            validators=validators,
            heard=question.heard,
            fresh_for_s=fresh_for_s,
            fresh_until=self._clock() + _believed_s(known.facts, fresh_for_s),
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
            fresh_until=self._clock() + _believed_s(facts, answer.fresh_s),
            former=former_of(known, digest),
            sharing=answer.sharing,
        )

    async def _save(self, question: _Question, record: KnownOrigin) -> Origin:
        await self._known.save(question.wanted.key, record)
        return _origin(record, question.wanted.key)

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


def _believed_s(facts: ImageFacts, fresh_s: float) -> float:
    return min(fresh_s, _DAMAGED_S) if facts.damaged else fresh_s


def _origin(record: KnownOrigin, key: str) -> Origin:
    return Origin(
        digest=record.digest,
        facts=record.facts,
        size_bytes=record.size_bytes,
        url=record.url,
        source=record.source,
        record_key=key,
        fresh_until=record.fresh_until,
        former=record.former,
        sharing=record.sharing,
    )
