"""The origin cache: who asks here reaches the network only when nothing usable is known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import msgspec
import structlog
from cachetools import LRUCache, TTLCache

from pellucid import keys
from pellucid.errors import (
    BusyError,
    ImageError,
    OriginError,
    OriginRefusedError,
    OriginTimeoutError,
    OriginUnreachableError,
    PellucidError,
    RenderError,
    StoreError,
)
from pellucid.flight import SingleFlight
from pellucid.image.facts import ImageFacts
from pellucid.source.answers import Fetched, NotModified, Validators
from pellucid.source.fetch import ConnectTimeoutError, Fetcher, NoConnectionError
from pellucid.source.files import read_file
from pellucid.source.limits import Freshness
from pellucid.source.location import FileLocation, Location, WebLocation, check_aliases, resolve
from pellucid.source.records import (
    INVALIDATED,
    FormerBytes,
    KnownFailure,
    KnownOrigin,
    Record,
    decode_record,
    encode_record,
    former_of,
    recall_failure,
    remember_failure,
)
from pellucid.source.weburl import normalise_hosts
from pellucid.spec import OriginRef, Token
from pellucid.store.port import BlobStore

_log = structlog.get_logger(__name__)

Probe = Callable[[bytes], Awaitable[ImageFacts]]

_RECORDS_IN_MEMORY = 10_000
_SCHEMES_IN_MEMORY = 10_000
_SCHEME_BELIEF_S = 3600.0
# Bytes seen less than this ago are taken to be there still: eviction takes what was not used for longest.
_BYTES_BELIEF_S = 10.0
# A host without TLS that drops packets costs its first visitor this long.
_PROBE_TIMEOUT_S = 3.0
_STALE_PATIENCE_S = 0.5
# An answer that is no picture, such as a maintenance page sent with status 200, is believed no longer than this.
_NO_PICTURE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A source image that can be had. `digest` names its bytes; `url` is where redirects ended."""

    digest: str
    facts: ImageFacts
    size_bytes: int
    url: str
    record_key: str
    """Store key of what is known of it (`keys.origin_record_key`)."""
    fresh_until: float = field(default=0.0, compare=False)
    """Until when it is believed without asking its server, in seconds since the epoch."""
    former: tuple[FormerBytes, ...] = ()
    """What it held before, newest first; perhaps evicted (`Origins.former`)."""
    stored: bool = True
    """False when the store could not take the bytes: they are here, for this request, and nowhere else."""
    body: bytes | None = field(default=None, compare=False, repr=False)
    """The bytes, when they were fetched just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A record in memory. `bytes_seen_at` is when its bytes were last known to be in the store."""

    record: Record
    bytes_seen_at: float


class Origins:
    """The cache in front of the fetcher. `records` holds what is known about origins, `blobs` their bytes; both may
    be one store. `probe` reads the header of a picture and raises ImageError for what is none.
    """

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        records: BlobStore,
        blobs: BlobStore,
        probe: Probe,
        aliases: Mapping[str, str],
        allow_hosts: tuple[str, ...],
        freshness: Freshness,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_aliases(aliases)
        self._fetcher = fetcher
        self._records = records
        self._blobs = blobs
        self._probe = probe
        self._aliases = dict(aliases)
        self._allow_hosts = normalise_hosts(allow_hosts)
        self._freshness = freshness
        self._clock = clock
        self._memory: LRUCache[str, _Held] = LRUCache(_RECORDS_IN_MEMORY)
        # How often a record was invalidated: what was asked before the last time is not believed when it arrives.
        self._doubts: LRUCache[str, int] = LRUCache(_RECORDS_IN_MEMORY)
        self._worked: TTLCache[tuple[Token, str], str] = TTLCache(_SCHEMES_IN_MEMORY, _SCHEME_BELIEF_S, clock)
        self._flights: SingleFlight[str, Origin] = SingleFlight()
        self._refetches: SingleFlight[str, Origin] = SingleFlight()
        self._renewals: SingleFlight[str, Origin] = SingleFlight()

    async def get(self, token: Token, ref: OriginRef) -> Origin:
        """The origin, from memory, the store or its server. Simultaneous calls share one fetch.

        A stale origin is revalidated; when its server cannot be reached, it is answered as it is. Failures are
        remembered and raised again without asking.

        Raises OriginError, ImageError or RenderError for an origin that cannot be had or used, SpecError for what is no
        address, BusyError, StoreError.
        """
        location = resolve(ref, aliases=self._aliases, allow_hosts=self._allow_hosts)
        key = keys.origin_record_key(token, ref)
        held = self._memory.get(key)
        now = self._clock()
        if held is not None and held.record.source == location.name:
            match held.record:
                case KnownFailure(until=until) if now < until:
                    raise recall_failure(held.record)
                case KnownOrigin(fresh_until=until) if now < until and now < held.bytes_seen_at + _BYTES_BELIEF_S:
                    return _origin(held.record, key)
                case _:
                    pass
        flight = f"{key} {self._doubts.get(key, 0)}"
        return await self._flights.run(flight, partial(self._settle, token, key, location))

    async def read(self, origin: Origin) -> bytes | None:
        """The bytes of `origin`; None when they were evicted or damaged: then `refetch`. Raises StoreError."""
        if origin.body is not None:
            return origin.body
        key = keys.origin_bytes_key(origin.digest)
        data = await self._blobs.get(key)
        if data is not None and await asyncio.to_thread(keys.digest, data) != origin.digest:
            await self._blobs.delete(key)
            return None
        return data

    async def refetch(self, token: Token, ref: OriginRef) -> Origin:
        """The origin with bytes in the store for certain, fetched again if need be, whatever its freshness.

        Raises what `get` raises.
        """
        location = resolve(ref, aliases=self._aliases, allow_hosts=self._allow_hosts)
        key = keys.origin_record_key(token, ref)
        return await self._refetches.run(key, partial(self._restore, token, key, location))

    async def former(self, origin: Origin, former: FormerBytes) -> Origin | None:
        """The origin as it was, None when those bytes are gone. Raises StoreError."""
        if not await self._blobs.exists(keys.origin_bytes_key(former.digest)):
            return None
        return replace(
            origin, digest=former.digest, facts=former.facts, size_bytes=former.size_bytes, former=(), body=None
        )

    async def invalidate(self, token: Token, ref: OriginRef) -> str:
        """The next `get` asks the origin's server, unconditionally, and waits for the answer; what is there stands in
        only when the server cannot be reached. Returns the record's key, for `forget` in other processes. Raises
        StoreError.
        """
        key = keys.origin_record_key(token, ref)
        self.forget(key)
        data = await self._records.get(key)
        match decode_record(data) if data is not None else None:
            case KnownOrigin() as known:
                known = msgspec.structs.replace(known, fresh_until=INVALIDATED, validators=Validators())
                await self._records.put(key, encode_record(known))
            case KnownFailure():
                await self._records.delete(key)
            case None:
                pass
        return key

    def forget(self, key: str | None) -> None:
        """Drop what this process remembers under the record key, None: all of it; the store's record holds."""
        if key is None:
            for known in list(self._memory):
                self.forget(known)
        else:
            self._memory.pop(key, None)
            self._doubts[key] = self._doubts.get(key, 0) + 1

    async def _settle(self, token: Token, key: str, location: Location) -> Origin:
        record = await self._recall(key, location)
        now = self._clock()
        if isinstance(record, KnownFailure):
            if now < record.until:
                self._hold(key, record)
                raise recall_failure(record)
            record = None
        present = record is not None and await self._has_bytes(record)
        if record is not None and present and now < record.fresh_until:
            self._hold(key, record)
            return _origin(record, key)
        renew = partial(self._renew, token, key, location, known=record, revalidate=present)
        if record is None or not present or record.fresh_until == INVALIDATED:
            return await renew()
        # A slow origin does not slow what is there: past a short patience the stale one is answered, while the
        # question goes on and settles the next answer.
        patience_s = 0 if self._renewals.is_flying(key) else _STALE_PATIENCE_S
        renewal = self._renewals.start(key, renew)
        done, _ = await asyncio.wait({renewal}, timeout=patience_s)
        return renewal.result() if done else _origin(record, key)

    async def _restore(self, token: Token, key: str, location: Location) -> Origin:
        record = await self._recall(key, location)
        if isinstance(record, KnownFailure):
            if self._clock() < record.until:
                raise recall_failure(record)
            record = None
        if record is not None and await self._has_bytes(record):
            self._hold(key, record)
            return _origin(record, key)
        return await self._renew(token, key, location, known=record, revalidate=False)

    async def _recall(self, key: str, location: Location) -> Record | None:
        held = self._memory.get(key)
        if held is not None:
            record = held.record
        else:
            data = await self._records.get(key)
            record = decode_record(data) if data is not None else None
        return record if record is not None and record.source == location.name else None

    async def _has_bytes(self, record: KnownOrigin) -> bool:
        return await self._blobs.exists(keys.origin_bytes_key(record.digest))

    async def _renew(
        self, token: Token, key: str, location: Location, *, known: KnownOrigin | None, revalidate: bool
    ) -> Origin:
        """Ask the origin's server. With `revalidate`, the bytes of `known` are there: the request is conditional, and
        they stand in when the server cannot be reached.
        """
        validators = known.validators if known is not None and revalidate else Validators()
        doubts = self._doubts.get(key, 0)
        try:
            scheme, answer = await self._ask(token, location, validators, hint=known.scheme if known else None)
        except (OriginUnreachableError, OriginTimeoutError, BusyError) as error:
            if known is not None and revalidate:
                _log.warning("stale origin served", origin=location.name, error=str(error))
                record = msgspec.structs.replace(known, fresh_until=self._clock() + self._freshness.failure_s)
                return _origin(await self._save(key, record, doubts), key)
            if not isinstance(error, BusyError):
                await self._save_failure(key, location, error, for_s=self._freshness.failure_s)
            raise
        except OriginError as error:
            await self._save_failure(key, location, error, for_s=self._freshness.not_found_s)
            raise
        if isinstance(answer, NotModified):
            if known is None:
                raise OriginUnreachableError("the origin's answer makes no sense")
            record = self._confirmed(known, answer)
        else:
            try:
                record = await self._take(key, location, answer, known=known, scheme=scheme)
            except ImageError as error:
                if known is None or not revalidate:
                    raise
                _log.warning("origin is no picture any more, stale one served", origin=location.name, error=str(error))
                record = msgspec.structs.replace(known, fresh_until=self._clock() + self._freshness.failure_s)
                return _origin(await self._save(key, record, doubts), key)
            if not await self._store_bytes(record.digest, answer.body):
                return replace(_origin(record, key), body=answer.body, stored=False)
            return replace(_origin(await self._save(key, record, doubts), key), body=answer.body)
        return _origin(await self._save(key, record, doubts), key)

    def _confirmed(self, known: KnownOrigin, answer: NotModified) -> KnownOrigin:
        now = self._clock()
        fresh_for_s = known.fresh_for_s if answer.fresh_s is None else answer.fresh_s
        validators = replace(
            known.validators,
            etag=answer.validators.etag or known.validators.etag,
            last_modified=answer.validators.last_modified or known.validators.last_modified,
        )
        return msgspec.structs.replace(
            known, validators=validators, fetched_at=now, fresh_for_s=fresh_for_s, fresh_until=now + fresh_for_s
        )

    async def _take(
        self, key: str, location: Location, answer: Fetched, *, known: KnownOrigin | None, scheme: str
    ) -> KnownOrigin:
        """Probe and store what was fetched. Bytes that are no usable picture are remembered, not stored."""
        digest = await asyncio.to_thread(keys.digest, answer.body)
        if known is not None and known.digest == digest:
            facts = known.facts
        else:
            try:
                facts = await self._probe(answer.body)
            except ImageError as error:
                await self._save_failure(key, location, error, for_s=min(answer.fresh_s, _NO_PICTURE_S))
                raise
            except RenderError as error:
                # The picture killed its renderers or their patience: not again at once.
                await self._save_failure(key, location, error, for_s=self._freshness.failure_s)
                raise
        now = self._clock()
        return KnownOrigin(
            source=location.name,
            scheme=scheme,
            digest=digest,
            facts=facts,
            size_bytes=len(answer.body),
            url=answer.url,
            validators=answer.validators,
            fetched_at=now,
            fresh_for_s=answer.fresh_s,
            fresh_until=now + answer.fresh_s,
            former=former_of(known, digest),
        )

    async def _store_bytes(self, digest: str, body: bytes) -> bool:
        """Whether the bytes are in the store now. A full disk stops no answer: they are in memory for this one."""
        key = keys.origin_bytes_key(digest)
        try:
            if not await self._blobs.exists(key):
                await self._blobs.put(key, body)
        except StoreError as error:
            _log.error("origin not stored", origin=digest, error=str(error))
            return False
        return True

    async def _ask(
        self, token: Token, location: Location, validators: Validators, *, hint: str | None
    ) -> tuple[str, Fetched | NotModified]:
        """The answer, and the scheme that brought it."""
        if isinstance(location, FileLocation):
            limit, fresh_s = self._fetcher.limits.max_bytes, self._freshness.min_s
            read = partial(read_file, location, validators=validators, max_bytes=limit, fresh_s=fresh_s)
            return "file", await asyncio.to_thread(read)
        first, *others = self._schemes(token, location, hint)
        if not others:
            return first, await self._ask_web(token, location, first, validators)
        try:
            return first, await self._ask_web(token, location, first, validators, connect_timeout_s=_PROBE_TIMEOUT_S)
        except (NoConnectionError, ConnectTimeoutError) as error:
            try:
                return others[0], await self._ask_web(token, location, others[0], validators)
            except (NoConnectionError, ConnectTimeoutError):
                raise error from None

    async def _ask_web(
        self,
        token: Token,
        location: WebLocation,
        scheme: str,
        validators: Validators,
        *,
        connect_timeout_s: float | None = None,
    ) -> Fetched | NotModified:
        try:
            answer = await self._fetcher.fetch(
                location.url(scheme), validators=validators, connect_timeout_s=connect_timeout_s
            )
        except (NoConnectionError, OriginTimeoutError, OriginRefusedError):
            raise
        except OriginError:
            # A status that is no success is an answer: the scheme works.
            self._worked[token, location.host] = scheme
            raise
        self._worked[token, location.host] = scheme
        return answer

    def _schemes(self, token: Token, location: WebLocation, hint: str | None) -> tuple[str, ...]:
        """Those to try, in order. A host that is known to speak https is not asked in clear when it stumbles."""
        if len(location.schemes) == 1:
            return location.schemes
        worked = self._worked.get((token, location.host))
        if worked == "https":
            return ("https",)
        return ("http", "https") if (worked or hint) == "http" else ("https", "http")

    def _hold(self, key: str, record: Record) -> None:
        self._memory[key] = _Held(record=record, bytes_seen_at=self._clock())

    async def _save(self, key: str, record: KnownOrigin, doubts: int) -> KnownOrigin:
        """Remember `record`, which was asked for when the key had been invalidated `doubts` times; returns it as it is
        believed. A store that fails here costs a question to the origin after the next start, no more.
        """
        if self._doubts.get(key, 0) != doubts:
            record = msgspec.structs.replace(record, fresh_until=INVALIDATED, validators=Validators())
        await self._put(key, record)
        return record

    async def _put(self, key: str, record: Record) -> None:
        self._hold(key, record)
        try:
            await self._records.put(key, encode_record(record))
        except StoreError as error:
            _log.error("origin record not stored", key=key, error=str(error))

    async def _save_failure(self, key: str, location: Location, error: PellucidError, *, for_s: float) -> None:
        await self._put(key, remember_failure(error, source=location.name, until=self._clock() + for_s))


def _origin(record: KnownOrigin, key: str) -> Origin:
    return Origin(
        digest=record.digest,
        facts=record.facts,
        size_bytes=record.size_bytes,
        url=record.url,
        record_key=key,
        fresh_until=record.fresh_until,
        former=record.former,
    )
