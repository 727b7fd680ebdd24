"""read_request_origin: pages that every web server is asked for name no origin."""

from __future__ import annotations

import pytest

from pellucid.errors import BadOriginError, NoSuchPageError
from pellucid.url.pages import _FILES, read_request_origin
from pellucid.url.parse import parse_url

PAGES = [
    # one segment
    *["/index.html", "/wp-login.php", "/xmlrpc.php", "/.env", "/favicon.png", "/apple-touch-icon.png", "/sitemap.xml"],
    *["/apple-touch-icon-120x120-precomposed.png", "/ads.txt", "/humans.txt", "/browserconfig.xml", "/manifest.json"],
    *[
        "/INDEX.HTML",
        "/index%2Ehtml",
        "/%69ndex.html",
        "/admin",
        "/login",
        "/wp-admin",
        "/graphql",
        "/.DS_Store",
        "/v7",
    ],
    *[
        "//index.html",
        "/v7/index.html",
        "/v7//wp-login.php",
        "/index.html.",
        "/h.example",
        "/h.example:8080",
        "/1.2.3.4",
    ],
    *[
        "/photos.zip",
        "/backup.tar.gz",
        "/install.sh",
        "/README.md",
        "/index.pl",
        "/clip.mov",
        "/dump.sql",
        "/[::1]",
    ],
    *["/" + "a" * 300, "/" + "a.b" * 200 + ".php", "/\u00fc.html", "/bücher.example", "/a b.php", "/user@h.example"],
    # a hidden file or folder
    *["/.well-known/security.txt", "/.well-known/acme-challenge/x.png", "/.git/config", "/.env/x.jpg", "/%2Egit/HEAD"],
    *["/.aws/credentials", "/.1/a.jpg"],
    # a file's name before more of a path
    *[
        "/index.php/a/b",
        "/xmlrpc.php/",
        "/wp-login.php/a.jpg",
        "/INDEX.PHP/a.jpg",
        "/index.php./a.jpg",
        "/a.b.asp/c.png",
    ],
    *[
        "/index%2Ephp/a.jpg",
        "/index\u3002php/a.jpg",
        "/app.js/a.jpg",
        "/style.css/a.jpg",
        "/photo.jpg/a.jpg",
        "/v7/x.html/",
    ],
    # no host, and no picture
    *["/wp-admin/setup-config.php", "/wp-content/plugins/a/b.php", "/cgi-bin/luci", "/vendor/phpunit/eval-stdin.php"],
    *["/api/v1/users", "/admin/", "/blog/", "/actuator/health", "/login.action%20x/", "/owa/auth/logon.aspx", "/a b/c"],
    *["/127.1/a", "/1.2.3.256/a", "/-x-/.env", "/é/", "/static/js/main.js", "/a.b..c/d"],
]


@pytest.mark.parametrize("raw_path", PAGES)
@pytest.mark.parametrize("url_encoded", [False, True])
def test_pages_name_no_origin(raw_path: str, *, url_encoded: bool) -> None:
    with pytest.raises(NoSuchPageError, match="write /host/path or an alias") as caught:
        read_request_origin(raw_path, url_encoded=url_encoded)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("raw_path", "origin"),
    [
        # a path on a host, or a port: it may be a name of the network around
        ("/h.example/", "h.example/"),
        ("/h.example/a.jpg", "h.example/a.jpg"),
        ("/h.example/index.html", "h.example/index.html"),
        ("/h.example/.well-known/a.png", "h.example/.well-known/a.png"),
        ("/cdn.local/a.jpg", "cdn.local/a.jpg"),
        ("/images.internal/a.jpg", "images.internal/a.jpg"),
        ("/web.shop_default/a.jpg", "web.shop_default/a.jpg"),
        ("/minio.default.svc/a.jpg", "minio.default.svc/a.jpg"),
        ("/minio:9000/a.jpg", "minio:9000/a.jpg"),
        ("/store.bin:9000/a.jpg", "store.bin:9000/a.jpg"),
        ("/localhost/a.jpg", "localhost/a.jpg"),
        ("/127.0.0.1/a.jpg", "127.0.0.1/a.jpg"),
        ("/[::1]/a.jpg", "[::1]/a.jpg"),
        # endings of files that are top-level domains, too
        *[
            (f"/h.{tld}/a.jpg", f"h.{tld}/a.jpg")
            for tld in ("zip", "mov", "md", "sh", "pl", "py", "so", "do", "map", "save")
        ],
        # a scheme or an alias says it
        ("/https://h.example", "https://h.example/"),
        ("/http://index.html/a.jpg", "http://index.html/a.jpg"),
        ("/https%3A%2F%2Findex.php", "https://index.php/"),
        ("/_a_", "_a_/"),
        ("/_a.php_/b.html", "_a.php_/b.html"),
        ("/_a_/.env", "_a_/.env"),
        ("/%5Fa%5F", "_a_/"),
    ],
)
def test_origins_are_origins(raw_path: str, origin: str) -> None:
    assert str(read_request_origin(raw_path, url_encoded=False)) == origin


def test_a_host_whose_query_is_encoded_has_something_to_give() -> None:
    assert str(read_request_origin("/h.example%3Fid%3D1", url_encoded=True)) == "h.example/?id=1"


@pytest.mark.parametrize("raw_path", ["/photos/a.jpg", "/photos/2024/a.WEBP", "/Photos/a%2Eavif", "/a..b/c.png"])
def test_a_forgotten_host_is_said_as_before(raw_path: str) -> None:
    with pytest.raises(BadOriginError, match=r"is not a host name; write /host/path or an alias$") as caught:
        read_request_origin(raw_path, url_encoded=False)
    assert not isinstance(caught.value, NoSuchPageError)


@pytest.mark.parametrize(
    "raw_path",
    [
        "/",
        "//",
        "/v7/",
        "/-",
        "/%2D",
        "/%2F",
        "/.",
        "/..",
        "/./a.jpg",
        "/../a.txt",
        "/h.example%2Fa",
        "/u:p@h.example/a",
        "/h.example:0/a",
        "/ftp://h.example/a",
        "/h.example/%00",
    ],
)
def test_other_mistakes_are_no_pages(raw_path: str) -> None:
    with pytest.raises(BadOriginError) as caught:
        read_request_origin(raw_path, url_encoded=False)
    assert not isinstance(caught.value, NoSuchPageError)


def test_two_letters_are_countries() -> None:
    """But for `js`, which is none: all others may become one."""
    assert {ending for ending in _FILES if len(ending) == 2} == {"js"}


def test_a_url_says_it_too() -> None:
    with pytest.raises(NoSuchPageError):
        parse_url("/wp-login.php", "w=400")
