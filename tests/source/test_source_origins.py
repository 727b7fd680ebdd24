"""The origin cache: who is asked, how often, and what is served when nobody answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from origin_servers import FRESHNESS, serving
from origin_world import Picture, World, at, showing

from pellucid.concurrency.clients import SERVER
from pellucid.customers.customer import DEFAULT_CUSTOMER, Customer
from pellucid.errors import (
    BusyError,
    EmptyOriginError,
    ImageError,
    ImageLimitError,
    OriginForbiddenError,
    OriginNotFoundError,
    OriginTooLargeError,
    OriginUnreachableError,
    PellucidError,
    RenderError,
    UnsupportedFormatError,
)
from pellucid.source.answers import Sharing
from pellucid.source.fetch import Fetcher
from pellucid.spec import DEFAULT_TOKEN, OriginRef, Token
from pellucid.store import keys


async def test_fetch_once_then_from_memory(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        origins = world.origins(fetcher)
        origin = await origins.get(DEFAULT_CUSTOMER, ref)
        assert origin.digest == keys.digest(b"picture")
        assert (origin.size_bytes, origin.facts.width, origin.url) == (7, 7, f"{server.url}/a.png")
        assert await origins.read(origin) == b"picture"
        calls = world.records.calls.total() + world.blobs.calls["exists"]
        assert await origins.get(DEFAULT_CUSTOMER, ref) == origin
        assert world.records.calls.total() + world.blobs.calls["exists"] == calls
        assert len(server.requests) == 1


async def test_the_store_outlives_the_process(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        origin = await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)
        assert await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref) == origin
        assert len(server.requests) == len(world.probed) == 1


async def test_tokens_do_not_share_records(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        origins = world.origins(fetcher)
        await origins.get(Customer(token=Token("one")), ref)
        await origins.get(Customer(token=Token("two")), ref)
        assert len(server.requests) == 2


async def test_revalidation_keeps_what_did_not_change(world: World, fetcher: Fetcher) -> None:
    picture = Picture(cache_control="max-age=100")
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        origin = await origins.get(DEFAULT_CUSTOMER, ref)
        picture.cache_control = None  # the 304 says nothing: the lifetime of before goes on
        for _ in range(2):
            world.now += 101
            assert await origins.get(DEFAULT_CUSTOMER, ref) == origin
            world.now += 98
            assert await origins.get(DEFAULT_CUSTOMER, ref) == origin
        assert picture.seen == [None, '"1"', '"1"']
        assert len(world.probed) == 1


async def test_revalidation_takes_what_changed(world: World, fetcher: Fetcher) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        await origins.get(DEFAULT_CUSTOMER, ref)
        picture.body, picture.etag = b"new picture", '"2"'
        world.now += FRESHNESS.default_s + 1
        origin = await origins.get(DEFAULT_CUSTOMER, ref)
        assert await origins.read(origin) == b"new picture"
        assert picture.seen == [None, '"1"']
        assert len(world.probed) == 2


async def test_a_new_version_asks_the_server_whether_the_picture_changed(world: World, fetcher: Fetcher) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        first = await origins.get(DEFAULT_CUSTOMER, ref, version="1")
        assert await origins.get(DEFAULT_CUSTOMER, ref, version="1") == first
        assert await origins.get(DEFAULT_CUSTOMER, ref) == first
        assert picture.seen == [None]
        assert (await origins.get(DEFAULT_CUSTOMER, ref, version="2")).digest == first.digest
        assert picture.seen == [None, '"1"'], "the same bytes are not fetched again"
        picture.body, picture.etag = b"new picture", '"2"'
        assert (await origins.get(DEFAULT_CUSTOMER, ref, version="2")).digest == first.digest
        changed = await origins.get(DEFAULT_CUSTOMER, ref, version="3")
        assert await origins.read(changed) == b"new picture"
        # One image has one content, whatever its URLs say.
        assert await origins.get(DEFAULT_CUSTOMER, ref, version="1") == changed
        assert await origins.get(DEFAULT_CUSTOMER, ref) == changed
        assert len(picture.seen) == 3
        again = world.origins(fetcher)  # another process
        assert await again.get(DEFAULT_CUSTOMER, ref, version="3") == changed
        assert len(picture.seen) == 3


async def test_a_new_version_of_an_origin_that_is_down_is_the_picture_that_is_there(
    world: World, fetcher: Fetcher
) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        first = await origins.get(DEFAULT_CUSTOMER, ref)
    assert (await origins.get(DEFAULT_CUSTOMER, ref, version="2")).digest == first.digest


async def test_a_redirect_that_goes_back_to_an_older_file_is_followed(
    world: World, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`latest` leads to a file whose date is before that of the one known: its 304 would confirm the wrong picture."""
    # A machine with other work to do makes no origin slow.
    monkeypatch.setattr("pellucid.source.origins._STALE_WAIT_S", 30)
    files = {"/new": (b"new", 2000), "/old": (b"old", 1000)}
    latest = "/new"

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/latest":
            return web.Response(status=302, headers={"Location": latest})
        body, changed_at = files[request.path]
        since = request.if_modified_since
        response = (
            web.Response(body=body) if since is None or since.timestamp() < changed_at else web.Response(status=304)
        )
        response.last_modified = changed_at
        return response

    async with serving(answer) as server:
        origins, ref = world.origins(fetcher), at(server, "/latest")
        for path, (body, _) in (*files.items(), *reversed(files.items())):
            latest = path
            for _ in range(2):
                origin = await origins.get(DEFAULT_CUSTOMER, ref)
                assert (origin.digest, origin.url) == (keys.digest(body), server.url + path)
                world.now += FRESHNESS.default_s + 1
        hits = [request for request in server.requests if "If-Modified-Since" in request.headers]
        assert len(hits) == 5, "what is known is still confirmed"


async def test_the_same_bytes_without_validators_are_not_probed_again(world: World, fetcher: Fetcher) -> None:
    picture = Picture(etag=None)
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        origin = await origins.get(DEFAULT_CUSTOMER, ref)
        world.now += FRESHNESS.default_s + 1
        assert await origins.get(DEFAULT_CUSTOMER, ref) == origin
        assert picture.seen == [None, None]
        assert len(world.probed) == 1


async def test_stale_is_served_while_the_origin_is_down(world: World, fetcher: Fetcher) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        origin = await origins.get(DEFAULT_CUSTOMER, ref)
        picture.status = 503
        world.now += FRESHNESS.default_s + 1
        for _ in range(3):
            assert await origins.get(DEFAULT_CUSTOMER, ref) == origin
        assert len(picture.seen) == 2
        assert await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref) == origin  # after a restart as well
        assert len(picture.seen) == 2
        world.now += FRESHNESS.failure_s + 1
        picture.status = 200
        assert await origins.get(DEFAULT_CUSTOMER, ref) == origin
        assert picture.seen[1:] == ['"1"', '"1"']
    world.now += FRESHNESS.default_s + 1
    assert await origins.get(DEFAULT_CUSTOMER, ref) == origin  # nobody listens any more


async def test_an_origin_that_is_gone_is_gone(world: World, fetcher: Fetcher) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        await origins.get(DEFAULT_CUSTOMER, ref)
        picture.status = 404
        world.now += FRESHNESS.default_s + 1
        with pytest.raises(OriginNotFoundError):
            await origins.get(DEFAULT_CUSTOMER, ref)


@pytest.mark.parametrize(
    ("picture", "error", "rest_s"),
    [
        (Picture(status=404), OriginNotFoundError, FRESHNESS.not_found_s),
        (Picture(status=403), OriginForbiddenError, FRESHNESS.not_found_s),
        (Picture(status=500), OriginUnreachableError, FRESHNESS.failure_s),
        (Picture(body=bytes(1001)), OriginTooLargeError, FRESHNESS.not_found_s),
    ],
)
async def test_failures_are_remembered(
    world: World, fetcher: Fetcher, picture: Picture, error: type[PellucidError], rest_s: float
) -> None:
    async with showing(picture) as (server, ref):
        for origins in (world.origins(fetcher), world.origins(fetcher)):  # the second one knows it from the store
            for _ in range(3):
                with pytest.raises(error):
                    await origins.get(DEFAULT_CUSTOMER, ref)
                with pytest.raises(error):
                    await origins.refetch(DEFAULT_CUSTOMER, ref)
        assert len(server.requests) == 1
        world.now += rest_s + 1
        with pytest.raises(error):
            await origins.get(DEFAULT_CUSTOMER, ref)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("error", "rest_s"),
    [
        (UnsupportedFormatError("not an image"), 200),
        (ImageLimitError("too many pixels"), 200),
        (ImageError("damaged"), 200),
        (RenderError("killed its renderers"), FRESHNESS.failure_s),
    ],
)
async def test_unusable_pictures_are_remembered(
    world: World, fetcher: Fetcher, error: PellucidError, rest_s: float
) -> None:
    world.probe_error = error
    async with showing(Picture(cache_control="max-age=200")) as (server, ref):
        for origins in (world.origins(fetcher), world.origins(fetcher)):
            for _ in range(2):
                with pytest.raises(type(error), match=str(error)) as caught:
                    await origins.get(DEFAULT_CUSTOMER, ref)
                assert type(caught.value) is type(error)
        assert len(server.requests) == len(world.probed) == 1
        assert not world.blobs.data
        world.now += rest_s + 1
        world.probe_error = None
        await origins.get(DEFAULT_CUSTOMER, ref)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("cache_control", "sharing"),
    [
        (None, Sharing.PUBLIC),
        ("public, max-age=60", Sharing.PUBLIC),
        ("no-cache", Sharing.PUBLIC),
        ("Private, max-age=60", Sharing.PRIVATE),
        ('private="X-Name"', Sharing.PRIVATE),
        ("no-store", Sharing.NO_STORE),
        ("private, no-store", Sharing.NO_STORE),
    ],
)
async def test_who_may_keep_the_picture_is_remembered(
    world: World, fetcher: Fetcher, cache_control: str | None, sharing: Sharing
) -> None:
    picture = Picture(cache_control=cache_control)
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        assert (await origins.get(DEFAULT_CUSTOMER, ref)).sharing is sharing
        assert (await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)).sharing is sharing  # after a restart as well
        # A 304 that says nothing changes nothing; one that says something is the latest word.
        for said, holds in ((None, sharing), ("private", Sharing.PRIVATE), ("max-age=60", Sharing.PUBLIC)):
            picture.cache_control = said
            world.now += FRESHNESS.max_s + 1
            assert (await origins.get(DEFAULT_CUSTOMER, ref)).sharing is holds
        assert picture.seen == [None, '"1"', '"1"', '"1"']


async def test_records_of_before_are_read(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)
        for key, data in world.records.data.items():
            record = json.loads(data)
            if "sharing" in record:
                del record["sharing"]
                world.records.data[key] = json.dumps(record).encode()
        assert (await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)).sharing is Sharing.PUBLIC
        assert len(server.requests) == 1


async def test_other_bytes_are_told_and_the_first_are_not(world: World, fetcher: Fetcher) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        await origins.get(DEFAULT_CUSTOMER, ref)
        world.now += FRESHNESS.default_s + 1
        await origins.get(DEFAULT_CUSTOMER, ref)
        picture.etag = '"the same bytes"'
        world.now += FRESHNESS.default_s + 1
        await origins.get(DEFAULT_CUSTOMER, ref)
        assert world.changed == []
        picture.body, picture.etag = b"other bytes", '"2"'
        world.now += FRESHNESS.default_s + 1
        origin = await origins.get(DEFAULT_CUSTOMER, ref)
        assert world.changed == [(DEFAULT_TOKEN, ref, origin.digest, SERVER)]
        # Told to all: who has these bytes is believed, whoever put the question.
        world.invalidate(ref, digest=origin.digest, token=DEFAULT_TOKEN)
        world.hears(origins)
        assert await origins.get(DEFAULT_CUSTOMER, ref) == origin
        assert len(picture.seen) == 4


async def test_no_bytes_are_no_picture(world: World, fetcher: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    async with showing(Picture(body=b"")) as (server, ref):
        origins = world.origins(fetcher)
        customer = replace(DEFAULT_CUSTOMER, aliases={"_files_": tmp_path.as_uri()})
        for _ in range(2):
            for each in (ref, OriginRef(alias="_files_", path="/empty.png")):
                with pytest.raises(EmptyOriginError):
                    await origins.get(customer, each)
        assert len(server.requests) == 1
        assert not world.probed


async def test_being_busy_is_not_held_against_the_origin(world: World, fetcher: Fetcher) -> None:
    world.probe_error = BusyError("later")
    async with showing(Picture()) as (_, ref):
        origins = world.origins(fetcher)
        with pytest.raises(BusyError):
            await origins.get(DEFAULT_CUSTOMER, ref)
        world.probe_error = None
        await origins.get(DEFAULT_CUSTOMER, ref)


async def test_evicted_bytes_are_fetched_again(world: World, fetcher: Fetcher) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        origin = await origins.get(DEFAULT_CUSTOMER, ref)
        world.blobs.evict("bytes")
        assert await origins.read(origin) is None
        again = await asyncio.gather(*(origins.refetch(DEFAULT_CUSTOMER, ref) for _ in range(5)))
        assert set(again) == {origin}
        assert await origins.read(origin) == b"picture"
        assert await origins.refetch(DEFAULT_CUSTOMER, ref) == origin  # bytes are there: nobody is asked
        assert picture.seen == [None, None]

        world.blobs.evict("bytes")
        world.now += 60  # fresh still, but the bytes were not looked at for a while
        await origins.get(DEFAULT_CUSTOMER, ref)
        assert await origins.read(origin) == b"picture"
        assert picture.seen == [None, None, None]

        world.blobs.evict("bytes")
        world.now += FRESHNESS.default_s
        picture.status = 500
        with pytest.raises(OriginUnreachableError):  # a stale record without bytes is of no use
            await origins.get(DEFAULT_CUSTOMER, ref)


async def test_fifty_at_once_are_one_request(world: World, fetcher: Fetcher) -> None:
    picture = Picture(wait_for=asyncio.Event())
    async with showing(picture) as (server, ref):
        origins = world.origins(fetcher)
        calls = [asyncio.create_task(origins.get(DEFAULT_CUSTOMER, ref)) for _ in range(50)]
        await _until(lambda: len(server.requests) == 1)
        assert picture.wait_for is not None
        picture.wait_for.set()
        assert len(set(await asyncio.gather(*calls))) == 1
        assert len(server.requests) == 1


async def test_a_waiter_that_leaves_takes_nobody_along(world: World, fetcher: Fetcher) -> None:
    picture = Picture(wait_for=asyncio.Event())
    async with showing(picture) as (server, ref):
        origins = world.origins(fetcher)
        calls = [asyncio.create_task(origins.get(DEFAULT_CUSTOMER, ref)) for _ in range(3)]
        await _until(lambda: len(server.requests) == 1)
        calls[0].cancel()
        await asyncio.sleep(0)
        assert picture.wait_for is not None
        picture.wait_for.set()
        assert await calls[1] == await calls[2]
        assert calls[0].cancelled()
        assert len(server.requests) == 1


# --- stores that fail or rot ---


async def test_a_damaged_record_is_no_record(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)
        world.records.data = dict.fromkeys(world.records.data, b'{"type":"ori')
        await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)
        assert len(server.requests) == 2


async def test_a_full_store(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        origins = world.origins(fetcher)
        world.records.read_only = True
        await origins.get(DEFAULT_CUSTOMER, ref)  # the record is a help, no more
        assert len(server.requests) == 1
        world.blobs.read_only = True
        world.blobs.evict("bytes")
        origin = await origins.refetch(DEFAULT_CUSTOMER, ref)
        assert not origin.stored
        assert await origins.read(origin) is not None, "at hand for this request, in the store for none"
        assert world.memory.held_bytes == origin.size_bytes
        del origin
        await _until(lambda: world.memory.held_bytes == 0)


@pytest.mark.parametrize("error", [UnsupportedFormatError("a page, not a picture"), RenderError("it took too long")])
async def test_what_cannot_be_used_does_not_replace_the_picture(
    world: World, fetcher: Fetcher, error: PellucidError
) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        known = await origins.get(DEFAULT_CUSTOMER, ref)
        world.now += 100_000
        picture.body, picture.etag = b"not a picture", '"2"'
        world.probe_error = error
        assert await origins.get(DEFAULT_CUSTOMER, ref) == known
        picture.body, picture.etag = b"picture again", '"3"'
        world.probe_error = None
        world.now += 100_000
        assert (await origins.get(DEFAULT_CUSTOMER, ref)).digest != known.digest


async def test_validators_that_cannot_be_kept_are_none(world: World, fetcher: Fetcher) -> None:
    picture = Picture(etag='"' + "x" * 5000 + '"')
    async with showing(picture) as (server, ref):
        await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)
        world.now += 100_000
        await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)
        assert len(server.requests) == 2
        assert picture.seen == [None, None]


async def test_a_slow_origin_does_not_slow_what_is_there(world: World, fetcher: Fetcher) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        known = await origins.get(DEFAULT_CUSTOMER, ref)
        world.now += 100_000
        picture.wait_for = release = asyncio.Event()
        started = time.monotonic()
        for _ in range(5):
            assert await origins.get(DEFAULT_CUSTOMER, ref) == known
        assert time.monotonic() - started < 5, "one short patience, then none while the question is out"
        release.set()


async def test_an_invalidated_origin_is_asked_again_unconditionally(world: World, fetcher: Fetcher) -> None:
    picture = Picture(body=b"before", cache_control="max-age=3600")
    async with showing(picture) as (_, ref):
        origins, others = world.origins(fetcher), world.origins(fetcher)
        before = await origins.get(DEFAULT_CUSTOMER, ref)
        assert await others.get(DEFAULT_CUSTOMER, ref) == before
        picture.body = b"after, under the same tag"
        world.invalidate(ref)
        world.hears(origins, others)
        after = await others.get(DEFAULT_CUSTOMER, ref)
        assert after == await origins.get(DEFAULT_CUSTOMER, ref)
        assert after.digest != before.digest
        assert [former.digest for former in after.former] == [before.digest]
        assert picture.seen == [None, None]
        known = await origins.former(after, after.former[0])
        assert known is not None
        assert await origins.read(known) == b"before"


async def test_an_invalidated_origin_that_is_down_is_served_as_it_was(world: World, fetcher: Fetcher) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        known = await origins.get(DEFAULT_CUSTOMER, ref)
        world.invalidate(ref)
        world.hears(origins)
        picture.status = 503
        for _ in range(3):
            assert (await origins.get(DEFAULT_CUSTOMER, ref)).digest == known.digest
        assert len(picture.seen) == 2, "left alone for a while"
        world.now += FRESHNESS.failure_s + 1
        picture.status, picture.body = 200, b"after, under the same tag"
        assert (await origins.get(DEFAULT_CUSTOMER, ref)).digest != known.digest
        assert picture.seen == [None, None, None], "what was doubted has no validators"


async def test_an_answer_that_was_on_its_way_is_not_believed(world: World, fetcher: Fetcher) -> None:
    """Asked for before the origin was invalidated, it may be of before the change, in whichever process it arrives."""
    picture = Picture(body=b"before")
    picture.wait_for = release = asyncio.Event()
    async with showing(picture) as (_, ref):
        here, there = world.origins(fetcher), world.origins(fetcher)
        slow = [asyncio.create_task(origins.get(DEFAULT_CUSTOMER, ref)) for origins in (here, there)]
        await _until(lambda: len(picture.seen) == 2)
        world.invalidate(ref)
        world.hears(here)
        picture.wait_for = None
        release.set()
        before = {(await each).digest for each in slow}
        picture.body = b"after"
        new = await here.get(DEFAULT_CUSTOMER, ref)
        assert new.digest not in before
        assert await here.get(DEFAULT_CUSTOMER, ref) == new
        assert len(picture.seen) == 3

        # The other process hears of it a moment later; it wrote what it believed into the store meanwhile.
        assert (await there.get(DEFAULT_CUSTOMER, ref)).digest in before
        world.hears(there)
        assert await there.get(DEFAULT_CUSTOMER, ref) == new
        assert len(picture.seen) == 3


async def test_what_another_process_wrote_too_late_is_not_believed(world: World, fetcher: Fetcher) -> None:
    """It had not heard of the invalidation when it asked, and its record lies over the new one in the store."""
    picture = Picture(body=b"before")
    async with showing(picture) as (_, ref):
        key = keys.origin_record_key(DEFAULT_TOKEN, ref)
        here, there = world.origins(fetcher), world.origins(fetcher)
        world.invalidate(ref)
        world.hears(here)
        before = await there.get(DEFAULT_CUSTOMER, ref)  # heard nothing yet
        late = world.records.data[key]
        picture.body = b"after, under the same tag"
        new = await here.get(DEFAULT_CUSTOMER, ref)
        assert new.digest != before.digest
        world.hears(there)
        assert await there.get(DEFAULT_CUSTOMER, ref) == new, "what was asked later holds"
        assert len(picture.seen) == 2

        world.records.data[key] = late
        assert (await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)).digest == new.digest, "asked again"
        assert len(picture.seen) == 3


@pytest.mark.parametrize("hours", [-24, 24])
async def test_clocks_that_are_set_decide_nothing(world: World, fetcher: Fetcher, hours: int) -> None:
    """An invalidation stamped in the future made every request ask the origin again."""
    picture = Picture(cache_control="max-age=864000")
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        before = await origins.get(DEFAULT_CUSTOMER, ref)
        world.invalidate(ref)
        world.hears(origins)
        world.now += hours * 3600
        picture.body = b"after, under the same tag"
        after = {(await origins.get(DEFAULT_CUSTOMER, ref)).digest for _ in range(20)}
        assert len(after) == 1
        assert before.digest not in after
        assert len(picture.seen) == 2, "nothing missed, and nothing asked twice"


async def test_a_change_that_another_process_found_is_asked_about_once(world: World, fetcher: Fetcher) -> None:
    """The record of the question that found it is in the store, from before the number under which it was told."""
    picture = Picture()
    async with showing(picture) as (_, ref):
        here, there = world.origins(fetcher), world.origins(fetcher)
        before = await here.get(DEFAULT_CUSTOMER, ref)
        assert await there.get(DEFAULT_CUSTOMER, ref) == before
        picture.body, picture.etag = b"other bytes", '"2"'
        world.now += FRESHNESS.default_s + 1
        after = await here.get(DEFAULT_CUSTOMER, ref)
        world.now -= FRESHNESS.default_s + 1  # the other one would believe what it has for a while longer
        world.invalidate(ref, digest=after.digest, token=DEFAULT_TOKEN)
        world.hears(here, there)
        assert await there.get(DEFAULT_CUSTOMER, ref) == after
        assert await here.get(DEFAULT_CUSTOMER, ref) == after
        assert len(picture.seen) == 2


async def test_records_of_an_older_version_are_believed_unless_named(world: World, fetcher: Fetcher) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)
        key = keys.origin_record_key(DEFAULT_TOKEN, ref)
        world.records.data[key] = _without_position(world.records.data[key])
        await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)
        assert len(picture.seen) == 1
        world.invalidate(ref)
        await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)
        assert picture.seen == [None, None]


async def test_after_missed_news_nothing_is_believed(world: World, fetcher: Fetcher) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        await origins.get(DEFAULT_CUSTOMER, ref)
        world.invalidate(None)
        world.hears(origins)
        await origins.get(DEFAULT_CUSTOMER, ref)
        await origins.get(DEFAULT_CUSTOMER, ref)
        assert picture.seen == [None, None]


async def test_after_a_lost_database_everything_is_asked_about_once(world: World, fetcher: Fetcher) -> None:
    """Conditionally: nobody is known to have named it."""
    picture = Picture(cache_control="max-age=3600")
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        known = await origins.get(DEFAULT_CUSTOMER, ref)
        world.loses_its_database(origins)
        for _ in range(3):
            assert await origins.get(DEFAULT_CUSTOMER, ref) == known
        assert picture.seen == [None, '"1"']


async def test_nobody_shares_a_question_put_before_the_database_was_lost(world: World, fetcher: Fetcher) -> None:
    picture = Picture(body=b"before")
    picture.wait_for = release = asyncio.Event()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        world.invalidate(ref)
        world.hears(origins)
        slow = asyncio.create_task(origins.get(DEFAULT_CUSTOMER, ref))
        await _until(lambda: len(picture.seen) == 1)
        world.told.clear()
        world.loses_its_database(origins)
        world.invalidate(ref)
        world.hears(origins)
        picture.wait_for, picture.body = None, b"after"
        after = await origins.get(DEFAULT_CUSTOMER, ref)
        release.set()
        assert await origins.read(after) == b"after"
        await slow
        assert len(picture.seen) == 2


@pytest.mark.parametrize("status", [404, 500])
async def test_a_failure_is_not_believed_after_an_invalidation(world: World, fetcher: Fetcher, status: int) -> None:
    picture = Picture(status=status)
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        with pytest.raises(PellucidError):
            await origins.get(DEFAULT_CUSTOMER, ref)
        world.invalidate(ref)
        world.hears(origins)
        picture.status = 200
        await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)
        await origins.get(DEFAULT_CUSTOMER, ref)


def _without_position(record: bytes) -> bytes:
    """As it was written before there were positions: with a moment in their place."""
    fields = json.loads(record)
    del fields["heard"]
    return json.dumps(fields | {"asked_at": 1_000_000.0}).encode()


async def _until(condition: Callable[[], bool], *, max_wait_s: float = 10) -> None:
    async with asyncio.timeout(max_wait_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a server, not in an event
            await asyncio.sleep(0.005)
