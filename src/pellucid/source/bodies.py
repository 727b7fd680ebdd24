"""The bytes of origins: put into the store as they arrive, read from it, and probed for what their headers say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

import structlog
from cachetools import LRUCache, TTLCache

from pellucid.concurrency.clients import Client
from pellucid.errors import BusyError, EmptyOriginError, ImageError, RenderError, StoreError
from pellucid.image.facts import ImageFacts
from pellucid.image.sniff import HEAD_BYTES, check_head
from pellucid.source.answers import Fetched
from pellucid.source.limits import DAMAGED_S
from pellucid.source.memory import HeldBody, Reservation
from pellucid.store import keys
from pellucid.store.port import BlobStore

_log = structlog.get_logger(__name__)

Read = Callable[[], Awaitable[bytes]]
Probe = Callable[[Read, Client], Awaitable[ImageFacts]]
"""Reads a picture once there is room for its bytes, and then its header. What it finds depends on the bytes alone."""

_FACTS = 10_000
"""Facts kept in memory, 0.3 kB each. One picture may have many URLs (query strings, tokens), and to probe it sends all
of it through a pipe: 0.2 s for 45 MB.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """What a server sent; its bytes are in the store, or in `body` where that failed."""

    answer: Fetched
    """Without its bytes."""
    digest: str
    size_bytes: int
    was_stored: bool
    """Whether the bytes were in the store before."""
    body: HeldBody | None


class Bodies:
    """Bytes of origins in `blobs`, by their digest (`keys.origin_bytes_key`). `sniff` looks at the first bytes of a
    picture, `probe` reads its header; both raise ImageError for what is none.
    """

    def __init__(self, blobs: BlobStore, *, probe: Probe, sniff: Callable[[bytes], object] = check_head) -> None:
        self._blobs = blobs
        self._probe = probe
        self._sniff = sniff
        self._facts: LRUCache[str, ImageFacts] = LRUCache(_FACTS)
        self._with_damage: TTLCache[str, None] = TTLCache(_FACTS, DAMAGED_S, time.monotonic)
        self._doubted_before: LRUCache[str, None] = LRUCache(_FACTS)

    async def exists(self, digest: str) -> bool:
        """Whether there are bytes of that name, sound or not. Raises StoreError."""
        return await self._blobs.exists(keys.origin_bytes_key(digest))

    async def read(self, digest: str) -> bytes | None:
        """The stored bytes; None when they were evicted. Damaged ones are removed and count as missing. Raises
        StoreError.
        """
        key = keys.origin_bytes_key(digest)
        data = await self._blobs.get(key)
        if data is not None and await asyncio.to_thread(keys.digest, data) != digest:
            await self._blobs.delete(key)
            return None
        return data

    async def store(self, answer: Fetched, *, room: Reservation, known_digest: str | None) -> Arrived:
        """Put what was fetched into the store, before anybody waits for a renderer. A full disk stops no answer: the
        bytes stay in memory for this one, with what `room` holds for them. `known_digest` names bytes that are known
        to be a picture.

        Raises ImageError for what begins like no picture: it is not stored.
        """
        body = answer.body
        digest = await asyncio.to_thread(keys.digest, body)
        if digest != known_digest:
            if not body:
                raise EmptyOriginError("the origin has no bytes")
            self._sniff(bytes(body[:HEAD_BYTES]))
        key = keys.origin_bytes_key(digest)
        was_stored, held = False, None
        try:
            was_stored = await self._blobs.exists(key)
            if not was_stored:
                await self._blobs.put(key, body)
        except StoreError as error:
            _log.error("origin not stored", origin=digest, error=str(error))
            held = room.hand_over(body)
        return Arrived(
            answer=replace(answer, body=b""),
            digest=digest,
            size_bytes=len(body),
            was_stored=was_stored,
            body=held,
        )

    async def examine(self, arrived: Arrived, client: Client) -> ImageFacts:
        """What the header says, probed on behalf of `client`; at once for bytes that were probed before, under
        whichever URL.

        Raises ImageError or RenderError for what is no usable picture: its bytes are not kept, and the next who brings
        them has them probed again. BusyError and StoreError say nothing about the bytes.
        """
        facts = self._facts.get(arrived.digest)
        if facts is None:
            try:
                facts = await self._probe(partial(self._read_arrived, arrived), client)
            except (ImageError, RenderError):
                await self._discard(arrived)
                raise
            self._facts[arrived.digest] = facts
        return facts

    async def examine_stored(self, digest: str, client: Client) -> ImageFacts:
        """`examine` for bytes that are in the store, which stay there. Raises what that raises."""
        facts = self._facts.get(digest)
        if facts is None:
            facts = self._facts[digest] = await self._probe(partial(self._read_stored, digest), client)
        return facts

    def mark_damaged(self, digest: str) -> None:
        """The bytes turned out to be damaged when they were decoded. That holds for a while: a decoder that was refused
        memory says so, too. The second time it is a fact.
        """
        if digest in self._with_damage:
            return
        facts = self._facts.get(digest)
        if facts is not None and digest in self._doubted_before:
            self._facts[digest] = replace(facts, damaged=True)
        self._with_damage[digest] = self._doubted_before[digest] = None

    def is_marked_damaged(self, digest: str) -> bool:
        """Whether they did, a short while ago."""
        return digest in self._with_damage

    async def _read_arrived(self, arrived: Arrived) -> bytes:
        if arrived.body is not None:
            return bytes(arrived.body.data)
        return await self._read_stored(arrived.digest)

    async def _read_stored(self, digest: str) -> bytes:
        data = await self.read(digest)
        if data is None:
            raise BusyError("the origin's bytes were evicted before their turn came")
        return data

    async def _discard(self, arrived: Arrived) -> None:
        """Remove bytes that are no picture, unless they were in the store before: elsewhere they may be one."""
        if arrived.was_stored or arrived.body is not None:
            return
        try:
            await self._blobs.delete(keys.origin_bytes_key(arrived.digest))
        except StoreError as error:
            _log.error("refused bytes not deleted", origin=arrived.digest, error=str(error))
