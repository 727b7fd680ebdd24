"""The guarded client against real servers on loopback, most of which misbehave."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
import tracemalloc
import zlib

import pytest
from aiohttp import web
from origin_servers import FRESHNESS, SHORT, fetch, make_fetcher, serving, serving_raw

from pellucid.concurrency.clients import Client
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
from pellucid.source.answers import Fetched, NotModified, Sharing, Validators
from pellucid.source.codings import READABLE
from pellucid.source.fetch import ConnectTimeoutError, Fetcher, NoConnectionError
from pellucid.source.limits import FetchLimits


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
        unchanged = NotModified(validators=Validators(), fresh_s=90, sharing=Sharing.PUBLIC)
        assert await fetch(server.url, validators=known) == unchanged
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


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "made-up", "gzip, br"])
async def test_codings_that_nobody_asked_for(coding: str) -> None:
    if coding in READABLE:
        pytest.skip("a library that reads it is installed")

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == ", ".join(READABLE)
        return web.Response(body=b"packed", headers={"Content-Encoding": coding})

    async with serving(answer) as server:
        with pytest.raises(OriginUnreachableError, match="it reads gzip, deflate") as caught:
            await fetch(server.url)
    assert type(caught.value) is OriginUnreachableError, "an answer came: no other scheme is tried"


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
            await asyncio.gather(*(fetcher.fetch(f"{server.url}/{n}", client=Client(str(n % 2))) for n in range(20)))
        assert peak == 3
        peak = 0
        async with make_fetcher(limits=FetchLimits(max_concurrency=8, max_per_host=4)) as fetcher:
            await asyncio.gather(*(fetcher.fetch(f"{server.url}/{n}") for n in range(20)))
        assert peak == 3  # of one client
        peak = 0
        async with make_fetcher(limits=FetchLimits(max_concurrency=2, max_per_host=3)) as fetcher:
            await asyncio.gather(*(fetcher.fetch(f"{server.url}/{n}", client=Client(str(n % 2))) for n in range(10)))
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
