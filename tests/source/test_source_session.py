"""Calls to the outside: limits of what webhooks and purges use. What they share with fetching is tested there."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from pathlib import Path

import pytest
from aiohttp import web
from origin_servers import LOOPBACK, make_tls_contexts, serving, serving_raw
from yarl import URL

from pellucid.errors import OriginRefusedError
from pellucid.source.netguard import Guard
from pellucid.source.session import GuardedSession, NoReplyError, Reply


async def call(
    url: str,
    *,
    guard: Guard = LOOPBACK,
    timeout_s: float = 5,
    ssl_context: ssl.SSLContext | None = None,
    headers: dict[str, str] | None = None,
) -> Reply:
    async with GuardedSession(guard=guard, ssl_context=ssl_context) as session:
        return await session.call("POST", URL(url), headers=headers or {}, body=b"hello", timeout_s=timeout_s)


async def test_status_beginning_and_patience_of_an_answer() -> None:
    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        seen = f"{request.method} {body.decode()} {request.headers['X-One']} {request.headers['Accept-Encoding']}"
        return web.Response(status=503, text=seen + "." * 5000, headers={"Retry-After": "7"})

    async with serving(answer) as server:
        reply = await call(server.url, headers={"X-One": "1"})
    assert reply.status == 503
    assert reply.retry_after_s == 7
    assert reply.text.startswith("POST hello 1 identity...")
    assert len(reply.text) <= 1024


@pytest.mark.parametrize("value", ["Wed, 21 Oct 2065 07:28:00 GMT", "-1", "1e9", "9" * 400, "²"])
async def test_a_retry_after_that_is_no_number_of_seconds(value: str) -> None:
    async with serving_raw(f"HTTP/1.1 503 No\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n".encode()) as raw:
        reply = await call(f"http://127.0.0.1:{raw.port}/")
    assert (reply.status, reply.retry_after_s) == (503, None)


async def test_redirects_are_answers() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/again"})

    async with serving(answer) as server:
        assert (await call(server.url)).status == 307
        assert len(server.requests) == 1


async def test_a_packed_answer_is_not_unpacked() -> None:
    packed = gzip.compress(bytes(100_000_000), 9)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    async with serving(answer) as server:
        reply = await call(server.url)
    assert reply.text == packed[:1024].decode(errors="replace")


async def test_an_answer_that_trickles_in_is_not_waited_for() -> None:
    async with serving_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx", hold=True) as raw:
        assert await call(f"http://127.0.0.1:{raw.port}/") == Reply(status=200, text="x")


async def test_silence_has_an_end() -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with serving(answer) as server:
        with pytest.raises(NoReplyError, match=r"within 0\.2 s"):
            await call(server.url, timeout_s=0.2)


async def test_closed_networks_are_refused() -> None:
    async with serving_raw(b"") as raw:
        with pytest.raises(OriginRefusedError, match="PELLUCID_ORIGIN_ALLOW_NETWORKS"):
            await call(f"http://127.0.0.1:{raw.port}/", guard=Guard())
        assert raw.connections == 0


async def test_what_is_wrong_is_said_without_addresses(tmp_path: Path) -> None:
    tls, trusting = make_tls_contexts(tmp_path)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="secure")

    async with serving(answer, tls=tls) as server:
        url = f"https://127.0.0.1:{server.port}/"
        assert (await call(url, ssl_context=trusting)).text == "secure"
        with pytest.raises(NoReplyError, match="certificate is not valid"):
            await call(url)
    with pytest.raises(NoReplyError, match="accepts no connection") as caught:
        await call(url)
    assert "127" not in str(caught.value)


async def test_a_session_must_be_open() -> None:
    with pytest.raises(RuntimeError):
        await GuardedSession(guard=LOOPBACK).call("POST", URL("http://a.example"), headers={}, body=b"", timeout_s=1)
