"""Pages and their files as they are sent: to whom, with which headers; one frame, one stylesheet for all."""

from __future__ import annotations

import gzip
import posixpath
import re
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from contract_world import ask, running, settings_for
from starlette.applications import Starlette
from starlette.types import ASGIApp

from pellucid.http.pages import accepts_html, open_pages, page_routes

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"}
PAGES = ["/", "/-/usage", "/-/docs", "/-/docs/", "/-/docs/states", "/-/docs/adr", "/-/docs/LICENSE"]
FILES = Path(__file__).parents[2] / "src" / "pellucid" / "pages"

in_modules_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[ASGIApp]:
    async with running(settings_for(tmp_path_factory.mktemp("pages"))) as app:
        yield app


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER["Accept"], True),
        ("TEXT/HTML", True),
        ("text/plain, text/html; q=0.5", True),
        ("*/*", False),
        ("", False),
        ("text/html;q=0, text/plain", False),
        ("text/html; q=0.0", False),
        ("text/html;q=0.05", True),
        ("application/json", False),
    ],
)
def test_only_who_names_html_gets_a_page(accept: str, html: bool) -> None:
    assert accepts_html(accept) is html


@in_modules_loop
@pytest.mark.parametrize("path", PAGES)
async def test_a_page_runs_nothing_but_its_own_files(app: ASGIApp, path: str) -> None:
    answer = await ask(app, "GET", path, BROWSER)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert {policy[name] for name in ("default-src", "frame-ancestors", "base-uri", "form-action")} == {"'none'"}
    assert policy["style-src"] == "'self'"
    assert policy.get("script-src", "'self'") == policy.get("connect-src", "'self'") == "'self'"
    assert ("script-src" in policy) == (b"<script" in answer.body)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "Accept" in answer.headers["vary"].split(", ")
    for inline in re.findall(rb"<script(?![^>]* src=)[^>]*>", answer.body):
        assert b'type="application/json"' in inline
    assert not re.search(rb"<style|\son[a-z]+=|\sstyle=", answer.body)
    for name in re.findall(r'<(?:script|link|img)[^>]* (?:src|href)="([^"]+)"', answer.body.decode()):
        assert name.startswith("/"), name
        assert (await ask(app, "GET", name)).status == 200, name


@in_modules_loop
@pytest.mark.parametrize("path", PAGES)
async def test_pages_have_one_brand_and_link_to_each_other(app: ASGIApp, path: str) -> None:
    page = (await ask(app, "GET", path, BROWSER)).body.decode()
    assert re.findall(r'rel="stylesheet" href="([^"]+)"', page) == ["/-/pages/style.css"]
    assert page.count('src="/-/pages/mark.svg"') == 1
    for link in ("/", "/-/usage", "/-/docs", "/-/docs/LICENSE", "/-/docs/source"):
        assert f'href="{link}"' in page
        assert (await ask(app, "GET", link, BROWSER)).status == 200


KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
SENT = {path.relative_to(FILES).as_posix(): path.read_bytes() for path in FILES.rglob("*") if path.suffix in KINDS}
"""What pages are made of; the script of `/-/swap.js` is for the pages of others."""


@in_modules_loop
@pytest.mark.parametrize("name", sorted(SENT.keys() - {"swap/swap.js"}))
async def test_files_have_validators_and_come_as_gzip(app: ASGIApp, name: str) -> None:
    plain = await ask(app, "GET", f"/-/pages/{name}")
    zipped = await ask(app, "GET", f"/-/pages/{name}", {"Accept-Encoding": "gzip, br"})
    assert plain.headers["content-type"] == KINDS[Path(name).suffix]
    assert "content-encoding" not in plain.headers
    assert plain.body == SENT[name]
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(zipped.body) == plain.body
    assert plain.headers["vary"] == zipped.headers["vary"] == "Accept-Encoding"
    assert plain.headers["cache-control"] == "no-cache", "page and scripts are always of one version"
    again = await ask(app, "GET", f"/-/pages/{name}", {"If-None-Match": plain.headers["etag"]})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", plain.headers["etag"])
    named = set(re.findall(r"https?://[\w.]+", plain.body.decode()))
    assert named <= {"http://www.w3.org", "https://example.com"}, "no third party is asked"
    for imported in re.findall(r'from "(\.[^"]+)"', plain.body.decode()):
        assert posixpath.normpath(posixpath.join(posixpath.dirname(name), imported)) in SENT


@in_modules_loop
@pytest.mark.parametrize(
    "name",
    ["", "demo/main.html", "frame.html", "files.py", "demo", "..%2fhttp%2fdemo.py", "../http/demo.py", "swap/swap.js"],
)
async def test_nothing_else_lies_beside_them(app: ASGIApp, name: str) -> None:
    answer = await ask(app, "GET", f"/-/pages/{name}")
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")


@in_modules_loop
async def test_the_manual_is_markdown_for_who_names_no_html(app: ASGIApp) -> None:
    text = await ask(app, "GET", "/-/docs/states", {"Accept": "*/*"})
    assert text.headers["content-type"] == "text/markdown; charset=utf-8"
    assert text.body.startswith(b"# The states of a cutout")
    page = await ask(app, "GET", "/-/docs/states", BROWSER)
    assert b"<h1 id=" in page.body
    again = await ask(app, "GET", "/-/docs/states", BROWSER | {"If-None-Match": page.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert (await ask(app, "GET", "/-/docs/states", {"Accept": "*/*"})).body == text.body
    picture = await ask(app, "GET", "/-/docs/images/before-after.webp", BROWSER)
    assert picture.headers["content-type"] == "image/webp"
    assert (await ask(app, "GET", "/-/docs/nothing", BROWSER)).status == 404
    assert (await ask(app, "POST", "/-/docs/states")).status == 405


async def test_turned_off_the_usage_is_left() -> None:
    app = Starlette(routes=page_routes(open_pages(demo=False)))
    for name, status in {
        "/-/pages/style.css": 200,
        "/-/pages/usage/page.js": 200,
        "/-/pages/demo/page.js": 404,
        "/-/docs": 404,
    }.items():
        assert (await ask(app, "GET", name)).status == status, name
