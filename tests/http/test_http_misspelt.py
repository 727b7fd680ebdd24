"""URLs that do not say what their author meant: escaped for HTML, misspelt, signed, or meant for another server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import http_sf
import pytest
import pytest_asyncio
from contract_world import Answer, ask, photo, put_matte, running, settings_for
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from pellucid.customers.customer import hash_key

LONG = "public, max-age=2592000, s-maxage=31536000"
FIVE_MINUTES = "public, max-age=300, s-maxage=300"
KEY = "pel_of_the_shop"

in_modules_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[ASGIApp, None]:
    folder = tmp_path_factory.mktemp("misspelt")
    settings = settings_for(
        folder,
        cdn={"targeted": True},
        tokens={"default": {}, "shop": {"key_hash": hash_key(KEY)}},
    )
    for name in ("plain", "hot", "keyed", "cut"):
        (folder / "pictures" / f"{name}.jpg").write_bytes(photo(len(name)))
    await put_matte(settings, photo(len("cut")))
    async with running(settings) as app:
        yield app


def _problem(answer: Answer) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answer.body)
    return document


@in_modules_loop
@pytest.mark.parametrize("escaped", ["&amp;", "&amp;amp;", "&AMP;", "&%2338;", "&%23x26;", "&amp%3B"])
async def test_an_ampersand_that_was_escaped_is_one(app: ASGIApp, escaped: str) -> None:
    plain = await ask(app, "GET", "/_p_/plain.jpg?w=31&h=17&force_format=png")
    answer = await ask(app, "GET", "/_p_/plain.jpg?w=31&h=17&force_format=png".replace("&", escaped))
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "image/png", plain.body)
    assert answer.headers["cache-control"] == LONG
    assert "pellucid-ignored" not in answer.headers
    status = await ask(app, "GET", f"/-/status/_p_/plain.jpg?w=31{escaped}bg_remove=1")
    assert _problem(status)["image"] == "/_p_/plain.jpg?w=31&bg_remove=1"


@in_modules_loop
@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("widht=20", [("widht", {"meant": "width"})]),
        ("_=3&heigth=20", [("_", {}), ("heigth", {"meant": "height"})]),
        ("bgremove=1", [("bgremove", {"meant": "bg_remove"})]),
        ("amp;bg_remvoe=1", [("bg_remvoe", {"meant": "bg_remove"})]),
        ("f=grey", [("f", {"unsupported": True})]),
        ("qualty=3", [("qualty", {"meant": "q"})]),
    ],
)
async def test_what_was_meant_is_said_and_soon_forgotten(
    app: ASGIApp, query: str, told: list[tuple[str, dict[str, object]]]
) -> None:
    url = f"/_p_/hot.jpg?w=23&{query}"
    for found in ("rendered", "memory", "hot"):
        answer = await ask(app, "GET", url)
        assert answer.headers["cache-control"] == FIVE_MINUTES, found
        assert answer.headers["cdn-cache-control"] == "max-age=300", found
        assert http_sf.parse(answer.headers["pellucid-ignored"].encode(), tltype="list") == told
    same = await ask(app, "GET", url, {"if-none-match": answer.headers["etag"]})
    assert (same.status, same.headers["cache-control"]) == (304, FIVE_MINUTES)
    head = await ask(app, "HEAD", url)
    assert (head.status, head.headers["cache-control"], head.body) == (200, FIVE_MINUTES, b"")


@in_modules_loop
async def test_for_the_holder_of_a_key_too(app: ASGIApp) -> None:
    for _ in range(2):
        answer = await ask(app, "GET", "/_p_/keyed.jpg?w=20&widht=3", {"authorization": f"Bearer {KEY}"})
        assert answer.headers["cache-control"] == "private, max-age=300"
        assert "cdn-cache-control" not in answer.headers


@in_modules_loop
async def test_shorter_lives_stay_short_and_the_state_stays_what_it_is(app: ASGIApp) -> None:
    pending = await ask(app, "GET", "/_p_/plain.jpg?bg_remove=1&w=20&bg_colr=456")
    assert pending.headers["pellucid-cutout"].startswith("pending")
    assert pending.headers["cache-control"] == "public, max-age=5, s-maxage=5"
    ready = await ask(app, "GET", "/_p_/cut.jpg?bg_remove=1&w=20&bg_colr=456")
    assert (ready.headers["pellucid-cutout"], ready.headers["cache-control"]) == ("ready", FIVE_MINUTES)


@in_modules_loop
@pytest.mark.parametrize(
    "query",
    ["utm_source=a&utm_campaign=b", "fbclid=x", "_=17327", "cachebuster=1"],
)
async def test_cache_busters_change_nothing(app: ASGIApp, query: str) -> None:
    for _ in range(2):
        answer = await ask(app, "GET", f"/_p_/plain.jpg?w=20&{query}")
        assert answer.headers["cache-control"] == LONG
        assert ";" not in answer.headers["pellucid-ignored"]


@in_modules_loop
@pytest.mark.parametrize("query", ["v=2", "vh=xx", "version=1.2.3", "v7"])
async def test_a_known_cache_buster_is_another_rendition_of_the_same_matte(app: ASGIApp, query: str) -> None:
    plain = await ask(app, "GET", "/_p_/cut.jpg?w=21&bg_remove=1")
    assert plain.headers["pellucid-cutout"] == "ready"
    first = await ask(app, "GET", f"/_p_/cut.jpg?w=21&bg_remove=1&{query}")
    assert first.headers["pellucid-cutout"] == "ready"
    assert "detail=rendered" in first.headers["cache-status"]
    assert first.headers["cache-control"] == LONG
    assert "pellucid-ignored" not in first.headers
    assert first.body == plain.body
    again = await ask(app, "GET", f"/_p_/cut.jpg?w=21&bg_remove=1&{query}")
    assert "hit" in again.headers["cache-status"]


SIGNED = [
    *["ci_sign=2ab5", "ci_seal=67dd8cc4", "ci_eqs=d2F0PTE", "ci_eqs=d2F0PTE&ci_seal=67dd8cc4", "w=20&ci_sign=2ab5"],
    *["ci_sign", "ci_sign=", "amp;ci_sign=2ab5", "w=20&amp;ci_seal=2ab5", "ci%5Fsign=2ab5", "%63i_sign=2ab5"],
    *["CI_SIGN=2ab5", "Ci_Seal=2ab5", "ci-sign=2ab5", "cisign=2ab5", "amp;amp;CI_EQS=2ab5", "ci_sign=a&ci_sign=b"],
]


@in_modules_loop
@pytest.mark.parametrize("query", SIGNED)
async def test_a_signed_url_is_no_unsigned_one(app: ASGIApp, query: str) -> None:
    for path in ("", "/-/status", "/-/events"):
        answer = await ask(app, "GET", f"{path}/_p_/plain.jpg?{query}")
        assert answer.status == 400, path
        problem = _problem(answer)
        assert problem["type"] == "urn:problem-type:pellucid:bad-value"
        assert problem["parameter"].lower().replace("-", "_") in ("ci_sign", "cisign", "ci_seal", "ci_eqs")
        assert "not checked by this server yet" in problem["detail"]
    listed = await ask(app, "GET", f"/-/events?url=/_p_/plain.jpg?{query.replace('&', '%26')}")
    assert listed.status == 400


class Names(asyncio.DatagramProtocol):
    """A name server that counts what it is asked, and answers nothing."""

    def __init__(self) -> None:
        self.asked = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1


@asynccontextmanager
async def _counting_names(folder: Path) -> AsyncGenerator[tuple[ASGIApp, Names], None]:
    transport, names = await asyncio.get_running_loop().create_datagram_endpoint(Names, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        async with running(
            settings_for(folder, origin={"nameservers": f"127.0.0.1:{port}", "connect_timeout_s": 0.3})
        ) as app:
            yield app, names
    finally:
        transport.close()


async def test_pages_of_other_servers_are_404_without_a_look_up(tmp_path: Path) -> None:
    pages = [
        *[
            "/index.html",
            "/wp-login.php",
            "/.env",
            "/apple-touch-icon.png",
            "/sitemap.xml",
            "/.well-known/security.txt",
        ],
        *[
            "/xmlrpc.php/foo",
            "/wp-admin/setup-config.php",
            "/cgi-bin/x",
            "/vendor/phpunit/eval-stdin.php",
            "/photos.zip",
        ],
    ]
    async with _counting_names(tmp_path) as (app, names):
        with capture_logs() as logs:
            for page in pages:
                for url in (page, f"{page}?w=400", f"/-/status{page}", f"/-/events{page}"):
                    answer = await ask(app, "GET", url)
                    assert answer.status == 404, url
                    assert answer.headers["content-type"] == "application/problem+json"
                    assert answer.headers["cache-control"] == "public, max-age=300, s-maxage=300"
                    assert _problem(answer)["type"] == "urn:problem-type:pellucid:no-such-page"
        assert names.asked == 0
        assert {each["log_level"] for each in logs} <= {"debug"}
        with capture_logs() as logs:
            assert (await ask(app, "GET", "/h.example/a.jpg")).status == 504, "it may be a host, and is looked up"
        assert names.asked > 0
        assert "error" in {each["log_level"] for each in logs}
