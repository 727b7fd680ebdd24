"""The demo page as it is sent: to whom, with which headers, knowing what."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from contract_world import Answer, ask
from starlette.applications import Starlette

from pellucid.http.demo import accepts_html, demo_routes, embedded_json
from pellucid.settings.model import SettingsTree
from pellucid.settings.sections.origin import UploadSettings
from pellucid.settings.sections.web import WebSettings
from pellucid.spec import Tier

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"}


def _app(tmp_path: Path, **settings: Any) -> Starlette:
    return Starlette(routes=demo_routes(SettingsTree(data_dir=tmp_path, **settings)))


def _facts(page: Answer) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', page.body.decode())
    assert found
    return json.loads(found[1])


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
def test_only_who_names_html_gets_the_page(accept: str, html: bool) -> None:
    assert accepts_html(accept) is html


async def test_curl_gets_text(tmp_path: Path) -> None:
    answer = await ask(_app(tmp_path), "GET", "/", {"Accept": "*/*"})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["vary"] == "Accept"
    assert b"bg_remove=1" in answer.body


async def test_the_page_runs_nothing_but_its_own_files(tmp_path: Path) -> None:
    answer = await ask(_app(tmp_path), "GET", "/", BROWSER)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "Accept" in answer.headers["vary"].split(", ")
    named = re.findall(r'(?:src|href)="([^"]+)"', answer.body.decode())
    assert all(name.startswith(("/", "data:")) and not name.startswith("//") for name in named)


async def test_the_page_knows_limits_and_samples(tmp_path: Path) -> None:
    app = _app(tmp_path, uploads=UploadSettings(max_bytes=1000, keep_s=60), model={"quality": "best"})
    facts = _facts(await ask(app, "GET", "/", BROWSER))
    samples = ["/_samples_/bowl.jpg", "/_samples_/dog.jpg", "/_samples_/otter.jpg", "/_samples_/osprey.jpg"]
    assert facts == {"tier": Tier.BEST, "samples": samples, "uploads": {"max_bytes": 1000, "keep_s": 60}}
    app = _app(tmp_path, uploads=UploadSettings(enabled=False))
    assert _facts(await ask(app, "GET", "/", BROWSER))["uploads"] is None


def test_json_cannot_end_its_element() -> None:
    text = embedded_json({"a": "</script><b>"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><b>"}


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("page.css", "text/css; charset=utf-8"),
        ("page.js", "text/javascript; charset=utf-8"),
        ("mark.svg", "image/svg+xml"),
    ],
)
async def test_files_have_validators_and_come_as_gzip(tmp_path: Path, name: str, media_type: str) -> None:
    app = _app(tmp_path)
    plain = await ask(app, "GET", f"/-/demo/{name}")
    zipped = await ask(app, "GET", f"/-/demo/{name}", {"Accept-Encoding": "gzip, br"})
    assert plain.headers["content-type"] == media_type
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(zipped.body) == plain.body
    assert plain.headers["vary"] == zipped.headers["vary"] == "Accept-Encoding"
    assert plain.headers["cache-control"] == "public, max-age=300"
    again = await ask(app, "GET", f"/-/demo/{name}", {"If-None-Match": plain.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == plain.headers["etag"]


async def test_every_file_that_is_named_is_there(tmp_path: Path) -> None:
    app = _app(tmp_path)
    page = (await ask(app, "GET", "/", BROWSER)).body.decode()
    names = set(re.findall(r'"/-/demo/([^"]+)"', page))
    script = (await ask(app, "GET", "/-/demo/page.js")).body.decode()
    names |= set(re.findall(r'from "\./([^"]+)"', script))
    assert len(names) == 7
    for name in names:
        assert (await ask(app, "GET", f"/-/demo/{name}")).status == 200
    for name in ("index.html", "nothing.js", "..%2fsamples.py"):
        assert (await ask(app, "GET", f"/-/demo/{name}")).status == 404


async def test_turned_off_there_is_text_only(tmp_path: Path) -> None:
    app = _app(tmp_path, web=WebSettings(demo=False))
    answer = await ask(app, "GET", "/", BROWSER)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert (await ask(app, "GET", "/-/demo/page.js")).status == 404
