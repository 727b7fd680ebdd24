"""Damaged bytes in the origin cache: believed for a minute, asked for again unconditionally, and told nobody."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from origin_servers import FRESHNESS, fetch, serving_raw
from origin_world import Picture, World, showing

from pellucid.customers.customer import DEFAULT_CUSTOMER
from pellucid.errors import BusyError, DamagedImageError, PellucidError, RenderError, StoreError
from pellucid.source.answers import Fetched
from pellucid.source.fetch import Fetcher
from pellucid.source.origins import Origins
from pellucid.source.records import KnownOrigin, decode_record
from pellucid.spec import DEFAULT_TOKEN, OriginRef
from pellucid.store import keys

HALF, WHOLE, OLD = b"half a picture", b"half a picture and the rest", b"another picture"


def _whole_from(length: int) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(b"half") and len(data) < length


@pytest.fixture
def world(world: World) -> World:
    world.is_damaged = _whole_from(len(WHOLE))
    return world


async def test_half_a_download_is_asked_for_again_without_its_validators(world: World, fetcher: Fetcher) -> None:
    """It came with those of the whole file: a 304 would confirm it for ever."""
    picture = Picture(body=HALF, cache_control="max-age=86400")
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        origin = await origins.get(DEFAULT_CUSTOMER, ref)
        assert (origin.facts.damaged, origin.fresh_until) == (True, world.now + 60)
        picture.body = WHOLE
        world.now += 59
        assert (await origins.get(DEFAULT_CUSTOMER, ref)).digest == origin.digest
        world.now += 2
        for _ in range(2):
            whole = await origins.get(DEFAULT_CUSTOMER, ref)
            assert (whole.digest, whole.facts.damaged) == (keys.digest(WHOLE), False)
        assert whole.fresh_until == world.now + 86_400
        assert whole.former == (), "of damaged bytes nothing is shown later"
        assert picture.seen == [None, None]
        assert [digest for _, _, digest, _ in world.changed] == [keys.digest(WHOLE)]


async def test_it_stays_damaged_as_long_as_the_same_comes(world: World, fetcher: Fetcher) -> None:
    picture = Picture(body=HALF)
    async with showing(picture) as (_, ref):
        for asked, pause_s in enumerate((60, 120, 240, 480, 600, 600), start=1):
            origins = world.origins(fetcher)  # another process, which finds the record
            for later_s in (0, pause_s - 1):
                world.now += later_s
                origin = await origins.get(DEFAULT_CUSTOMER, ref)
                assert (origin.facts.damaged, origin.fresh_until) == (True, world.now - later_s + pause_s)
            assert picture.seen == [None] * asked, "without conditions, twice as late each time up to ten minutes"
            world.now += 2
        assert world.changed == []
        picture.body = WHOLE
        assert (await origins.get(DEFAULT_CUSTOMER, ref)).facts.damaged is False


async def test_what_is_found_damaged_twice_stays_so(
    world: World, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would be shown as sound for a moment every minute."""
    monkeypatch.setattr("pellucid.source.bodies.DAMAGED_S", 0)
    async with showing(Picture(body=WHOLE)) as (_, ref):
        origins = world.origins(fetcher)
        for damaged in (False, True):
            await origins.mark_damaged(DEFAULT_CUSTOMER, ref, await origins.get(DEFAULT_CUSTOMER, ref))
            world.now += 61
            assert (await origins.get(DEFAULT_CUSTOMER, ref)).facts.damaged is damaged


async def test_the_bytes_before_it_are_remembered_and_nobody_is_told(world: World, fetcher: Fetcher) -> None:
    picture = Picture(body=OLD)
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        await origins.get(DEFAULT_CUSTOMER, ref)
        for body, etag in ((HALF, '"2"'), (WHOLE, '"2"'), (HALF, '"3"'), (OLD, '"1"')):
            picture.body, picture.etag = body, etag
            world.now += FRESHNESS.default_s + 1
            origin = await origins.get(DEFAULT_CUSTOMER, ref)
            assert origin.digest == keys.digest(body)
            assert keys.digest(HALF) not in {each.digest for each in origin.former}
            if body != OLD:
                assert keys.digest(OLD) in {each.digest for each in origin.former}
        assert [digest for _, _, digest, _ in world.changed] == [keys.digest(WHOLE), keys.digest(OLD)]


async def test_what_is_learnt_when_it_is_decoded_holds_for_all_urls_and_processes(
    world: World, fetcher: Fetcher
) -> None:
    world.is_damaged = lambda _: False
    picture = Picture(body=HALF, cache_control="max-age=86400")
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        origin = await origins.get(DEFAULT_CUSTOMER, ref)
        assert origin.facts.damaged is False
        await origins.mark_damaged(DEFAULT_CUSTOMER, ref, origin)
        doubted = await origins.get(DEFAULT_CUSTOMER, ref)
        assert (doubted.facts.damaged, doubted.fresh_until) == (True, world.now + 60)
        other = OriginRef(scheme=ref.scheme, host=ref.host, path="/b.png")
        assert (await origins.get(DEFAULT_CUSTOMER, other)).facts.damaged
        assert (await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)).facts.damaged
        picture.body = WHOLE
        world.now += 61
        assert (await origins.get(DEFAULT_CUSTOMER, ref)).facts.damaged is False
        assert picture.seen == [None, None, None]


async def test_the_same_bytes_are_tried_anew(world: World, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that was refused memory calls a sound file damaged; that is not for ever."""
    monkeypatch.setattr("pellucid.source.bodies.DAMAGED_S", 0)
    async with showing(Picture(body=WHOLE)) as (_, ref):
        origins = world.origins(fetcher)
        await origins.mark_damaged(DEFAULT_CUSTOMER, ref, await origins.get(DEFAULT_CUSTOMER, ref))
        assert (await origins.get(DEFAULT_CUSTOMER, ref)).facts.damaged
        world.now += 61
        origin = await origins.get(DEFAULT_CUSTOMER, ref)
        assert (origin.facts.damaged, origin.fresh_until) == (False, world.now + FRESHNESS.default_s)


async def test_a_store_that_is_away_stops_no_doubt(
    world: World, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with showing(Picture(body=WHOLE)) as (_, ref):
        origin = await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)
        origins = world.origins(fetcher)  # another process, which has no record in memory

        async def away(key: str) -> bytes | None:
            raise StoreError(key)

        with monkeypatch.context() as patch:
            patch.setattr(world.records, "get", away)
            await origins.mark_damaged(DEFAULT_CUSTOMER, ref, origin)
        assert (await origins.get(DEFAULT_CUSTOMER, ref)).facts.damaged


async def test_a_doubt_about_what_is_gone_changes_nothing(world: World, fetcher: Fetcher) -> None:
    picture = Picture(body=OLD)
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        old = await origins.get(DEFAULT_CUSTOMER, ref)
        picture.body, picture.etag = WHOLE, '"2"'
        world.now += FRESHNESS.default_s + 1
        (former,) = (await origins.get(DEFAULT_CUSTOMER, ref)).former
        await origins.mark_damaged(DEFAULT_CUSTOMER, ref, old)
        assert (await origins.get(DEFAULT_CUSTOMER, ref)).facts.damaged is False
        found = await origins.former(old, former)
        assert found is not None
        assert found.facts.damaged


async def _as_an_older_version_wrote_it(world: World, origins: Origins, ref: OriginRef) -> None:
    """The record without what that version did not know."""
    await origins.get(DEFAULT_CUSTOMER, ref)
    key = keys.origin_record_key(DEFAULT_TOKEN, ref)
    record = json.loads((await world.records.get(key)) or b"")
    del record["facts"]["damaged"]
    await world.records.put(key, json.dumps(record).encode())


@pytest.mark.parametrize("damaged", [True, False])
async def test_what_an_older_version_wrote_down_is_looked_at_when_it_is_confirmed(
    world: World, fetcher: Fetcher, damaged: bool
) -> None:
    picture = Picture(body=HALF if damaged else OLD)
    async with showing(picture) as (_, ref):
        await _as_an_older_version_wrote_it(world, world.origins(fetcher), ref)
        origins = world.origins(fetcher)
        assert (await origins.get(DEFAULT_CUSTOMER, ref)).facts.damaged is None
        world.now += FRESHNESS.default_s + 1
        origin = await origins.get(DEFAULT_CUSTOMER, ref)
        assert origin.facts.damaged is damaged
        assert origin.fresh_until == world.now + (60 if damaged else FRESHNESS.default_s)
        world.now += FRESHNESS.default_s + 1
        await origins.get(DEFAULT_CUSTOMER, ref)
        assert picture.seen == [None, '"1"', None if damaged else '"1"']


@pytest.mark.parametrize(
    ("error", "damaged"),
    [
        (BusyError("full"), None),
        (RenderError("slow"), None),
        (StoreError("away"), None),
        (DamagedImageError("x"), True),
    ],
)
async def test_a_look_that_fails_stops_no_confirmed_picture(
    world: World, fetcher: Fetcher, error: PellucidError, damaged: bool | None
) -> None:
    picture = Picture(body=OLD)
    async with showing(picture) as (_, ref):
        await _as_an_older_version_wrote_it(world, world.origins(fetcher), ref)
        world.now += FRESHNESS.default_s + 1
        world.probe_error = error
        assert (await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)).facts.damaged is damaged


async def test_the_record_says_it_to_older_versions_as_well(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture(body=HALF)) as (_, ref):
        await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)
        record = decode_record((await world.records.get(keys.origin_record_key(DEFAULT_TOKEN, ref))) or b"")
    assert isinstance(record, KnownOrigin)
    assert record.facts.damaged
    assert record.fresh_until == world.now + 60


async def test_what_nothing_can_be_shown_of_is_asked_for_again_after_a_minute(world: World, fetcher: Fetcher) -> None:
    picture = Picture(body=HALF, cache_control="max-age=86400")
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        world.probe_error = DamagedImageError("cut short")
        for _ in range(2):
            with pytest.raises(DamagedImageError):
                await origins.get(DEFAULT_CUSTOMER, ref)
        world.probe_error = None
        picture.body = WHOLE
        world.now += 61
        assert (await origins.get(DEFAULT_CUSTOMER, ref)).digest == keys.digest(WHOLE)
        assert picture.seen == [None, None]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n" + HALF, id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + HALF, id="HTTP/1.1, ended by closing"),
    ],
)
async def test_a_body_that_ends_with_its_connection_may_be_half_of_it(answer: bytes) -> None:
    """Nothing of HTTP tells: that is why its content is looked at."""
    async with serving_raw(answer) as server:
        fetched = await fetch(f"http://127.0.0.1:{server.port}/")
    assert isinstance(fetched, Fetched)
    assert fetched.body == HALF
