"""What is known of origins: in memory, in the store, and until when it may be believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import structlog
from cachetools import LRUCache

from pellucid.errors import StoreError
from pellucid.source.records import NEVER, KnownOrigin, Record, decode_record, encode_record
from pellucid.store.port import BlobStore

_log = structlog.get_logger(__name__)

_RECORDS_IN_MEMORY = 10_000
_PURGES_IN_MEMORY = 10_000
# Bytes seen less than this ago are taken to be there still: eviction takes what was not used for longest.
_BYTES_BELIEF_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A record in memory. `bytes_seen_at` is when its bytes were last known to be in the store."""

    record: Record
    bytes_seen_at: float


class KnownOrigins:
    """The records of origins, by `keys.origin_record_key`.

    A record is believed only if its origin was asked after the last purge that this process heard of: an answer that
    was under way when somebody said that the picture changed may be of before, whoever wrote it down and when.
    """

    def __init__(self, records: BlobStore, *, clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock
        self._memory: LRUCache[str, _Held] = LRUCache(_RECORDS_IN_MEMORY)
        self._purged_at: LRUCache[str, float] = LRUCache(_PURGES_IN_MEMORY)
        self._all_purged_at = NEVER

    def at_hand(self, key: str, source: str) -> Record | None:
        """The record in memory, if it is of `source`, fresh, believed, and its bytes were seen just now."""
        held = self._memory.get(key)
        if held is None or held.record.source != source or not self.is_believed(key, held.record):
            return None
        now = self._clock()
        if isinstance(held.record, KnownOrigin):
            usable = now < held.record.fresh_until and now < held.bytes_seen_at + _BYTES_BELIEF_S
        else:
            usable = now < held.record.until
        return held.record if usable else None

    async def recall(self, key: str, source: str) -> Record | None:
        """What is known under `key`, believed or not; None if nothing is, or only of another source (an alias was
        changed). Raises StoreError.
        """
        held = self._memory.get(key)
        if held is not None:
            record = held.record
        else:
            data = await self._records.get(key)
            record = decode_record(data) if data is not None else None
        return record if record is not None and record.source == source else None

    def is_believed(self, key: str, record: Record) -> bool:
        """Whether nobody said since `record` was asked for that it may be wrong."""
        return record.asked_at > self.purged_at(key)

    def purged_at(self, key: str) -> float:
        """When this key was last purged, as far as this process heard."""
        return max(self._purged_at.get(key, NEVER), self._all_purged_at)

    def hold(self, key: str, record: Record) -> None:
        """Keep `record`, whose bytes are in the store now, in memory."""
        self._memory[key] = _Held(record=record, bytes_seen_at=self._clock())

    async def save(self, key: str, record: Record) -> None:
        """Remember `record`. A store that fails here costs a question to the origin after the next start, no more."""
        if not self.is_believed(key, record):
            record = msgspec.structs.replace(record, asked_at=NEVER)
        self.hold(key, record)
        try:
            await self._records.put(key, encode_record(record))
        except StoreError as error:
            _log.error("origin record not stored", key=key, error=str(error))

    def hear(self, key: str | None, at: float) -> None:
        """From now on nothing is believed that was asked under `key`, None: under any, until `at`."""
        if key is None:
            self._all_purged_at = max(at, self._all_purged_at)
            self._memory.clear()
        else:
            self._purged_at[key] = max(at, self._purged_at.get(key, NEVER))
            self._memory.pop(key, None)

    async def doubt(self, key: str, at: float) -> None:
        """`hear`, and mark the store's record, so that no later process believes it either. Raises StoreError."""
        self.hear(key, at)
        data = await self._records.get(key)
        record = decode_record(data) if data is not None else None
        if record is not None and NEVER < record.asked_at <= at:
            await self._records.put(key, encode_record(msgspec.structs.replace(record, asked_at=NEVER)))
