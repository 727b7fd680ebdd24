"""Bytes of origins: one picture under many URLs is kept once and probed once."""

from __future__ import annotations

import pytest
from aiohttp import web
from origin_servers import serving
from origin_world import Picture, World, at, showing

from pellucid.customers.customer import DEFAULT_CUSTOMER, Customer
from pellucid.errors import ImageLimitError, PellucidError, RenderError
from pellucid.source.fetch import Fetcher
from pellucid.spec import Token
from pellucid.store import keys


async def test_one_picture_under_many_urls_is_probed_once(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        origins = world.origins(fetcher)
        first = await origins.get(DEFAULT_CUSTOMER, ref)
        others = [
            await origins.get(DEFAULT_CUSTOMER, at(server, "/a.png?v=2")),
            await origins.get(Customer(token=Token("other")), ref),
        ]
        world.blobs.evict("bytes")
        others.append(await origins.get(DEFAULT_CUSTOMER, at(server, "/b.png")))
        assert len(server.requests) == 4
        assert world.probed == [b"picture"]
        assert {(each.digest, each.facts) for each in others} == {(first.digest, first.facts)}
        assert await origins.read(others[-1]) == b"picture", "probed or not, what arrived is stored"


@pytest.mark.parametrize("error", [ImageLimitError("too many pixels"), RenderError("took too long")])
async def test_a_picture_that_failed_is_probed_again_under_another_url(
    world: World, fetcher: Fetcher, error: PellucidError
) -> None:
    """Perhaps its renderer had too much to do: its own URL is left alone for a while, another is not."""
    async with showing(Picture()) as (server, ref):
        origins, other = world.origins(fetcher), at(server, "/b.png")
        world.probe_error = error
        for each in (ref, ref, other, other):
            with pytest.raises(type(error), match=str(error)):
                await origins.get(DEFAULT_CUSTOMER, each)
        assert len(server.requests) == len(world.probed) == 2
        world.probe_error = None
        origin = await origins.get(DEFAULT_CUSTOMER, at(server, "/c.png"))
        assert await origins.get(DEFAULT_CUSTOMER, at(server, "/d.png")) is not None
        assert len(world.probed) == 3
        with pytest.raises(type(error)):
            await origins.get(DEFAULT_CUSTOMER, ref)
        assert await origins.read(origin) == b"picture"


async def test_facts_are_kept_of_so_many_pictures(
    world: World, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=request.path.encode())

    monkeypatch.setattr("pellucid.source.bodies._FACTS", 2)
    async with serving(answer) as server:
        origins = world.origins(fetcher)
        for path in ("/1", "/2", "/1?again", "/3", "/1?once-more", "/2?again"):
            await origins.get(DEFAULT_CUSTOMER, at(server, path))
        assert world.probed == [b"/1", b"/2", b"/3", b"/2"], "those that were not used for longest are forgotten"


async def test_damaged_bytes_are_removed_and_fetched_again(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        origins = world.origins(fetcher)
        await origins.get(DEFAULT_CUSTOMER, ref)
        key = keys.origin_bytes_key(keys.digest(b"picture"))
        world.blobs.data[key] = b"pict"
        other = at(server, "/b.png")
        origin = await origins.get(DEFAULT_CUSTOMER, other)
        assert await origins.read(origin) is None
        assert key not in world.blobs.data
        assert await origins.refetch(DEFAULT_CUSTOMER, other) == origin
        assert await origins.read(origin) == b"picture"
        assert len(world.probed) == 1
