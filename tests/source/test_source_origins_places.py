"""The origin cache: schemes, aliases and rules."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from origin_servers import FRESHNESS, Server, make_fetcher, make_tls_contexts, serving, serving_raw
from origin_world import LIMITS, Picture, World, at, showing

from pellucid.customers.customer import DEFAULT_CUSTOMER, Customer
from pellucid.errors import (
    OriginNotFoundError,
    OriginRefusedError,
    OriginUnreachableError,
    PellucidError,
)
from pellucid.source.fetch import Fetcher
from pellucid.source.netguard import Guard
from pellucid.spec import OriginRef, Token


async def test_http_is_tried_when_https_is_not_spoken_and_remembered(world: World, fetcher: Fetcher) -> None:
    """A plain server logs a TLS greeting as a bad request: counted by a raw server that tells the two apart."""
    greetings = requests = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal greetings, requests
        first = await reader.read(1)
        if first == b"\x16":
            greetings += 1
        elif first:
            requests += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    host = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        origins = world.origins(fetcher)
        first, second = OriginRef(host=host, path="/1"), OriginRef(host=host, path="/2")
        origin = await origins.get(DEFAULT_CUSTOMER, first)
        assert origin.url == f"http://{host}/1"
        assert (greetings, requests) == (1, 1)
        await origins.get(DEFAULT_CUSTOMER, second)
        assert (greetings, requests) == (1, 2)
        # Another token learns for itself. After a restart the record knows.
        await origins.get(Customer(token=Token("other")), second)
        assert (greetings, requests) == (2, 3)
        world.now += FRESHNESS.default_s + 1
        await world.origins(fetcher).get(DEFAULT_CUSTOMER, first)
        assert (greetings, requests) == (2, 4)
    finally:
        listener.close()
        await listener.wait_closed()


async def test_a_status_over_http_counts_as_working(world: World, fetcher: Fetcher) -> None:
    picture = Picture(status=500)
    async with serving(picture.answer) as server:
        origins = world.origins(fetcher)
        with pytest.raises(OriginUnreachableError, match="500"):
            await origins.get(DEFAULT_CUSTOMER, at(server, scheme=None))
        assert len(picture.seen) == 1


async def test_a_silent_port_costs_one_short_wait_for_tls(world: World, fetcher: Fetcher) -> None:
    async with serving_raw(b"", hold=True, wait_for_request=False) as server:
        origins = world.origins(fetcher)
        with pytest.raises(PellucidError):
            await origins.get(DEFAULT_CUSTOMER, OriginRef(host=f"127.0.0.1:{server.port}", path="/"))
        assert server.connections == 2


async def test_no_scheme_works(world: World, fetcher: Fetcher) -> None:
    async with serving_raw(b"") as server:
        ref = OriginRef(host=f"127.0.0.1:{server.port}", path="/a.png")
    with pytest.raises(OriginUnreachableError, match="accepts no connection"):
        await world.origins(fetcher).get(DEFAULT_CUSTOMER, ref)


async def test_https_first_and_never_in_clear_again(world: World, tmp_path: Path) -> None:
    tls, trusting = make_tls_contexts(tmp_path)
    async with make_fetcher(limits=LIMITS, ssl_context=trusting) as fetcher:
        origins = world.origins(fetcher)
        async with _secure(tls) as (server, picture):
            origin = await origins.get(DEFAULT_CUSTOMER, at(server, scheme=None))
            assert origin.url == f"https://{server.host}/a.png"
            picture.status = 404
            with pytest.raises(OriginNotFoundError):  # an answer: http is not asked
                await origins.get(DEFAULT_CUSTOMER, at(server, "/b.png", scheme=None))
        dialled: list[bytes] = []

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            dialled.append(await reader.read(1))
            writer.close()

        listener = await asyncio.start_server(listen, "127.0.0.1", server.port)
        with pytest.raises(OriginUnreachableError):
            await origins.get(DEFAULT_CUSTOMER, at(server, "/c.png", scheme=None))
        listener.close()
        await listener.wait_closed()
        assert set(dialled) == {b"\x16"}


# --- aliases and rules ---


async def test_file_alias(world: World, fetcher: Fetcher, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a b.png").write_bytes(b"picture")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / "link.png").symlink_to("../secret.png")
    origins = world.origins(fetcher)
    customer = replace(DEFAULT_CUSTOMER, aliases={"_files_": folder.as_uri()}, allow_hosts=("example.com",))
    origin = await origins.get(customer, OriginRef(alias="_files_", path="/a%20b.png"))
    assert await origins.read(origin) == b"picture"
    assert origin.url == "_files_/a%20b.png"
    for path in ("/../secret.png", "/%2e%2e/secret.png", "/..%2fsecret.png", "/link.png", "/nothing.png", "/"):
        with pytest.raises(OriginNotFoundError):
            await origins.get(customer, OriginRef(alias="_files_", path=path))
    (folder / "a b.png").write_bytes(b"changed picture")
    world.now += FRESHNESS.min_s + 1
    changed = await origins.get(customer, OriginRef(alias="_files_", path="/a%20b.png"))
    assert await origins.read(changed) == b"changed picture"


async def test_an_alias_that_is_changed_voids_its_records(world: World, fetcher: Fetcher) -> None:
    async with serving(Picture(body=b"one").answer) as one, serving(Picture(body=b"two!").answer) as two:
        ref = OriginRef(alias="_shop_", path="/a.png")
        before, after = (replace(DEFAULT_CUSTOMER, aliases={"_shop_": each.url}) for each in (one, two))
        first = await world.origins(fetcher).get(before, ref)
        second = await world.origins(fetcher).get(after, ref)
        assert (first.size_bytes, second.size_bytes) == (3, 4)


async def test_an_alias_is_that_of_the_customer(world: World, fetcher: Fetcher) -> None:
    """Also when both are known, after a start, and when bytes are fetched again."""
    ref = OriginRef(alias="_shop_", path="/a.png")
    async with serving(Picture(body=b"one").answer) as one, serving(Picture(body=b"two!").answer) as two:
        customers = [
            Customer(token=Token("one"), aliases={"_shop_": one.url}),
            Customer(token=Token("two"), aliases={"_shop_": two.url}),
        ]
        origins = world.origins(fetcher)
        for process in (origins, origins, world.origins(fetcher)):
            seen = [await process.read(await process.get(each, ref)) for each in customers]
            assert seen == [b"one", b"two!"]
        assert (len(one.requests), len(two.requests)) == (1, 1)
        world.blobs.data.clear()
        again = [await origins.refetch(each, ref) for each in customers]
        assert [await origins.read(each) for each in again] == [b"one", b"two!"]
        with pytest.raises(OriginNotFoundError, match="no alias _shop_"):
            await origins.get(DEFAULT_CUSTOMER, ref)


async def test_hosts_outside_the_list_are_refused_even_when_known(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        origins = world.origins(fetcher)
        await origins.get(DEFAULT_CUSTOMER, ref)
        strict = replace(DEFAULT_CUSTOMER, aliases={"_own_": server.url}, allow_hosts=("example.com",))
        with pytest.raises(OriginRefusedError, match="ALLOW_HOSTS"):
            await origins.get(strict, ref)
        await origins.get(strict, OriginRef(alias="_own_", path="/a.png"))


async def test_redirects_lead_where_the_customer_may_fetch(world: World, fetcher: Fetcher) -> None:
    async with serving(Picture().answer) as target:

        async def redirect(_: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": f"http://127.0.0.2:{target.port}/a.png"})

        async with serving(redirect) as server:
            ref = OriginRef(alias="_own_", path="/a.png")
            origins = world.origins(fetcher)
            strict = Customer(token=Token("strict"), aliases={"_own_": server.url}, allow_hosts=("example.com",))
            with pytest.raises(OriginRefusedError, match="redirects to a host"):
                await origins.get(strict, ref)
            with pytest.raises(OriginUnreachableError, match="accepts no connection"):  # nobody listens there
                await origins.get(replace(strict, token=Token("lax"), allow_hosts=("127.0.0.2",)), ref)
            assert not target.requests


async def test_a_refused_network_reaches_the_caller_and_is_remembered(world: World) -> None:
    async with showing(Picture()) as (server, _):
        async with make_fetcher(guard=Guard(allow_ports=None)) as fetcher:
            origins = world.origins(fetcher)
            for _ in range(2):
                with pytest.raises(OriginRefusedError, match="ALLOW_NETWORKS"):
                    await origins.get(DEFAULT_CUSTOMER, at(server, scheme=None))
        assert not server.requests


@asynccontextmanager
async def _secure(tls: ssl.SSLContext) -> AsyncGenerator[tuple[Server, Picture]]:
    picture = Picture()
    async with serving(picture.answer, tls=tls) as server:
        yield server, picture
