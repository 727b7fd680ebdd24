"""The demo page as it is sent: to whom, knowing what."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from contract_world import Answer, ask
from starlette.applications import Starlette

from pellucid.customers.customer import hash_key
from pellucid.http.authentication import Authenticator
from pellucid.http.demo import demo_routes, embedded_json
from pellucid.http.pages import open_pages
from pellucid.settings.model import SettingsTree
from pellucid.settings.sections.origin import UploadSettings
from pellucid.settings.sections.web import WebSettings
from pellucid.spec import Tier
from pellucid.wiring.accounts import customers_of

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"}


def _app(tmp_path: Path, **sections: Any) -> Starlette:
    settings = SettingsTree.model_validate({"data_dir": tmp_path, **sections})
    authenticator = Authenticator(customers_of(settings), admin_key="")
    return Starlette(routes=demo_routes(settings, authenticator, open_pages(demo=settings.web.demo).frame))


def _facts(page: Answer) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', page.body.decode())
    assert found
    return json.loads(found[1])


async def test_curl_gets_text(tmp_path: Path) -> None:
    answer = await ask(_app(tmp_path), "GET", "/", {"Accept": "*/*"})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["vary"] == "Accept"
    assert b"bg_remove=1" in answer.body
    assert b"Bearer" not in answer.body
    answer = await ask(_app(tmp_path, tokens={"shop": {"hosts": ["img.example"]}}), "GET", "/", {"Accept": "*/*"})
    assert b"send `Authorization: Bearer KEY`" in answer.body


async def test_the_page_knows_limits_and_samples(tmp_path: Path) -> None:
    app = _app(tmp_path, uploads=UploadSettings(max_bytes=1000, keep_s=60), model={"quality": "best"})
    facts = _facts(await ask(app, "GET", "/", BROWSER))
    assert facts == {
        "tier": Tier.BEST,
        "tier_is_default": True,
        "samples": ["/_samples_/bowl.jpg", "/_samples_/dog.jpg", "/_samples_/otter.jpg", "/_samples_/osprey.jpg"],
        "uploads": {"max_bytes": 1000, "keep_s": 60},
        "key": None,
        "credits": False,
    }
    app = _app(tmp_path, uploads=UploadSettings(enabled=False))
    assert _facts(await ask(app, "GET", "/", BROWSER))["uploads"] is None


async def test_no_upload_may_be_larger_than_an_origin(tmp_path: Path) -> None:
    app = _app(tmp_path, uploads={"max_bytes": 5000}, origin={"max_bytes": 3000})
    assert _facts(await ask(app, "GET", "/", BROWSER))["uploads"]["max_bytes"] == 3000


_KEY = {"key_hash": hash_key("pel_a")}


@pytest.mark.parametrize(
    ("sections", "host", "key", "credits"),
    [
        ({}, "127.0.0.1:8400", None, False),
        ({"credits": {"per_month": 1000}}, "127.0.0.1:8400", None, True),
        ({"credits": {"per_month": 0}}, "127.0.0.1:8400", None, True),
        ({"tokens": {"default": {}}}, "127.0.0.1:8400", None, False),
        ({"tokens": {"shop": _KEY}}, "127.0.0.1:8400", "needed", True),
        ({"tokens": {"shop": {"hosts": ["img.example"]}}}, "127.0.0.1:8400", "needed", True),
        ({"tokens": {"shop": {"hosts": ["img.example"]}}}, "IMG.example:8400", "optional", True),
        ({"tokens": {"shop": _KEY, "default": {}}}, "127.0.0.1:8400", "optional", True),
        ({"tokens": {"shop": _KEY}}, "", "needed", True),
    ],
)
async def test_the_page_knows_whether_a_key_opens_anything_and_whether_credits_count(
    tmp_path: Path, sections: dict[str, Any], host: str, key: str | None, credits: bool
) -> None:
    page = await ask(_app(tmp_path, **sections), "GET", "/", BROWSER | ({"Host": host} if host else {}))
    facts = _facts(page)
    assert (facts["key"], facts["credits"]) == (key, credits)


@pytest.mark.parametrize(
    ("shop", "host", "tier", "is_default"),
    [
        ({}, "127.0.0.1:8400", "fast", True),
        ({"quality": "fast"}, "img.example", "fast", True),
        ({"quality": "best"}, "img.example", "best", False),
        ({"quality": "best"}, "127.0.0.1:8400", "fast", False),
    ],
)
async def test_the_page_names_the_tier_in_urls_unless_it_is_everybodys_default(
    tmp_path: Path, shop: dict[str, Any], host: str, tier: str, *, is_default: bool
) -> None:
    tokens = {"shop": {"hosts": ["img.example"], **shop}, "default": {}}
    app = _app(tmp_path, model={"quality": "fast"}, tokens=tokens)
    facts = _facts(await ask(app, "GET", "/", BROWSER | {"Host": host}))
    assert (facts["tier"], facts["tier_is_default"]) == (tier, is_default)


def test_json_cannot_end_its_element() -> None:
    text = embedded_json({"a": "</script><b>"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><b>"}


async def test_turned_off_there_is_text_only(tmp_path: Path) -> None:
    app = _app(tmp_path, web=WebSettings(demo=False))
    answer = await ask(app, "GET", "/", BROWSER)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
