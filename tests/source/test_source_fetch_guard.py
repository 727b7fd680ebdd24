"""Where the client lets itself be led: redirects, names, closed networks."""

from __future__ import annotations

import socket
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from origin_servers import FRESHNESS, LOOPBACK, SHORT, fetch, make_fetcher, make_tls_contexts, serving

from pellucid.errors import (
    OriginRefusedError,
    OriginUnreachableError,
)
from pellucid.source.answers import Fetched, NotModified, Validators
from pellucid.source.fetch import Fetcher, NoConnectionError
from pellucid.source.netguard import Guard

CLOSED = Guard(allow_ports=None)


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
        assert not any({"Authorization", "Referer"} & set(request.headers) for request in server.requests)


async def test_validators_are_sent_to_the_url_that_gave_them_alone() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/latest":
            return web.Response(status=302, headers={"Location": "/file"})
        return web.Response(status=304) if "If-None-Match" in request.headers else web.Response(body=b"x")

    known = Validators(etag='"1"')
    async with serving(answer) as server, make_fetcher() as fetcher:
        for url, unchanged in ((f"{server.url}/file", True), (f"{server.url}/other", False), (None, False)):
            server.requests.clear()
            fetched = await fetcher.fetch(f"{server.url}/latest", validators=known, validators_of=url)
            assert isinstance(fetched, NotModified) == unchanged
            sent = ["If-None-Match" in request.headers for request in server.requests]
            assert sent == [url is None, unchanged]


async def test_redirects_without_an_end_end() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{request.path}a"})

    async with serving(answer) as server:
        with pytest.raises(OriginUnreachableError, match="more than 3 times"):
            await fetch(server.url)
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("ways", "asked"),
    [
        ({"/": "/"}, 1),
        ({"/": ""}, 1),
        ({"/": "#again"}, 1),
        ({"/": "/again", "/again": "/again"}, 2),
        ({"/": "/b", "/b": "/"}, 2),
        ({"/": "/b", "/b": "/c", "/c": "/b"}, 3),
    ],
)
async def test_a_circle_of_redirects_ends_at_once(ways: dict[str, str], asked: int) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": ways[request.path]})

    async with serving(answer) as server:
        with pytest.raises(OriginUnreachableError, match="in a circle"):
            await fetch(server.url)
        assert len(server.requests) == asked


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


async def test_a_name_that_does_not_resolve() -> None:
    async with resolving_to(guard=LOOPBACK) as fetcher:
        with pytest.raises(NoConnectionError, match="does not resolve"):
            await fetcher.fetch("http://nothing.example/")
    with pytest.raises(NoConnectionError):
        await fetch(f"http://{'a' * 64}.example/")  # fails before anybody is asked


async def _never(request: web.Request) -> web.Response:
    raise AssertionError("this server must not be reached")
