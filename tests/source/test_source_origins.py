"""The origin cache: who is asked, how often, and what is served when nobody answers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from memory_blobs import MemoryBlobs
from origin_servers import FRESHNESS, Server, make_fetcher, make_tls_contexts, serving, serving_raw

from pellucid import keys
from pellucid.errors import (
    BusyError,
    ImageError,
    ImageLimitError,
    OriginForbiddenError,
    OriginNotFoundError,
    OriginRefusedError,
    OriginTooLargeError,
    OriginUnreachableError,
    PellucidError,
    RenderError,
    SettingsError,
    StoreError,
    UnsupportedFormatError,
)
from pellucid.formats import ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.source.fetch import Fetcher
from pellucid.source.limits import FetchLimits
from pellucid.source.netguard import Guard
from pellucid.source.origins import Origins
from pellucid.spec import DEFAULT_TOKEN, OriginRef, Token

LIMITS = FetchLimits(max_bytes=1000, connect_timeout_s=0.5, total_timeout_s=3, idle_timeout_s=0.5)


@dataclass
class Picture:
    """What the origin server has at the moment, and how it answers."""

    body: bytes = b"picture"
    etag: str | None = '"1"'
    status: int = 200
    cache_control: str | None = None
    wait_for: asyncio.Event | None = None
    seen: list[str | None] = field(default_factory=list[str | None])

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append(request.headers.get("If-None-Match"))
        if self.wait_for is not None:
            await self.wait_for.wait()
        headers = {"ETag": self.etag} if self.etag else {}
        if self.cache_control:
            headers["Cache-Control"] = self.cache_control
        if self.etag and self.status == 200 and request.headers.get("If-None-Match") == self.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(status=self.status, body=self.body, headers=headers)


class World:
    """A cache over stores that outlive it, with a clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.records = MemoryBlobs()
        self.blobs = MemoryBlobs()
        self.probed: list[bytes] = []
        self.probe_error: PellucidError | None = None

    async def probe(self, data: bytes) -> ImageFacts:
        self.probed.append(data)
        if self.probe_error is not None:
            raise self.probe_error
        return ImageFacts(format=ImageFormat.PNG, width=len(data), height=1, has_alpha=False)

    def origins(
        self, fetcher: Fetcher, *, aliases: dict[str, str] | None = None, allow_hosts: tuple[str, ...] = ()
    ) -> Origins:
        return Origins(
            fetcher=fetcher,
            records=self.records,
            blobs=self.blobs,
            probe=self.probe,
            aliases=aliases or {},
            allow_hosts=allow_hosts,
            freshness=FRESHNESS,
            clock=lambda: self.now,
        )


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def fetcher() -> AsyncGenerator[Fetcher]:
    async with make_fetcher(limits=LIMITS) as fetcher:
        yield fetcher


@asynccontextmanager
async def showing(picture: Picture) -> AsyncGenerator[tuple[Server, OriginRef]]:
    async with serving(picture.answer) as server:
        yield server, at(server)


def at(server: Server, path: str = "/a.png", *, scheme: str | None = "http") -> OriginRef:
    return OriginRef(scheme=scheme, host=server.host, path=path)


async def test_fetch_once_then_from_memory(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        origins = world.origins(fetcher)
        origin = await origins.get(DEFAULT_TOKEN, ref)
        assert origin.digest == keys.digest(b"picture")
        assert (origin.size_bytes, origin.facts.width, origin.url) == (7, 7, f"{server.url}/a.png")
        assert await origins.read(origin) == b"picture"
        calls = world.records.calls.total() + world.blobs.calls["exists"]
        assert await origins.get(DEFAULT_TOKEN, ref) == origin
        assert world.records.calls.total() + world.blobs.calls["exists"] == calls
        assert len(server.requests) == 1


async def test_the_store_outlives_the_process(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        origin = await world.origins(fetcher).get(DEFAULT_TOKEN, ref)
        assert await world.origins(fetcher).get(DEFAULT_TOKEN, ref) == origin
        assert len(server.requests) == len(world.probed) == 1


async def test_tokens_do_not_share_records(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        origins = world.origins(fetcher)
        await origins.get(Token("one"), ref)
        await origins.get(Token("two"), ref)
        assert len(server.requests) == 2


async def test_revalidation_keeps_what_did_not_change(world: World, fetcher: Fetcher) -> None:
    picture = Picture(cache_control="max-age=100")
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        origin = await origins.get(DEFAULT_TOKEN, ref)
        picture.cache_control = None  # the 304 says nothing: the lifetime of before goes on
        for _ in range(2):
            world.now += 101
            assert await origins.get(DEFAULT_TOKEN, ref) == origin
            world.now += 98
            assert await origins.get(DEFAULT_TOKEN, ref) == origin
        assert picture.seen == [None, '"1"', '"1"']
        assert len(world.probed) == 1


async def test_revalidation_takes_what_changed(world: World, fetcher: Fetcher) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        await origins.get(DEFAULT_TOKEN, ref)
        picture.body, picture.etag = b"new picture", '"2"'
        world.now += FRESHNESS.default_s + 1
        origin = await origins.get(DEFAULT_TOKEN, ref)
        assert await origins.read(origin) == b"new picture"
        assert picture.seen == [None, '"1"']
        assert len(world.probed) == 2


async def test_the_same_bytes_without_validators_are_not_probed_again(world: World, fetcher: Fetcher) -> None:
    picture = Picture(etag=None)
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        origin = await origins.get(DEFAULT_TOKEN, ref)
        world.now += FRESHNESS.default_s + 1
        assert await origins.get(DEFAULT_TOKEN, ref) == origin
        assert picture.seen == [None, None]
        assert len(world.probed) == 1


async def test_stale_is_served_while_the_origin_is_down(world: World, fetcher: Fetcher) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        origin = await origins.get(DEFAULT_TOKEN, ref)
        picture.status = 503
        world.now += FRESHNESS.default_s + 1
        for _ in range(3):
            assert await origins.get(DEFAULT_TOKEN, ref) == origin
        assert len(picture.seen) == 2
        assert await world.origins(fetcher).get(DEFAULT_TOKEN, ref) == origin  # after a restart as well
        assert len(picture.seen) == 2
        world.now += FRESHNESS.failure_s + 1
        picture.status = 200
        assert await origins.get(DEFAULT_TOKEN, ref) == origin
        assert picture.seen[1:] == ['"1"', '"1"']
    world.now += FRESHNESS.default_s + 1
    assert await origins.get(DEFAULT_TOKEN, ref) == origin  # nobody listens any more


async def test_an_origin_that_is_gone_is_gone(world: World, fetcher: Fetcher) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        await origins.get(DEFAULT_TOKEN, ref)
        picture.status = 404
        world.now += FRESHNESS.default_s + 1
        with pytest.raises(OriginNotFoundError):
            await origins.get(DEFAULT_TOKEN, ref)


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
                    await origins.get(DEFAULT_TOKEN, ref)
                with pytest.raises(error):
                    await origins.refetch(DEFAULT_TOKEN, ref)
        assert len(server.requests) == 1
        world.now += rest_s + 1
        with pytest.raises(error):
            await origins.get(DEFAULT_TOKEN, ref)
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
                    await origins.get(DEFAULT_TOKEN, ref)
                assert type(caught.value) is type(error)
        assert len(server.requests) == len(world.probed) == 1
        assert not world.blobs.data
        world.now += rest_s + 1
        world.probe_error = None
        await origins.get(DEFAULT_TOKEN, ref)
        assert len(server.requests) == 2


async def test_being_busy_is_not_held_against_the_origin(world: World, fetcher: Fetcher) -> None:
    world.probe_error = BusyError("later")
    async with showing(Picture()) as (_, ref):
        origins = world.origins(fetcher)
        with pytest.raises(BusyError):
            await origins.get(DEFAULT_TOKEN, ref)
        world.probe_error = None
        await origins.get(DEFAULT_TOKEN, ref)


async def test_evicted_bytes_are_fetched_again(world: World, fetcher: Fetcher) -> None:
    picture = Picture()
    async with showing(picture) as (_, ref):
        origins = world.origins(fetcher)
        origin = await origins.get(DEFAULT_TOKEN, ref)
        world.blobs.evict("bytes")
        assert await origins.read(origin) is None
        again = await asyncio.gather(*(origins.refetch(DEFAULT_TOKEN, ref) for _ in range(5)))
        assert set(again) == {origin}
        assert await origins.read(origin) == b"picture"
        assert await origins.refetch(DEFAULT_TOKEN, ref) == origin  # bytes are there: nobody is asked
        assert picture.seen == [None, None]

        world.blobs.evict("bytes")
        world.now += 60  # fresh still, but the bytes were not looked at for a while
        await origins.get(DEFAULT_TOKEN, ref)
        assert await origins.read(origin) == b"picture"
        assert picture.seen == [None, None, None]

        world.blobs.evict("bytes")
        world.now += FRESHNESS.default_s
        picture.status = 500
        with pytest.raises(OriginUnreachableError):  # a stale record without bytes is of no use
            await origins.get(DEFAULT_TOKEN, ref)


async def test_fifty_at_once_are_one_request(world: World, fetcher: Fetcher) -> None:
    picture = Picture(wait_for=asyncio.Event())
    async with showing(picture) as (server, ref):
        origins = world.origins(fetcher)
        calls = [asyncio.create_task(origins.get(DEFAULT_TOKEN, ref)) for _ in range(50)]
        await _until(lambda: len(server.requests) == 1)
        assert picture.wait_for is not None
        picture.wait_for.set()
        assert len(set(await asyncio.gather(*calls))) == 1
        assert len(server.requests) == 1


async def test_a_waiter_that_leaves_takes_nobody_along(world: World, fetcher: Fetcher) -> None:
    picture = Picture(wait_for=asyncio.Event())
    async with showing(picture) as (server, ref):
        origins = world.origins(fetcher)
        calls = [asyncio.create_task(origins.get(DEFAULT_TOKEN, ref)) for _ in range(3)]
        await _until(lambda: len(server.requests) == 1)
        calls[0].cancel()
        await asyncio.sleep(0)
        assert picture.wait_for is not None
        picture.wait_for.set()
        assert await calls[1] == await calls[2]
        assert calls[0].cancelled()
        assert len(server.requests) == 1


# --- schemes ---


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


# --- stores that fail or rot ---


async def test_a_damaged_record_is_no_record(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        await world.origins(fetcher).get(DEFAULT_TOKEN, ref)
        world.records.data = dict.fromkeys(world.records.data, b'{"type":"ori')
        await world.origins(fetcher).get(DEFAULT_TOKEN, ref)
        assert len(server.requests) == 2


async def test_a_full_store(world: World, fetcher: Fetcher) -> None:
    async with showing(Picture()) as (server, ref):
        origins = world.origins(fetcher)
        world.records.read_only = True
        await origins.get(DEFAULT_TOKEN, ref)  # the record is a help, no more
        assert len(server.requests) == 1
        world.blobs.read_only = True
        world.blobs.evict("bytes")
        with pytest.raises(StoreError):
            await origins.refetch(DEFAULT_TOKEN, ref)


@asynccontextmanager
async def _secure(tls: ssl.SSLContext) -> AsyncGenerator[tuple[Server, Picture]]:
    picture = Picture()
    async with serving(picture.answer, tls=tls) as server:
        yield server, picture


async def _until(condition: Callable[[], bool], *, patience_s: float = 10) -> None:
    async with asyncio.timeout(patience_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a server, not in an event
            await asyncio.sleep(0.005)
