"""Insights are looked for once: by content, and only what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from memory_blobs import MemoryBlobs
from pellucid.customers.customer import DEFAULT_CUSTOMER
from pellucid.errors import BusyError, ImageError, PellucidError, StoreError
from pellucid.formats import ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.insights.needs import Needs
from pellucid.insights.record import InsightRecord
from pellucid.insights.values import NO_INSIGHTS, Area
from pellucid.pipeline.insights import InsightResolver
from pellucid.render.pool import RenderPool
from pellucid.source.origin import Origin
from pellucid.source.origins import Origins
from pellucid.spec import Colour, OriginRef
from pellucid.store import keys

REF = OriginRef(host="h.example", path="/a.jpg")
FACE = Area(left=0.1, top=0.1, right=0.2, bottom=0.2)
FACES, COLOUR = Needs(faces=True), Needs(main_colour=True)


def origin_of(digest: str) -> Origin:
    facts = ImageFacts(format=ImageFormat.JPEG, width=10, height=10, has_alpha=False)
    return Origin(digest=digest, facts=facts, size_bytes=3, url="https://a.example/a", source="a", record_key="r")


class Bytes:
    """Origins whose bytes are evicted a given number of times."""

    def __init__(self) -> None:
        self.evicted = 0
        self.refetched = 0
        self.digest = "d" * 32

    async def read(self, origin: Origin) -> bytes | None:
        del origin
        return None if self.evicted > self.refetched else b"abc"

    async def refetch(self, *_: Any, **__: Any) -> Origin:
        self.refetched += 1
        return origin_of(self.digest)


class Pool:
    """Finds a face and a colour, and counts how often it looks."""

    def __init__(self) -> None:
        self.looks: list[Needs] = []
        self.error: PellucidError | None = None

    async def look(
        self, read: Callable[[], Awaitable[bytes | None]], facts: ImageFacts, needs: Needs, **_: Any
    ) -> InsightRecord | None:
        del facts
        if await read() is None:
            return None
        self.looks.append(needs)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        looked = {name for name in ("faces", "main_colour") if getattr(needs, name)}
        return InsightRecord(
            looked=frozenset(looked),
            faces=(FACE,) if needs.faces else (),
            main_colour=Colour(red=1, green=2, blue=3) if needs.main_colour else None,
        )


class World:
    def __init__(self) -> None:
        self.blobs, self.bytes, self.pool = MemoryBlobs(), Bytes(), Pool()
        self.resolver = self.process()

    def process(self) -> InsightResolver:
        """Another process on the same store."""
        return InsightResolver(
            blobs=self.blobs, origins=cast("Origins", self.bytes), pool=cast("RenderPool", self.pool)
        )

    async def get(self, needs: Needs, digest: str = "d" * 32, resolver: InsightResolver | None = None) -> Any:
        return await (resolver or self.resolver).get(DEFAULT_CUSTOMER, REF, origin_of(digest), needs)


async def test_a_spec_that_needs_none_pays_nothing() -> None:
    world = World()
    assert await world.get(Needs()) == NO_INSIGHTS
    assert world.pool.looks == []


async def test_an_image_is_looked_at_once_by_all_processes() -> None:
    world = World()
    assert (await world.get(FACES)).faces == (FACE,)
    assert (await world.get(FACES)).faces == (FACE,)
    assert (await world.get(FACES, resolver=world.process())).faces == (FACE,)
    assert world.pool.looks == [FACES]
    await world.get(FACES, "e" * 32)
    assert len(world.pool.looks) == 2, "other bytes"


async def test_each_page_of_a_document_is_looked_at() -> None:
    world = World()
    first = origin_of("d" * 32)
    second = replace(first, facts=replace(first.facts, page=2))
    for origin in (first, second, first, second):
        assert (await world.resolver.get(DEFAULT_CUSTOMER, REF, origin, FACES)).faces == (FACE,)
    assert world.pool.looks == [FACES, FACES]


async def test_only_what_is_missing_is_looked_for() -> None:
    world = World()
    await world.get(FACES)
    both = Needs(faces=True, main_colour=True)
    found = await world.get(both)
    assert found.faces == (FACE,)
    assert found.main_colour == Colour(red=1, green=2, blue=3)
    assert world.pool.looks == [FACES, COLOUR]
    assert await world.get(COLOUR, resolver=world.process()) == await world.get(COLOUR)


async def test_requests_at_the_same_time_share_a_look() -> None:
    world = World()
    await asyncio.gather(*(world.get(FACES) for _ in range(10)))
    assert world.pool.looks == [FACES]


async def test_an_image_that_cannot_be_looked_at_has_no_insights_and_is_tried_again() -> None:
    world = World()
    world.pool.error = ImageError("no")
    assert await world.get(FACES) == NO_INSIGHTS
    world.pool.error = None
    assert (await world.get(FACES)).faces == (FACE,)


async def test_being_busy_is_said() -> None:
    world = World()
    world.pool.error = BusyError("full")
    with pytest.raises(BusyError):
        await world.get(FACES)


async def test_evicted_bytes_are_fetched_again() -> None:
    world = World()
    world.bytes.evicted = 1
    assert (await world.get(FACES)).faces == (FACE,)
    assert world.bytes.refetched == 1
    world.bytes.evicted, world.bytes.digest = 9, "f" * 32
    with pytest.raises(BusyError):
        await world.get(FACES, "e" * 32)


async def test_a_store_that_fails_costs_a_look_and_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    async def fail(*_: object) -> None:
        raise StoreError("no disk")

    monkeypatch.setattr(world.blobs, "get", fail)
    monkeypatch.setattr(world.blobs, "put", fail)
    assert (await world.get(FACES)).faces == (FACE,)
    assert (await world.get(FACES, resolver=world.process())).faces == (FACE,)
    assert len(world.pool.looks) == 2


async def test_a_damaged_record_is_none() -> None:
    world = World()
    await world.blobs.put(keys.insights_key("d" * 32), b"{")
    assert (await world.get(FACES)).faces == (FACE,)
