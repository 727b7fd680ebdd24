"""The guarded client against real servers on loopback, most of which misbehave."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import time
import tracemalloc
import zlib
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from origin_servers import FRESHNESS, LOOPBACK, make_fetcher, make_tls_contexts, serving, serving_raw

from pellucid.errors import (
    BusyError,
    OriginError,
    OriginForbiddenError,
    OriginNotFoundError,
    OriginRefusedError,
    OriginTimeoutError,
    OriginTooLargeError,
    OriginUnreachableError,
)
from pellucid.source.answers import Fetched, NotModified, Validators
from pellucid.source.fetch import ConnectTimeoutError, Fetcher, NoConnectionError
from pellucid.source.limits import FetchLimits
from pellucid.source.netguard import Guard

SHORT = FetchLimits(
    max_bytes=100_000,
    connect_timeout_s=0.5,
    total_timeout_s=2,
    idle_timeout_s=0.5,
    max_redirects=3,
    max_header_bytes=4096,
)
CLOSED = Guard(allow_ports=None)


async def fetch(
    url: str,
    *,
    guard: Guard = LOOPBACK,
    limits: FetchLimits = SHORT,
    validators: Validators | None = None,
    allow_hosts: tuple[str, ...] = (),
) -> Fetched | NotModified:
    async with make_fetcher(guard=guard, limits=limits, allow_hosts=allow_hosts) as fetcher:
        return await fetcher.fetch(url, validators=validators)


async def test_whole_answer() -> None:
    async def answer(request: web.Request) -> web.Response:
        headers = {"ETag": '"v1"', "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT", "Cache-Control": "max-age=120"}
        return web.Response(body=b"picture", content_type="image/png", headers=headers)

    async with serving(answer) as server:
        fetched = await fetch(f"{server.url}/a/%2e%2E/b%2Fc%20d/%C3%BC?q=%20+%2F&;=1")
        request = server.requests[0]
    assert fetched == Fetched(
        body=b"picture",
        validators=Validators(etag='"v1"', last_modified="Sun, 06 Nov 1994 08:49:37 GMT"),
        fresh_s=120,
        content_type="image/png",
        url=f"{server.url}/a/%2e%2E/b%2Fc%20d/%C3%BC?q=%20+%2F&;=1",
    )
    assert request.raw_path == "/a/%2e%2E/b%2Fc%20d/%C3%BC?q=%20+%2F&;=1"
    assert request.headers["User-Agent"].startswith("Pellucid/")
    assert request.headers["Accept"] == "image/*,*/*;q=0.5"
    assert "Cookie" not in request.headers


@pytest.mark.parametrize(
    ("cache_control", "fresh_s"),
    [
        ("", FRESHNESS.default_s),
        ("max-age=1", FRESHNESS.min_s),
        ("no-store", FRESHNESS.min_s),
        ("max-age=99999999", FRESHNESS.max_s),
        ("max-age=100, s-maxage=200", 200),
    ],
)
async def test_freshness_is_clamped(cache_control: str, fresh_s: float) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x", headers={"Cache-Control": cache_control} if cache_control else {})

    async with serving(answer) as server:
        fetched = await fetch(server.url)
    assert isinstance(fetched, Fetched)
    assert fetched.fresh_s == fresh_s


async def test_conditional_request() -> None:
    async def answer(request: web.Request) -> web.Response:
        unchanged = request.headers.get("If-None-Match") == '"v1"' and "If-Modified-Since" in request.headers
        return (
            web.Response(status=304, headers={"Cache-Control": "max-age=90"}) if unchanged else web.Response(body=b"x")
        )

    known = Validators(etag='"v1"', last_modified="Sun, 06 Nov 1994 08:49:37 GMT")
    async with serving(answer) as server:
        assert await fetch(server.url, validators=known) == NotModified(validators=Validators(), fresh_s=90)
        assert isinstance(await fetch(server.url), Fetched)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, OriginNotFoundError),
        (410, OriginNotFoundError),
        (401, OriginForbiddenError),
        (403, OriginForbiddenError),
        (204, OriginUnreachableError),
        (206, OriginUnreachableError),
        (300, OriginUnreachableError),
        (302, OriginUnreachableError),  # without Location
        (304, OriginUnreachableError),  # nobody asked
        (400, OriginUnreachableError),
        (429, OriginUnreachableError),
        (500, OriginUnreachableError),
        (503, OriginUnreachableError),
    ],
)
async def test_statuses(status: int, error: type[OriginError]) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status)

    async with serving(answer) as server:
        with pytest.raises(error, match=str(status)) as caught:
            await fetch(server.url)
    assert type(caught.value) is error


async def test_empty_body() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"")

    async with serving(answer) as server:
        with pytest.raises(OriginUnreachableError, match="empty"):
            await fetch(server.url)


# --- redirects ---


async def test_redirects_are_followed_and_the_last_address_reported() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/end":
            return web.Response(body=b"x")
        target = {"/a": "b", "/b": "//user:secret@" + request.host + "/c", "/c": "/end"}[request.path]
        return web.Response(status=307, headers={"Location": target, "Set-Cookie": "id=1"})

    async with serving(answer) as server:
        fetched = await fetch(f"{server.url}/a")
        assert isinstance(fetched, Fetched)
        assert fetched.url == f"{server.url}/end"
        assert [request.path for request in server.requests] == ["/a", "/b", "/c", "/end"]
        assert not any({"Authorization", "Cookie", "Referer"} & set(request.headers) for request in server.requests)


async def test_a_redirect_loop_ends() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/again"})

    async with serving(answer) as server:
        with pytest.raises(OriginUnreachableError, match="more than 3 times"):
            await fetch(server.url)
        assert len(server.requests) == 4


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/", "data:image/png,x", "http://127.1/"])
async def test_redirects_to_other_schemes(location: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    async with serving(answer) as server:
        with pytest.raises(OriginRefusedError):
            await fetch(server.url)


async def test_redirect_to_a_closed_network() -> None:
    async def hidden(request: web.Request) -> web.Response:
        return web.Response(body=b"secret")

    async with serving(hidden) as inner:

        async def answer(request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": f"http://127.0.0.2:{inner.port}/"})

        async with serving(answer) as server:
            with pytest.raises(OriginRefusedError, match="PELLUCID_ORIGIN_ALLOW_NETWORKS") as caught:
                await fetch(server.url, guard=Guard(allow_networks=(IPv4Network("127.0.0.1/32"),), allow_ports=None))
        assert "127" not in str(caught.value)
        assert not inner.requests


async def test_redirect_to_a_closed_port() -> None:
    async with serving(_never) as inner:

        async def answer(request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": f"{inner.url}/"})

        async with serving(answer) as server:
            guard = Guard(allow_networks=LOOPBACK.allow_networks, allow_ports=frozenset({server.port}))
            with pytest.raises(OriginRefusedError, match="ALLOW_PORTS"):
                await fetch(server.url, guard=guard)
        assert not inner.requests


async def test_redirects_obey_the_list_of_hosts() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/end":
            return web.Response(body=b"x")
        target = "/end" if request.path == "/same" else f"http://127.0.0.2:{request.url.port}/end"
        return web.Response(status=301, headers={"Location": target})

    async with serving(answer) as server:
        assert isinstance(await fetch(f"{server.url}/same", allow_hosts=("example.com",)), Fetched)
        with pytest.raises(OriginRefusedError, match="ALLOW_HOSTS"):
            await fetch(f"{server.url}/other", allow_hosts=("example.com",))


async def test_tls_and_the_way_down_from_it(tmp_path: Path) -> None:
    tls, trusting = make_tls_contexts(tmp_path)

    async def plain_answer(request: web.Request) -> web.Response:
        if request.path == "/up":
            return web.Response(status=301, headers={"Location": f"https://127.0.0.1:{secure.port}/end"})
        return web.Response(body=b"plain")

    async def secure_answer(request: web.Request) -> web.Response:
        if request.path == "/down":
            return web.Response(status=301, headers={"Location": f"{plain.url}/end"})
        return web.Response(body=b"secure")

    async with serving(plain_answer) as plain, serving(secure_answer, tls=tls) as secure:
        async with make_fetcher(ssl_context=trusting) as fetcher:
            fetched = await fetcher.fetch(f"{plain.url}/up")
            assert isinstance(fetched, Fetched)
            assert fetched.body == b"secure"
            with pytest.raises(OriginRefusedError, match="https to http"):
                await fetcher.fetch(f"https://127.0.0.1:{secure.port}/down")
        with pytest.raises(NoConnectionError, match="certificate"):
            await fetch(f"https://127.0.0.1:{secure.port}/end")


# --- the guard, where sockets are opened ---


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "0.0.0.0"]
)
async def test_loopback_is_refused_by_default(host: str) -> None:
    async with serving(_never) as server:
        with pytest.raises(OriginRefusedError, match="PELLUCID_ORIGIN_ALLOW_NETWORKS"):
            await fetch(f"http://{host}:{server.port}/", guard=CLOSED)
        assert not server.requests


@pytest.mark.parametrize("url", ["http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://a b/", "nothing"])
async def test_malformed(url: str) -> None:
    with pytest.raises(OriginUnreachableError, match="malformed"):
        await fetch(url)


class FixedResolver(AbstractResolver):
    """Resolves every name to the given addresses, which a hostile name server can do at any time; to none: fails."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if not self.addresses:
            raise OSError(socket.EAI_NONAME, "no such name")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass


def resolving_to(*addresses: str, guard: Guard) -> Fetcher:
    return Fetcher(guard=guard, limits=SHORT, freshness=FRESHNESS, resolver=FixedResolver(*addresses))


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1",), ("127.0.0.1", "127.0.0.2"), ("127.0.0.1", "::1"), ("10.0.0.1", "fd00::1", "::1")]
)
async def test_a_name_that_resolves_to_closed_networks_is_refused(addresses: tuple[str, ...]) -> None:
    async with resolving_to(*addresses, guard=CLOSED) as fetcher:
        with pytest.raises(OriginRefusedError, match="ALLOW_NETWORKS"):
            await fetcher.fetch("http://rebinding.example/a.jpg")


async def test_of_several_addresses_only_open_ones_are_dialled() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x")

    guard = Guard(allow_networks=(IPv4Network("127.0.0.1/32"),), allow_ports=None)
    async with serving(answer) as server, resolving_to("127.0.0.2", "127.0.0.1", "::1", guard=guard) as fetcher:
        assert isinstance(await fetcher.fetch(f"http://mixed.example:{server.port}/"), Fetched)
    async with resolving_to("127.0.0.2", "127.0.0.1", guard=guard) as fetcher:
        with pytest.raises(NoConnectionError):  # the open one accepts no connection any more
            await fetcher.fetch(f"http://mixed.example:{server.port}/")


async def test_proxies_and_netrc_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x")

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1/")
    async with serving(answer) as server:
        assert isinstance(await fetch(server.url), Fetched)


# --- sizes and times ---


async def test_a_gzip_bomb_stops_at_the_limit() -> None:
    packer = zlib.compressobj(level=9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(300)) + packer.flush()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    limits = FetchLimits(max_bytes=1 << 20)
    async with serving(answer) as server:
        tracemalloc.start()
        try:
            with pytest.raises(OriginTooLargeError):
                await fetch(server.url, limits=limits)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak_bytes < 32 << 20


async def test_compressed_answers_are_unpacked() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"<svg/>"), headers={"Content-Encoding": "gzip"})

    async with serving(answer) as server:
        fetched = await fetch(server.url)
    assert isinstance(fetched, Fetched)
    assert fetched.body == b"<svg/>"


async def test_a_body_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(bytes(int(request.query["n"])))
        return response

    async with serving(answer) as server:
        fetched = await fetch(f"{server.url}/?n={SHORT.max_bytes}")
        assert isinstance(fetched, Fetched)
        assert len(fetched.body) == SHORT.max_bytes
        with pytest.raises(OriginTooLargeError):
            await fetch(f"{server.url}/?n={SHORT.max_bytes + 1}")


async def test_a_huge_content_length_is_refused_before_the_body() -> None:
    async with serving_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx", hold=True) as server:
        begun = time.monotonic()
        with pytest.raises(OriginTooLargeError):
            await fetch(f"http://127.0.0.1:{server.port}/", limits=FetchLimits())
        assert time.monotonic() - begun < FetchLimits().idle_timeout_s / 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", OriginUnreachableError, id="truncated"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", OriginUnreachableError, id="chunked"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nnotgz",
            OriginUnreachableError,
            id="gzip",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 5000 + b"\r\n\r\n", NoConnectionError, id="long field"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 500) for n in range(20)) + b"\r\n",
            OriginUnreachableError,
            id="many fields",
        ),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", NoConnectionError, id="not http"),
        pytest.param(b"", NoConnectionError, id="closed at once"),
        pytest.param(
            b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe\r\nContent-Length: 0\r\n\r\n",
            OriginRefusedError,
            id="location",
        ),
    ],
)
async def test_broken_answers(answer: bytes, error: type[OriginError]) -> None:
    async with serving_raw(answer) as server:
        with pytest.raises(error) as caught:
            await fetch(f"http://127.0.0.1:{server.port}/")
    assert type(caught.value) is error


async def test_silence_instead_of_headers() -> None:
    async with serving_raw(b"", hold=True) as server:
        with pytest.raises(OriginTimeoutError, match="silent"):
            await fetch(f"http://127.0.0.1:{server.port}/")


async def test_silence_in_the_body() -> None:
    async with serving_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", hold=True) as server:
        with pytest.raises(OriginTimeoutError, match="silent"):
            await fetch(f"http://127.0.0.1:{server.port}/")


async def test_a_body_that_trickles_ends_with_the_total_limit() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.05)

    async with serving(answer) as server:
        with pytest.raises(OriginTimeoutError, match="longer than"):
            await fetch(server.url, limits=FetchLimits(total_timeout_s=0.5))


async def test_a_port_that_never_finishes_tls_is_a_connect_timeout() -> None:
    async with serving_raw(b"", hold=True, wait_for_request=False) as server:
        with pytest.raises(ConnectTimeoutError):
            await fetch(f"https://127.0.0.1:{server.port}/")


async def test_a_port_without_tls_and_one_without_anything() -> None:
    async with serving_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n", wait_for_request=False) as server:
        with pytest.raises(NoConnectionError):
            await fetch(f"https://127.0.0.1:{server.port}/")
    with pytest.raises(NoConnectionError) as caught:
        await fetch(f"http://127.0.0.1:{server.port}/")
    assert "127.0.0.1" not in str(caught.value)


async def test_a_name_that_does_not_resolve() -> None:
    async with resolving_to(guard=LOOPBACK) as fetcher:
        with pytest.raises(NoConnectionError, match="does not resolve"):
            await fetcher.fetch("http://nothing.example/")
    with pytest.raises(NoConnectionError):
        await fetch(f"http://{'a' * 64}.example/")  # fails before anybody is asked


# --- how many at a time ---


async def test_one_host_gets_its_share_of_the_slots_and_no_more() -> None:
    running = peak = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.02)
        running -= 1
        return web.Response(body=b"x")

    async with serving(answer) as server:
        async with make_fetcher(limits=FetchLimits(max_concurrency=8, max_per_host=3)) as fetcher:
            await asyncio.gather(*(fetcher.fetch(f"{server.url}/{n}") for n in range(20)))
        assert peak == 3
        peak = 0
        async with make_fetcher(limits=FetchLimits(max_concurrency=2, max_per_host=3)) as fetcher:
            await asyncio.gather(*(fetcher.fetch(f"{server.url}/{n}") for n in range(10)))
        assert peak == 2


async def test_who_waits_for_a_slow_host_does_not_block_another() -> None:
    release = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response(body=b"slow")

    async def fast(request: web.Request) -> web.Response:
        return web.Response(body=b"fast")

    limits = FetchLimits(max_concurrency=3, max_per_host=2)
    async with serving(slow) as first, serving(fast) as second, make_fetcher(limits=limits) as fetcher:
        waiting = [asyncio.create_task(fetcher.fetch(f"{first.url}/{n}")) for n in range(6)]
        await asyncio.sleep(0.05)
        fetched = await asyncio.wait_for(fetcher.fetch(second.url), 5)
        assert isinstance(fetched, Fetched)
        release.set()
        await asyncio.gather(*waiting)


async def test_waiting_for_a_slot_too_long_is_busy_not_the_origins_fault() -> None:
    async with serving_raw(b"", hold=True) as server:
        limits = FetchLimits(max_concurrency=1, total_timeout_s=0.6, idle_timeout_s=0.55)
        async with make_fetcher(limits=limits) as fetcher:
            url = f"http://127.0.0.1:{server.port}/"
            holder = asyncio.create_task(_outcome(fetcher, url))
            await asyncio.sleep(0)
            waiting = [asyncio.create_task(_outcome(fetcher, url)) for _ in range(3)]
            assert isinstance(await holder, OriginTimeoutError)
            assert any(isinstance(outcome, BusyError) for outcome in await asyncio.gather(*waiting))


async def test_a_cancelled_fetch_gives_its_slot_back() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x")

    limits = FetchLimits(max_concurrency=1)
    async with serving_raw(b"", hold=True) as slow, serving(answer) as fast, make_fetcher(limits=limits) as fetcher:
        task = asyncio.create_task(fetcher.fetch(f"http://127.0.0.1:{slow.port}/"))
        while not slow.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        task.cancel()
        assert isinstance(await asyncio.wait_for(fetcher.fetch(fast.url), 5), Fetched)
        assert task.cancelled()


async def test_nothing_is_logged_about_answers_that_were_cut_short(caplog: pytest.LogCaptureFixture) -> None:
    async with serving_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort") as server:
        with caplog.at_level(logging.WARNING), pytest.raises(OriginUnreachableError):
            await fetch(f"http://127.0.0.1:{server.port}/")
    assert not caplog.records


async def _outcome(fetcher: Fetcher, url: str) -> Exception | None:
    try:
        await fetcher.fetch(url)
    except (OriginError, BusyError) as error:
        return error
    return None


async def _never(request: web.Request) -> web.Response:
    raise AssertionError("this server must not be reached")
