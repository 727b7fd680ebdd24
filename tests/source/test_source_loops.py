"""Who a request came through: what is sent on, and what is refused."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web
from origin_servers import make_fetcher, serving
from origin_world import World, at

from pellucid.customers.customer import DEFAULT_CUSTOMER
from pellucid.errors import LoopDetectedError, OriginError, PellucidError
from pellucid.source.fetch import Fetcher
from pellucid.source.loops import Trail, current_trail, following, read_trail

OURS = "pellucid-000000000000"
OTHERS = [f"pellucid-{number:012x}" for number in range(1, 10)]


@pytest.mark.parametrize(
    ("cdn_loop", "sent"),
    [
        ("", OURS),
        ("cloudflare; subreqs=1", f"cloudflare; subreqs=1, {OURS}"),
        ('a.example:80; x="1, 2" ,b', f'a.example:80; x="1, 2" ,b, {OURS}'),
        (OTHERS[0], f"{OTHERS[0]}, {OURS}"),
        ("not (a) list", OURS),
        (", ,", OURS),
        ("\xff", OURS),
    ],
)
def test_cdn_loop_is_appended_to(cdn_loop: str, sent: str) -> None:
    trail = Trail(cdn_loop=cdn_loop)
    trail.check(OURS)
    assert trail.next_headers(OURS)["CDN-Loop"] == sent


@pytest.mark.parametrize(
    ("via", "sent"),
    [
        ("", f"1.1 {OURS}"),
        ("1.1 varnish (Varnish/7.1), 2 edge", f"1.1 varnish (Varnish/7.1), 2 edge, 1.1 {OURS}"),
        ("a\r\nX: 1", f"1.1 {OURS}"),
    ],
)
def test_via_is_appended_to(via: str, sent: str) -> None:
    assert Trail(via=via).next_headers(OURS)["Via"] == sent


@pytest.mark.parametrize(
    "trail",
    [
        Trail(cdn_loop=OURS),
        Trail(cdn_loop=f"edge; x=1, {OURS}; y=2, {OTHERS[0]}"),
        Trail(cdn_loop=f"((malformed {OURS}"),
        Trail(via=f"1.1 {OURS}"),
        Trail(cdn_loop=", ".join(OTHERS[:4])),
        Trail(cdn_loop="edge, " * 1000),
    ],
)
def test_circles_are_refused(trail: Trail) -> None:
    with pytest.raises(LoopDetectedError):
        trail.check(OURS)


def test_a_few_others_may_be_in_front() -> None:
    Trail(cdn_loop=", ".join(OTHERS[:3]), via=", ".join(f"1.1 {each}" for each in OTHERS[:3])).check(OURS)
    Trail(cdn_loop="pellucid-0000000000001, my-pellucid-000000000000x").check(OURS)


def test_headers_of_one_name_are_one_list() -> None:
    headers = [(b"cdn-loop", b"a"), (b"accept", b"*/*"), (b"cdn-loop", b"b"), (b"via", b"1.1 c")]
    assert read_trail(headers) == Trail(cdn_loop="a, b", via="1.1 c")
    assert not read_trail([(b"accept", b"*/*")])


def test_hostile_headers_cost_linear_time() -> None:
    began = time.monotonic()
    for bait in ("a; " * 600, "a" + " " * 1900 + "(", ("a;b=" + '"' * 10 + ",") * 150, "a,  " * 490 + "("):
        Trail(cdn_loop=bait).next_headers(OURS)
    assert time.monotonic() - began < 1


async def test_every_hop_of_a_fetch_says_who_asks(fetcher: Fetcher) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/a":
            return web.Response(status=302, headers={"Location": "/b"})
        return web.Response(body=b"x")

    async with serving(answer) as server:
        with following(Trail(cdn_loop="edge", via="1.1 edge")):
            await asyncio.create_task(fetcher.fetch(f"{server.url}/a"))
        assert not current_trail()
        assert [
            (request.headers["CDN-Loop"], request.headers["Via"], len(request.headers.getall("CDN-Loop")))
            for request in server.requests
        ] == [(f"edge, {OURS}", f"1.1 edge, 1.1 {OURS}", 1)] * 2


async def test_a_circle_is_not_fetched(fetcher: Fetcher) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x")

    async with serving(answer) as server:
        with following(Trail(cdn_loop=OURS)), pytest.raises(LoopDetectedError):
            await fetcher.fetch(server.url)
        assert not server.requests


async def test_a_508_is_a_circle_and_one_of_this_request_no_longer(world: World) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=508) if "edge" in request.headers["CDN-Loop"] else web.Response(body=b"picture")

    async with serving(answer) as server, make_fetcher() as fetcher:
        origins, ref = world.origins(fetcher), at(server)
        with following(Trail(cdn_loop="edge")), pytest.raises(LoopDetectedError, match="508"):
            await origins.get(DEFAULT_CUSTOMER, ref)
        await origins.get(DEFAULT_CUSTOMER, ref)  # at once, for who did not come that way


@pytest.mark.parametrize("status", [403, 404, 500, 508, 200])
async def test_what_an_origin_refuses_for_its_trail_is_not_refused_to_others(world: World, status: int) -> None:
    """Whoever likes may send `CDN-Loop`; some origins answer what looks odd with an error, or with a page."""

    async def answer(request: web.Request) -> web.Response:
        odd = "odd" in request.headers["CDN-Loop"]
        return web.Response(status=status, body=b"<html>") if odd else web.Response(body=b"picture")

    async with serving(answer) as server, make_fetcher() as fetcher:
        origins, ref = world.origins(fetcher), at(server)
        for _ in range(2):
            with following(Trail(cdn_loop="odd")), pytest.raises(PellucidError):
                await origins.get(DEFAULT_CUSTOMER, ref)
        assert len(server.requests) == 1, "those that come the same way are told again"
        with following(Trail(cdn_loop="edge")):
            await origins.get(DEFAULT_CUSTOMER, ref)
        assert (await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)).size_bytes == len(b"picture")
        assert len(server.requests) == 2


async def test_a_trail_does_not_keep_old_bytes_alive(world: World) -> None:
    body = b"old"

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=500) if "odd" in request.headers["CDN-Loop"] else web.Response(body=body)

    async with serving(answer) as server, make_fetcher() as fetcher:
        origins, ref = world.origins(fetcher), at(server)
        old = await origins.get(DEFAULT_CUSTOMER, ref)
        body = b"the new one"
        world.now += 10
        world.invalidate(ref)
        world.hears(origins)
        world.now += 1
        for _ in range(2):
            with following(Trail(cdn_loop="odd")):
                assert (await origins.get(DEFAULT_CUSTOMER, ref)).digest == old.digest, "they stand in"
        assert len(server.requests) == 2
        assert (await origins.get(DEFAULT_CUSTOMER, ref)).size_bytes == len(body)
        world.now += 11
        with following(Trail(cdn_loop="odd")):
            assert (await origins.get(DEFAULT_CUSTOMER, ref)).size_bytes == len(body)


async def test_a_508_for_everybody_is_left_alone_for_a_while(world: World) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=508)

    async with serving(answer) as server, make_fetcher() as fetcher:
        origins, ref = world.origins(fetcher), at(server, scheme="http")
        for _ in range(2):
            with pytest.raises(OriginError) as caught:
                await origins.get(DEFAULT_CUSTOMER, ref)
            assert type(caught.value) is LoopDetectedError
        assert len(server.requests) == 1
        world.now += 11
        with pytest.raises(LoopDetectedError):
            await origins.get(DEFAULT_CUSTOMER, ref)
        assert len(server.requests) == 2
