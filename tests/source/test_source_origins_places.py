"""The origin cache: schemes, aliases and rules."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from origin_servers import FRESHNESS, Server, make_fetcher, make_tls_contexts, serving, serving_raw
from origin_world import LIMITS, Picture, World, at, showing

from pellucid.errors import (
    OriginNotFoundError,
    OriginRefusedError,
    OriginUnreachableError,
    PellucidError,
    SettingsError,
)
from pellucid.source.fetch import Fetcher
from pellucid.source.netguard import Guard
from pellucid.spec import DEFAULT_TOKEN, OriginRef, Token


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
        origin = await origins.get(DEFAULT_TOKEN, first)
        assert origin.url == f"http://{host}/1"
        assert (greetings, requests) == (1, 1)
        await origins.get(DEFAULT_TOKEN, second)
        assert (greetings, requests) == (1, 2)
        # Another token learns for itself. After a restart the record knows.
        await origins.get(Token("other"), second)
        assert (greetings, requests) == (2, 3)
        world.now += FRESHNESS.default_s + 1
        await world.origins(fetcher).get(DEFAULT_TOKEN, first)
        assert (greetings, requests) == (2, 4)
    finally:
        listener.close()
        await listener.wait_closed()


async def test_a_status_over_http_counts_as_working(world: World, fetcher: Fetcher) -> None:
    picture = Picture(status=500)
    async with serving(picture.answer) as server:
        origins = world.origins(fetcher)
        with pytest.raises(OriginUnreachableError, match="500"):
            await origins.get(DEFAULT_TOKEN, at(server, scheme=None))
        assert len(picture.seen) == 1


async def test_a_silent_port_costs_one_short_wait_for_tls(world: World, fetcher: Fetcher) -> None:
    async with serving_raw(b"", hold=True, wait_for_request=False) as server:
        origins = world.origins(fetcher)
        with pytest.raises(PellucidError):
            await origins.get(DEFAULT_TOKEN, OriginRef(host=f"127.0.0.1:{server.port}", path="/"))
        assert server.connections == 2


async def test_no_scheme_works(world: World, fetcher: Fetcher) -> None:
    async with serving_raw(b"") as server:
        ref = OriginRef(host=f"127.0.0.1:{server.port}", path="/a.png")
    with pytest.raises(OriginUnreachableError, match="accepts no connection"):
        await world.origins(fetcher).get(DEFAULT_TOKEN, ref)


async def test_https_first_and_never_in_clear_again(world: World, tmp_path: Path) -> None:
    tls, trusting = make_tls_contexts(tmp_path)
    async with make_fetcher(limits=LIMITS, ssl_context=trusting) as fetcher:
        origins = world.origins(fetcher)
        async with _secure(tls) as (server, picture):
            origin = await origins.get(DEFAULT_TOKEN, at(server, scheme=None))
            assert origin.url == f"https://{server.host}/a.png"
            picture.status = 404
            with pytest.raises(OriginNotFoundError):  # an answer: http is not asked
                await origins.get(DEFAULT_TOKEN, at(server, "/b.png", scheme=None))
        dialled: list[bytes] = []

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            dialled.append(await reader.read(1))
            writer.close()

        listener = await asyncio.start_server(listen, "127.0.0.1", server.port)
        with pytest.raises(OriginUnreachableError):
            await origins.get(DEFAULT_TOKEN, at(server, "/c.png", scheme=None))
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
    origins = world.origins(fetcher, aliases={"_files_": folder.as_uri()}, allow_hosts=("example.com",))
    origin = await origins.get(DEFAULT_TOKEN, OriginRef(alias="_files_", path="/a%20b.png"))
    assert await origins.read(origin) == b"picture"
    assert origin.url == "_files_/a%20b.png"
    for path in ("/../secret.png", "/%2e%2e/secret.png", "/..%2fsecret.png", "/link.png", "/nothing.png", "/"):
        with pytest.raises(OriginNotFoundError):
            await origins.get(DEFAULT_TOKEN, OriginRef(alias="_files_", path=path))
    (folder / "a b.png").write_bytes(b"changed picture")
    world.now += FRESHNESS.min_s + 1
    changed = await origins.get(DEFAULT_TOKEN, OriginRef(alias="_files_", path="/a%20b.png"))
    assert await origins.read(changed) == b"changed picture"


async def test_an_alias_that_is_changed_voids_its_records(world: World, fetcher: Fetcher) -> None:
    async with serving(Picture(body=b"one").answer) as one, serving(Picture(body=b"two!").answer) as two:
        ref = OriginRef(alias="_shop_", path="/a.png")
        first = await world.origins(fetcher, aliases={"_shop_": one.url}).get(DEFAULT_TOKEN, ref)
        second = await world.origins(fetcher, aliases={"_shop_": two.url}).get(DEFAULT_TOKEN, ref)
        assert (first.size_bytes, second.size_bytes) == (3, 4)


async def test_hosts_outside_the_list_are_refused_even_when_known(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        await world.origins(fetcher).get(DEFAULT_TOKEN, ref)
        with pytest.raises(OriginRefusedError, match="ALLOW_HOSTS"):
            await world.origins(fetcher, allow_hosts=("example.com",)).get(DEFAULT_TOKEN, ref)
        alias = world.origins(fetcher, aliases={"_own_": server.url}, allow_hosts=("example.com",))
        await alias.get(DEFAULT_TOKEN, OriginRef(alias="_own_", path="/a.png"))


async def test_a_refused_network_reaches_the_caller_and_is_remembered(world: World) -> None:
    async with showing(Picture()) as (server, _):
        async with make_fetcher(guard=Guard(allow_ports=None)) as fetcher:
            origins = world.origins(fetcher)
            for _ in range(2):
                with pytest.raises(OriginRefusedError, match="ALLOW_NETWORKS"):
                    await origins.get(DEFAULT_TOKEN, at(server, scheme=None))
        assert not server.requests


async def test_bad_settings_are_told_at_the_start(world: World, fetcher: Fetcher) -> None:
    with pytest.raises(SettingsError):
        world.origins(fetcher, aliases={"_x_": "ftp://example.com"})
    with pytest.raises(SettingsError):
        world.origins(fetcher, allow_hosts=("not a host",))


@asynccontextmanager
async def _secure(tls: ssl.SSLContext) -> AsyncGenerator[tuple[Server, Picture]]:
    picture = Picture()
    async with serving(picture.answer, tls=tls) as server:
        yield server, picture
