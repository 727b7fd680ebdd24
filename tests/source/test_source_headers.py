"""Request headers by host: to whom they go, by which way, and what is kept of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from origin_servers import Server, fetch, make_fetcher, make_tls_contexts, serving, serving_raw
from origin_world import LIMITS, World, at
from yarl import URL

from pellucid.customers.customer import DEFAULT_CUSTOMER, Customer
from pellucid.errors import OriginForbiddenError, OriginUnreachableError
from pellucid.source.answers import Fetched
from pellucid.source.fetch import Fetcher
from pellucid.source.headers import HeadersByHost, HostHeaders, OriginHeaders, check_headers
from pellucid.spec import OriginRef, Token

KEY = "sesame-5ec4e7"
SHOP, BLOG = Token("shop"), Token("blog")


def _key(value: str = KEY) -> dict[str, str]:
    return {"X-Api-Key": value}


async def _guarded(request: web.Request) -> web.Response:
    """A picture of one's own for every key, none without."""
    key = request.headers.get("X-Api-Key")
    return web.Response(status=403) if key is None else web.Response(body=f"for {key}".encode())


def _keys(server: Server) -> list[str | None]:
    return [request.headers.get("X-Api-Key") for request in server.requests]


# --- which host gets which ---


TABLE: HeadersByHost = {
    "example.com": {"A": "1"},
    "*.img.example.com": {"B": "2"},
    "CDN.Example.": {"C": "3"},
    "http://bücher.example": {"D": "4"},
    "http://127.0.0.1": {"E": "5"},
    "[::1]": {"F": "6"},
}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.com/a", "A"),
        ("https://www.example.com/a", "A"),
        ("https://EXAMPLE.com.:8443/a", "A"),
        ("https://img.example.com/a", "B"),
        ("https://x.y.img.example.com/a", "B"),
        ("https://cdn.example/a", "C"),
        ("https://xn--bcher-kva.example/a", "D"),
        ("http://www.xn--bcher-kva.example/a", "D"),
        ("http://127.0.0.1:81/a", "E"),
        ("https://[::1]/a", "F"),
        ("https://notexample.com/a", None),
        ("https://example.com.evil.example/a", None),
        ("https://com/a", None),
        ("https://1.127.0.0/a", None),
    ],
)
def test_the_longest_name_that_fits_counts_alone(url: str, name: str | None) -> None:
    assert [each for each, _ in HostHeaders(TABLE).of(URL(url)).pairs] == ([] if name is None else [name])


def test_what_a_token_has_itself_goes_first() -> None:
    headers = OriginHeaders(
        {"a.example": {"K": "all"}, "b.example": {"K": "all"}}, {SHOP: {"a.example": {"K": "shop"}}}
    )
    of = {token: headers.of(token) for token in (SHOP, BLOG)}
    assert of[SHOP].of(URL("https://a.example/")).pairs == (("K", "shop"),)
    assert of[SHOP].of(URL("https://b.example/")).pairs == (("K", "all"),)
    assert of[BLOG].of(URL("https://a.example/")).pairs == (("K", "all"),)
    assert headers
    assert not OriginHeaders({}, {SHOP: {}})


def test_scopes_differ_where_headers_do_and_tell_none_of_them() -> None:
    tables: list[dict[str, str]] = [
        {},
        _key(),
        _key("other"),
        {"X-Api-Kex": KEY},
        _key() | {"Referer": "https://a.example/"},
    ]
    scopes = [HostHeaders({"h.example": each} if each else {}).of(URL("https://h.example/")).scope for each in tables]
    assert len(set(scopes)) == len(tables)
    assert scopes[0] == ""
    same = {"referer": "https://a.example/", "x-api-key": KEY}
    assert HostHeaders({"www.h.example": same}).of(URL("https://www.h.example/")).scope == scopes[-1]
    sent = HostHeaders({"h.example": _key()}).of(URL("https://h.example/"))
    assert KEY not in repr(sent) + str(sent) + sent.scope


# --- what is sent ---


async def test_headers_are_sent_and_may_replace_what_is_sent_by_default() -> None:
    sent = {"X-Api-Key": KEY, "Referer": "https://shop.example/", "User-Agent": "Shop/1 (ops@shop.example)"}
    async with serving(_guarded) as server:
        fetched = await fetch(server.url, headers={"http://127.0.0.1": sent})
        request = server.requests[0]
        assert isinstance(fetched, Fetched)
        assert {name: request.headers.getall(name) for name in sent} == {name: [value] for name, value in sent.items()}
        assert request.headers.getall("Accept-Encoding") == ["gzip, deflate"]
        assert request.headers.getall("CDN-Loop") == ["pellucid-000000000000"]
        with pytest.raises(OriginForbiddenError):
            await fetch(server.url, headers={"http://localhost": sent})
        with pytest.raises(OriginForbiddenError):
            await fetch(server.url)


async def test_the_user_agent_says_whom_to_ask() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=request.headers["User-Agent"].encode())

    async with serving(answer) as server:
        async with make_fetcher() as fetcher:
            plain = await fetcher.fetch(server.url)
        async with make_fetcher(contact="https://shop.example/bot, ops@shop.example") as fetcher:
            named = await fetcher.fetch(server.url)
    assert isinstance(plain, Fetched)
    assert isinstance(named, Fetched)
    assert plain.body.startswith(b"Pellucid/0.")
    assert named.body == plain.body + b" (https://shop.example/bot, ops@shop.example)"


@pytest.mark.parametrize(
    ("location", "table", "keys"),
    [
        # the same service, there and back
        ("/end", {"http://localhost": _key()}, [KEY, KEY]),
        # another port of the host, another name, one below it
        ("http://localhost:{other}/end", {"http://localhost": _key()}, [KEY, None]),
        ("http://127.0.0.1:{port}/end", {"http://localhost": _key()}, [KEY, None]),
        ("http://127.0.0.1:{port}/end", {"http://localhost": _key(), "http://127.0.0.1": _key("other")}, [KEY, None]),
        ("http://img.localhost:{port}/end", {"http://localhost": _key()}, [KEY, None]),
        # nothing is sent to who is led to, either
        ("http://127.0.0.1:{port}/end", {"http://127.0.0.1": _key()}, [None, None]),
        # and again nothing on the way on
        ("http://127.0.0.1:{port}/on", {"http://localhost": _key()}, [KEY, None, None]),
    ],
)
async def test_headers_stay_behind_where_a_redirect_leads_elsewhere(
    location: str, table: HeadersByHost, keys: list[str | None]
) -> None:
    async def end(request: web.Request) -> web.Response:
        return web.Response(body=b"x")

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/end":
            return await end(request)
        to = location.format(port=server.port, other=other.port) if request.path == "/" else "/end"
        return web.Response(status=302, headers={"Location": to})

    async with serving(end) as other, serving(answer) as server:
        assert isinstance(await fetch(f"http://localhost:{server.port}/", headers=table), Fetched)
        assert [*_keys(server), *_keys(other)] == keys


@pytest.mark.parametrize(
    ("start", "url", "is_sent"),
    [
        ("https://example.com/a", "https://example.com/b", True),
        ("https://example.com/a", "https://www.example.com/b", True),  # what is set for it, too
        ("https://www.example.com/a", "https://example.com/b", True),
        ("https://example.com/a", "https://img.example.com/b", False),  # has headers of its own
        ("https://img.example.com/a", "https://example.com/b", False),
        ("https://example.com/a", "https://cdn.example/b", False),
        ("https://example.com/a", "https://example.com:8443/b", False),
        ("https://example.com:8443/a", "https://example.com:8443/b", True),
        ("https://example.com:8443/a", "https://www.example.com:8443/b", False),
        ("http://example.com/a", "http://example.com/a", False),  # in clear
        ("http://example.com/a", "https://example.com/a", True),  # no longer
        ("https://example.com/a", "http://www.example.com/a", False),
        ("http://xn--bcher-kva.example/a", "http://xn--bcher-kva.example/b", True),
        ("https://xn--bcher-kva.example/a", "http://www.xn--bcher-kva.example/b", True),
    ],
)
def test_on_the_way(start: str, url: str, *, is_sent: bool) -> None:
    headers = HostHeaders(TABLE)
    sent = headers.on_the_way(URL(start), URL(url))
    assert bool(sent) is is_sent
    assert not sent or sent is headers.of(URL(start))


# --- not in clear ---


def _origins_ref(server_host: str, scheme: str | None) -> OriginRef:
    return OriginRef(scheme=scheme, host=server_host, path="/a.png")


@pytest.mark.parametrize("scheme", [None, "http"])
async def test_a_key_is_not_sent_in_clear_when_tls_fails(scheme: str | None) -> None:
    """To a host that speaks no TLS, whether or not the URL asks for http: not the key, and no request without it."""
    async with serving(_guarded) as server, make_fetcher(limits=LIMITS) as fetcher:
        origins = World().origins(fetcher, headers=OriginHeaders({"127.0.0.1": _key()}))
        with pytest.raises(OriginUnreachableError, match=r"by https alone.*PELLUCID_ORIGIN_HEADERS") as caught:
            await origins.get(DEFAULT_CUSTOMER, _origins_ref(server.host, scheme))
        assert KEY not in str(caught.value)
        assert not server.requests
        # what has no headers is asked as ever
        open_origins = World().origins(fetcher)
        with pytest.raises(OriginForbiddenError):
            await open_origins.get(DEFAULT_CUSTOMER, _origins_ref(server.host, scheme))
        assert _keys(server) == [None]


async def test_a_key_is_not_sent_in_clear_where_tls_hangs() -> None:
    async with serving_raw(b"", hold=True, wait_for_request=False) as server, make_fetcher(limits=LIMITS) as fetcher:
        origins = World().origins(fetcher, headers=OriginHeaders({"127.0.0.1": _key()}))
        with pytest.raises(Exception, match="by https alone"):
            await origins.get(DEFAULT_CUSTOMER, _origins_ref(f"127.0.0.1:{server.port}", None))
        assert server.connections == 1, "no second one by http"


@pytest.mark.parametrize("scheme", [None, "http"])
async def test_a_key_that_may_go_in_clear_does(scheme: str | None) -> None:
    async with serving(_guarded) as server, make_fetcher(limits=LIMITS) as fetcher:
        origins = World().origins(fetcher, headers=OriginHeaders({"http://127.0.0.1": _key()}))
        await origins.get(DEFAULT_CUSTOMER, _origins_ref(server.host, scheme))
        assert _keys(server) == [KEY]


@pytest.mark.parametrize("scheme", [None, "http", "https"])
async def test_a_host_with_headers_is_asked_by_tls(tmp_path: Path, scheme: str | None) -> None:
    tls, trusting = make_tls_contexts(tmp_path)
    async with serving(_guarded, tls=tls) as server, make_fetcher(limits=LIMITS, ssl_context=trusting) as fetcher:
        world = World()
        origins = world.origins(fetcher, headers=OriginHeaders({"127.0.0.1": _key()}))
        origin = await origins.get(DEFAULT_CUSTOMER, _origins_ref(server.host, scheme))
        assert await origins.read(origin) == f"for {KEY}".encode()
        assert origin.url == f"https://{server.host}/a.png"
        assert _keys(server) == [KEY]


async def test_a_failure_by_tls_says_no_more_than_it_is(tmp_path: Path) -> None:
    """A URL that says https itself fails as ever."""
    async with serving(_guarded) as server, make_fetcher(limits=LIMITS) as fetcher:
        origins = World().origins(fetcher, headers=OriginHeaders({"127.0.0.1": _key()}))
        with pytest.raises(OriginUnreachableError) as caught:
            await origins.get(DEFAULT_CUSTOMER, _origins_ref(server.host, "https"))
        assert "PELLUCID_ORIGIN_HEADERS" not in str(caught.value)


# --- the credential scope ---


async def test_each_token_sees_what_its_key_opens(fetcher: Fetcher) -> None:
    world = World()
    headers = OriginHeaders(
        by_token={SHOP: {"http://127.0.0.1": _key("shop")}, BLOG: {"http://127.0.0.1": _key("blog")}}
    )
    async with serving(_guarded) as server:
        origins = world.origins(fetcher, headers=headers)
        for _ in range(2):
            for token in (SHOP, BLOG):
                origin = await origins.get(Customer(token=token), at(server))
                assert await origins.read(origin) == f"for {token}".encode()
            with pytest.raises(OriginForbiddenError):
                await origins.get(DEFAULT_CUSTOMER, at(server))
        assert _keys(server) == ["shop", "blog", None]


@pytest.mark.parametrize("fresh", [True, False])
async def test_what_one_key_brought_is_not_shown_under_another(world: World, fetcher: Fetcher, *, fresh: bool) -> None:
    """Nor are its validators sent; also after a start with other settings, while the store is the same."""
    async with serving(_guarded) as server:

        async def body(headers: HeadersByHost) -> bytes | None:
            origins = world.origins(fetcher, headers=OriginHeaders(headers))
            world.now += 0 if fresh else 100_000
            return await origins.read(await origins.get(DEFAULT_CUSTOMER, at(server)))

        assert await body({"http://127.0.0.1": _key("first")}) == b"for first"
        assert await body({"http://127.0.0.1": _key("second")}) == b"for second"
        assert await body({"http://127.0.0.1": _key("second")}) == b"for second"
        assert len(server.requests) == (2 if fresh else 3)
        with pytest.raises(OriginForbiddenError):
            await body({})
        assert "If-None-Match" not in server.requests[1].headers


async def test_no_stale_picture_of_another_key_stands_in(world: World, fetcher: Fetcher) -> None:
    async with serving(_guarded) as server:
        ref = at(server)
        origins = world.origins(fetcher, headers=OriginHeaders({"http://127.0.0.1": _key("first")}))
        await origins.get(DEFAULT_CUSTOMER, ref)
    world.now += 100_000
    with pytest.raises(OriginUnreachableError):
        await world.origins(fetcher, headers=OriginHeaders({"http://127.0.0.1": _key("second")})).get(
            DEFAULT_CUSTOMER, ref
        )


async def test_a_failure_without_a_key_is_not_held_against_one(world: World, fetcher: Fetcher) -> None:
    async with serving(_guarded) as server:
        with pytest.raises(OriginForbiddenError):
            await world.origins(fetcher).get(DEFAULT_CUSTOMER, at(server))
        origins = world.origins(fetcher, headers=OriginHeaders({"http://127.0.0.1": _key()}))
        assert await origins.get(DEFAULT_CUSTOMER, at(server))


async def test_no_value_is_written_down(world: World, fetcher: Fetcher) -> None:
    async with serving(_guarded) as server:
        origins = world.origins(fetcher, headers=OriginHeaders({"http://127.0.0.1": _key()}))
        await origins.get(DEFAULT_CUSTOMER, at(server))
    assert world.records.data
    assert not any(KEY.encode() in data for data in world.records.data.values())


# --- what may be set ---


@pytest.mark.parametrize(
    "name",
    [
        *["Host", "host", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "TE", "Trailer"],
        *["Connection", "Keep-Alive", "Upgrade", "Proxy-Authorization", "Proxy-Connection", "HTTP2-Settings", "Expect"],
        *["Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match", "Accept-Encoding", "Cookie", "COOKIE"],
        *["CDN-Loop", "Via", "Sec-WebSocket-Key", "Max-Forwards"],
    ],
)
def test_what_is_the_servers_own_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is set by this server itself"):
        check_headers({"h.example": {name: KEY}})


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        *[
            ({"h.example": {name: "1"}}, "no name of a header")
            for name in ("", "a b", "a:", f"Key: {KEY}", "é", "a\nb")
        ],
        *[
            ({"h.example": {"X-Key": value}}, "the value of X-Key must be")
            for value in ("", " ", " a", "a ", "a\r\nb", "a\nb", f"{KEY}\n", "a\0", "a\x7f", "é", "a\tb")
        ],
        ({"h.example": {"X-Key": "a" * 5000}}, "more than 4096"),
        ({"h.example": {"X-Key": "a", "x-kEY": "b"}}, "twice for one host"),
        ({"h.example": {}, "http://h.example": {}}, "h.example has headers twice"),
        ({"h.example": {}, "H.example.": {}}, "h.example has headers twice"),
        *[
            ({host: {"X-Key": "a"}}, "must be a host alone|is no host name")
            for host in (
                "",
                "*",
                "h.example/",
                "h.example/path",
                "h.example:8080",
                "https://h.example",
                "a b",
                "u@h",
                "1.2.3",
            )
        ],
        ({"http://": {"X-Key": "a"}}, "must be a host alone"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_a_sentence(table: HeadersByHost, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        check_headers(table)
    assert KEY not in str(caught.value)


def test_what_may_be_set() -> None:
    names = [
        "Authorization",
        "X-Api-Key",
        "Referer",
        "User-Agent",
        "Accept",
        "Accept-Language",
        "Origin",
        "CF-Access-Client-Id",
    ]
    check_headers({"h.example": dict.fromkeys(names, "Basic dXNlcjpwYXNz=="), "http://minio.internal": {}, "minio": {}})
