"""What is known of origins: in memory, in the store, and until when it may be believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from cachetools import LRUCache

from pellucid.errors import StoreError
from pellucid.invalidation.validity import Validity
from pellucid.source.records import KnownOrigin, Record, decode_record, encode_record
from pellucid.store.port import BlobStore

_log = structlog.get_logger(__name__)

_RECORDS_IN_MEMORY = 10_000
# Bytes seen less than this ago are taken to be there still: eviction takes what was not used for longest.
_BYTES_TTL_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A record in memory. `bytes_seen_at` is when its bytes were last known to be in the store."""

    record: Record
    bytes_seen_at: float


class KnownOrigins:
    """The records of origins, by `keys.origin_record_key`.

    A record is believed only if nobody said since its question was put that the picture may have changed, as far as
    this process `heard`: an answer that was under way then may be of before, whoever wrote it down and when.
    """

    def __init__(self, records: BlobStore, *, validity: Validity, clock: Callable[[], float]) -> None:
        self._records = records
        self._validity = validity
        self._clock = clock
        self._memory: LRUCache[str, _Held] = LRUCache(_RECORDS_IN_MEMORY)

    def get_fresh(self, key: str, source: str, scope: str = "") -> Record | None:
        """The record in memory, if it is of `source` and `scope`, fresh, believed, and its bytes were seen just now."""
        held = self._memory.get(key)
        if held is None or not _is_of(held.record, source, scope) or not self.is_valid(key, held.record):
            return None
        now = self._clock()
        if isinstance(held.record, KnownOrigin):
            usable = now < held.record.fresh_until and now < held.bytes_seen_at + _BYTES_TTL_S
        else:
            usable = now < held.record.until
        return held.record if usable else None

    async def load(self, key: str, source: str, scope: str = "") -> Record | None:
        """What is known under `key`, believed or not; None if nothing is, or only of another source (an alias was
        changed) or another credential scope. Raises StoreError.
        """
        held = self._memory.get(key)
        if held is not None and self.is_valid(key, held.record):
            record = held.record
        else:
            # Another process may know better by now.
            data = await self._records.get(key)
            record = decode_record(data) if data is not None else None
        return record if record is not None and _is_of(record, source, scope) else None

    def is_valid(self, key: str, record: Record) -> bool:
        """Whether nobody said since `record` was asked for that it may be wrong, and nobody can have said so without
        this process knowing.
        """
        return self._validity.is_valid(key, record.position, _digest_of(record))

    def is_invalidated(self, key: str, record: Record) -> bool:
        """Whether somebody said so: then its validators are worth nothing, either."""
        return self._validity.is_invalidated(key, record.position, _digest_of(record))

    def generation_of(self, key: str) -> str:
        """Differs from an earlier answer if somebody named this key meanwhile, as far as this process heard."""
        return self._validity.generation_of(key)

    @property
    def position(self) -> str:
        """Up to where this process has heard: a part of what is asked now."""
        return self._validity.position

    def remember(self, key: str, record: Record) -> None:
        """Keep `record`, whose bytes are in the store now, in memory."""
        self._memory[key] = _Held(record=record, bytes_seen_at=self._clock())

    async def save(self, key: str, record: Record) -> None:
        """Remember `record`. A store that fails here costs a question to the origin after the next start, no more."""
        self.remember(key, record)
        try:
            await self._records.put(key, encode_record(record))
        except StoreError as error:
            _log.error("origin record not stored", key=key, error=str(error))


def _is_of(record: Record, source: str, scope: str) -> bool:
    return record.source == source and record.scope == scope


def _digest_of(record: Record) -> str:
    return record.digest if isinstance(record, KnownOrigin) else ""
