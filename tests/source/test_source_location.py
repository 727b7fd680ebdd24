"""From refs and aliases to places."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import (
    BadOriginError,
    OriginError,
    OriginNotFoundError,
    OriginRefusedError,
    PellucidError,
    SettingsError,
)
from pellucid.source.location import FileLocation, Location, WebLocation, check_aliases, resolve
from pellucid.source.weburl import covers, join_web_url, normalise_hosts, parse_web_url
from pellucid.spec import OriginRef

ALIASES = {
    "_web_": "https://cdn.example.com/shop/",
    "_bare_": "cdn.example.com/shop",
    "_plain_": "http://cdn.example.com:8080",
    "_query_": "https://example.com/get?file=",
    "_files_": "file:///srv/my%20pictures/",
}


def locate(ref: OriginRef, *allow_hosts: str) -> Location:
    return resolve(ref, aliases=ALIASES, allow_hosts=normalise_hosts(allow_hosts))


def urls(ref: OriginRef, *allow_hosts: str) -> list[str]:
    location = locate(ref, *allow_hosts)
    assert isinstance(location, WebLocation)
    return [location.url(scheme) for scheme in location.schemes]


def test_host_without_scheme_is_tried_both_ways() -> None:
    ref = OriginRef(host="example.com:8443", path="/a%2Fb.jpg", query="x=%20+1&y")
    assert urls(ref) == ["https://example.com:8443/a%2Fb.jpg?x=%20+1&y", "http://example.com:8443/a%2Fb.jpg?x=%20+1&y"]
    assert urls(OriginRef(host="example.com", path="/https://other.org/a.jpg")) == [
        "https://example.com/https://other.org/a.jpg",
        "http://example.com/https://other.org/a.jpg",
    ]


def test_host_with_scheme_is_tried_once() -> None:
    assert urls(OriginRef(scheme="http", host="example.com", path="/a.jpg")) == ["http://example.com/a.jpg"]


def test_wide_host_names_become_ascii() -> None:
    assert urls(OriginRef(scheme="https", host="bücher.example", path="/a.jpg")) == [
        "https://xn--bcher-kva.example/a.jpg"
    ]


@pytest.mark.parametrize(
    ("alias", "expected"),
    [
        ("_web_", ["https://cdn.example.com/shop/a.jpg"]),
        ("_bare_", ["https://cdn.example.com/shop/a.jpg", "http://cdn.example.com/shop/a.jpg"]),
        ("_plain_", ["http://cdn.example.com:8080/a.jpg"]),
        ("_query_", ["https://example.com/get?file=/a.jpg"]),
    ],
)
def test_alias(alias: str, expected: list[str]) -> None:
    assert urls(OriginRef(alias=alias, path="/a.jpg")) == expected
    assert urls(OriginRef(alias=alias, path="/a.jpg"), "nowhere.example") == expected


def test_file_alias() -> None:
    location = locate(OriginRef(alias="_files_", path="/a/b%20c.jpg"))
    assert isinstance(location, FileLocation)
    assert location.root / location.relative == Path("/srv/my pictures/a/b c.jpg")
    assert location.public_name == "_files_/a/b%20c.jpg"


def test_unknown_alias_is_named_and_nothing_else() -> None:
    with pytest.raises(OriginNotFoundError) as caught:
        locate(OriginRef(alias="_nope_", path="/a.jpg"))
    assert str(caught.value) == "there is no alias _nope_"


CLIMBING = [
    "/../a.jpg",
    "/a/../../b.jpg",
    "/%2e%2e/a.jpg",
    "/%2E./a.jpg",
    "/a/..%2f..%2fb.jpg",
    "/..",
]


@pytest.mark.parametrize("path", [*CLIMBING, "/%252e%252e/a.jpg", "/..%5ca.jpg", "/..;x/a.jpg", "/%25252e%25252e/a"])
def test_a_path_that_climbs_out_of_a_web_alias_is_refused(path: str) -> None:
    with pytest.raises(OriginRefusedError):
        locate(OriginRef(alias="_web_", path=path))


@pytest.mark.parametrize("path", [*CLIMBING, "/", "/./a.jpg", "/a%00.jpg", "/%ff.jpg"])
def test_a_path_that_names_no_file_is_not_found(path: str) -> None:
    with pytest.raises(OriginNotFoundError):
        locate(OriginRef(alias="_files_", path=path))


@given(st.text(st.sampled_from("./%2eEfF5c\\a;"), max_size=24))
def test_no_path_leaves_a_file_alias(path: str) -> None:
    try:
        location = locate(OriginRef(alias="_files_", path=f"/{path}"))
    except OriginError:
        return
    assert isinstance(location, FileLocation)
    assert ".." not in location.relative.parts
    assert not PurePosixPath(location.relative).is_absolute()


def test_allow_hosts_cover_subdomains_and_nothing_else() -> None:
    allow = ("example.com", "*.cdn.test", ".Shop.Example.", "bücher.example")
    for host in ("example.com", "a.b.example.com", "EXAMPLE.com.", "example.com:81", "x.cdn.test", "cdn.test"):
        assert urls(OriginRef(scheme="http", host=host, path="/a"), *allow)
    assert urls(OriginRef(scheme="http", host="www.shop.example", path="/a"), *allow)
    assert urls(OriginRef(scheme="http", host="xn--bcher-kva.example", path="/a"), *allow)
    for host in ("badexample.com", "example.com.evil.org", "com", "example.org", "example.com@evil.org"):
        with pytest.raises(OriginRefusedError):
            locate(OriginRef(scheme="http", host=host, path="/a"), *allow)
    with pytest.raises(SettingsError):
        normalise_hosts(("no host",))


@pytest.mark.parametrize(
    "host",
    ["a b", "exa\\mple.com", "a%2fb", "127.1", "0x7f.1", "2130706433", "[fe80::1%25eth0]", "a:99999", "[::1", "@"],
)
def test_what_is_no_host_is_a_bad_origin(host: str) -> None:
    with pytest.raises(BadOriginError):
        locate(OriginRef(host=host, path="/a.jpg"))


@pytest.mark.parametrize("base", ["ftp://example.com/", "file://host/dir", "file:relative", "https://", "a b/c"])
def test_aliases_are_checked_at_the_start(base: str) -> None:
    with pytest.raises(SettingsError, match="_x_"):
        check_aliases({"_x_": base})


def test_good_aliases_pass() -> None:
    check_aliases(ALIASES)


def test_paths_are_kept_byte_for_byte() -> None:
    url = parse_web_url("https://User:Secret@EXAMPLE.com:443/a/../%2e%2e/%41+b//c?q=%2F+;&é#top")
    assert str(url) == "https://example.com/a/../%2e%2e/%41+b//c?q=%2F+;&%C3%A9"
    assert "\n" not in str(parse_web_url("http://example.com/a\r\nX-Evil: 1"))


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/b", "http://example.com/b"),
        ("c?x=1", "http://example.com/a/c?x=1"),
        ("//other.org/x", "http://other.org/x"),
        ("https://u:p@other.org/x", "https://other.org/x"),
        ("/ü", "http://example.com/%C3%BC"),
    ],
)
def test_redirect_targets(location: str, expected: str) -> None:
    assert str(join_web_url(parse_web_url("http://example.com/a/b"), location)) == expected


@pytest.mark.parametrize(
    "location", ["javascript:alert(1)", "file:///etc/passwd", "ftp://example.com/", "https:///x", "gopher://x"]
)
def test_redirects_to_other_schemes_are_none(location: str) -> None:
    with pytest.raises(ValueError):
        join_web_url(parse_web_url("http://example.com/a"), location)


@given(st.text(max_size=30), st.text(max_size=30))
def test_whatever_is_asked_ends_in_a_place_or_an_own_error(host: str, path: str) -> None:
    if not host:
        return
    try:
        location = locate(OriginRef(host=host, path=f"/{path}"), "example.com")
    except PellucidError:
        return
    assert isinstance(location, WebLocation)
    assert covers(("example.com",), parse_web_url(location.url("https")))


def test_a_named_port_stays_in_every_scheme() -> None:
    location = resolve(OriginRef(host="h.example:443", path="/a"), aliases={}, allow_hosts=())
    assert isinstance(location, WebLocation)
    assert location.url("http") == "http://h.example:443/a"
