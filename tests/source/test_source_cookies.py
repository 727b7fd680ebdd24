"""Cookies are kept for one fetch and one host: enough for servers that give their pictures to who has one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from origin_servers import LOOPBACK, fetch, make_fetcher, make_tls_contexts, serving
from yarl import URL

from pellucid.errors import OriginUnreachableError
from pellucid.source.answers import Fetched
from pellucid.source.cookies import FetchCookies

HOST = URL("https://h.example/dir/a.png")


@pytest.mark.parametrize(
    "set_cookie", ["seen=1", "seen=1; Path=/", "seen=1; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"]
)
async def test_an_origin_that_redirects_to_itself_with_a_cookie(set_cookie: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("Cookie") == "seen=1":
            return web.Response(body=b"picture")
        return web.Response(status=302, headers={"Location": request.path, "Set-Cookie": set_cookie})

    async with serving(answer) as server:
        fetched = await fetch(f"{server.url}/a.png")
        assert isinstance(fetched, Fetched)
        assert (fetched.body, len(server.requests)) == (b"picture", 2)


async def test_cookies_are_gathered_changed_and_deleted_on_the_way() -> None:
    steps = {
        "/1": ("/2", ["a=1", "b=1", "dir=1; Path=/deeper"]),
        "/2": ("/deeper/3", ["a=2", "b=; Max-Age=0"]),
        "/deeper/3": ("/4", []),
    }

    async def answer(request: web.Request) -> web.Response:
        target, cookies = steps.get(request.path, ("", []))
        response = web.Response(status=302, headers={"Location": target}) if target else web.Response(body=b"x")
        for cookie in cookies:
            response.headers.add("Set-Cookie", cookie)
        return response

    async with serving(answer) as server:
        assert isinstance(await fetch(f"{server.url}/1"), Fetched)
        sent = [request.headers.get("Cookie") for request in server.requests]
    assert [sorted((each or "").split("; ")) for each in sent] == [[""], ["a=1", "b=1"], ["a=2", "dir=1"], ["a=2"]]


async def test_a_cookie_that_changes_nothing_ends_at_once_and_one_that_changes_for_ever_after_some_redirects() -> None:
    fresh = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal fresh
        fresh += 1
        cookie = "same=1" if request.path == "/same" else f"other={fresh}"
        return web.Response(status=302, headers={"Location": request.path, "Set-Cookie": cookie})

    async with serving(answer) as server:
        with pytest.raises(OriginUnreachableError, match="in a circle"):
            await fetch(f"{server.url}/same")
        assert len(server.requests) == 2, "without the cookie, and with it"
        server.requests.clear()
        with pytest.raises(OriginUnreachableError, match="more than 3 times"):
            await fetch(f"{server.url}/other")
        assert len(server.requests) == 4


async def test_no_cookie_outlives_its_fetch() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/a.png":
            return web.Response(status=302, headers={"Location": "/b.png", "Set-Cookie": "id=1; Path=/"})
        return web.Response(body=b"x", headers={"Set-Cookie": "late=1; Path=/"})

    async with serving(answer) as server, make_fetcher() as fetcher:
        await asyncio.gather(*(fetcher.fetch(f"{server.url}/a.png") for _ in range(5)))
        await fetcher.fetch(f"{server.url}/b.png")
        await fetcher.fetch(f"{server.url}/a.png")
        sent = [(request.path, request.headers.get("Cookie")) for request in server.requests]
    assert {cookie for path, cookie in sent if path == "/a.png"} == {None}
    assert [cookie for path, cookie in sent if path == "/b.png"].count("id=1") == 6
    assert [cookie for path, cookie in sent if path == "/b.png"].count(None) == 1


@pytest.mark.parametrize("domain", ["", "; Domain=localhost", "; Domain=127.0.0.1"])
async def test_no_cookie_goes_to_another_host_or_port(domain: str) -> None:
    async def end(request: web.Request) -> web.Response:
        return web.Response(body=b"x")

    async with serving(end) as other:

        async def answer(request: web.Request) -> web.Response:
            if request.path == "/back":
                return web.Response(status=302, headers={"Location": "/end"})
            if request.path == "/end":
                return web.Response(body=b"x")
            target = {
                "/port": f"{other.url}/end",
                "/name": f"http://sub.localhost:{request.url.port}/back",
            }[request.path]
            return web.Response(status=302, headers={"Location": target, "Set-Cookie": f"id=1; Path=/{domain}"})

        async with serving(answer) as server:
            await fetch(f"{server.url}/port")
            await fetch(f"http://localhost:{server.port}/name", guard=LOOPBACK)
            assert not any("Cookie" in request.headers for request in (*server.requests, *other.requests))
            assert [request.path for request in other.requests] == ["/end"]
            assert [request.path for request in server.requests] == ["/port", "/name", "/back", "/end"]


async def test_a_secure_cookie_goes_by_tls_alone(tmp_path: Path) -> None:
    tls, trusting = make_tls_contexts(tmp_path)

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("Cookie", "") in ("id=1", "open=1", "id=1; open=1"):
            return web.Response(body=request.headers["Cookie"].encode())
        response = web.Response(status=302, headers={"Location": request.path})
        response.headers.add("Set-Cookie", "id=1; Secure")
        if request.path == "/both":
            response.headers.add("Set-Cookie", "open=1")
        return response

    async with serving(answer, tls=tls) as secure, serving(answer) as plain:
        fetched = await fetch(f"https://127.0.0.1:{secure.port}/both", ssl_context=trusting)
        assert isinstance(fetched, Fetched)
        assert fetched.body == b"id=1; open=1"
        fetched = await fetch(f"{plain.url}/both")
        assert isinstance(fetched, Fetched)
        assert fetched.body == b"open=1"
        with pytest.raises(OriginUnreachableError, match="in a circle"):
            await fetch(f"{plain.url}/secure")


def _cookies(*lines: str, url: URL = HOST) -> FetchCookies:
    cookies = FetchCookies()
    cookies.take(url, lines)
    return cookies


@pytest.mark.parametrize(
    ("url", "is_sent"),
    [
        ("https://h.example/dir/b.png", True),
        ("http://h.example/dir/b.png", True),
        ("https://h.example/elsewhere", False),
        ("https://h.example:8443/dir/b.png", False),
        ("https://www.h.example/dir/b.png", False),
        ("https://example/dir/b.png", False),
        ("https://other.example/dir/b.png", False),
    ],
)
async def test_where_a_cookie_is_sent(url: str, *, is_sent: bool) -> None:
    assert _cookies("a=1").header_for(URL(url)) == ("a=1" if is_sent else "")
    domains = _cookies("a=1; Domain=h.example", "b=1; Domain=example", "c=1; Domain=other.example")
    assert ("a=1" in domains.header_for(URL(url))) is is_sent
    assert "c=1" not in domains.header_for(URL(url))


async def test_cookies_are_few_and_short() -> None:
    many = _cookies(*(f"name{number}=1" for number in range(500)))
    assert len(many.header_for(HOST).split("; ")) == 50
    many.take(HOST, ["later=1"])
    assert "later" not in many.header_for(HOST)
    assert _cookies("a=" + "x" * 5000, "b=1").header_for(HOST) == "b=1"
    long = _cookies(*(f"name{number}=" + "x" * 3000 for number in range(10)))
    assert 3000 < len(long.header_for(HOST)) <= 8000


@pytest.mark.parametrize("line", ["", ";", "=", "a", "a=\x00", "a=\r\nX: y", "a=é", "\x7f=1", "a b=1", "a=1\tb", '"="'])
async def test_what_is_no_cookie_breaks_no_request(line: str) -> None:
    header = _cookies(line, "b=1").header_for(HOST)
    assert "b=1" in header
    assert header.isascii()
    assert header.isprintable()
