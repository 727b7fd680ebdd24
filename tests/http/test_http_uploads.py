"""Uploads over HTTP: what the answers say, every problem of docs/states.md, and that nothing else can be reached."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from contract_world import HANGS_UP, HEIGHT, WIDTH, Answer, ask, photo, put_matte, running, settings_for
from PIL import Image
from starlette.types import ASGIApp

from pellucid.settings.model import SettingsTree

UPLOADS = "/-/uploads"
ADMIN = "the operator's"
MAX_BYTES = 100_000


def _settings(folder: Path, **uploads: Any) -> SettingsTree:
    return settings_for(folder, uploads={"max_bytes": MAX_BYTES, **uploads}, web={"wait_s": 0.05, "admin_key": ADMIN})


@pytest_asyncio.fixture
async def app(tmp_path: Path) -> AsyncGenerator[ASGIApp, None]:
    async with running(_settings(tmp_path)) as app:
        yield app


in_modules_loop = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_app(shared_folder: Path) -> AsyncGenerator[ASGIApp, None]:
    """One for all requests that are refused: an application with its render process takes 0.3 s to start and end."""
    async with running(_settings(shared_folder)) as app:
        (shared_folder / "data" / "uploads" / "folder").mkdir()
        (shared_folder / "data" / "receiving" / "half.part").write_bytes(photo(1))
        yield app


async def _send(
    app: ASGIApp, body: bytes | Sequence[bytes | float], *, client: str = "192.0.2.1", **headers: str
) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, bytes):
        named |= {"content-length": str(len(body))}
    return await ask(app, "POST", UPLOADS, named, body=body, client=client)


def _left(folder: Path) -> list[str]:
    """What is left of uploads on the disk."""
    data = folder / "data"
    return [path.name for path in (*(data / "uploads").iterdir(), *(data / "receiving").glob("*.part"))]


def _problem(answer: Answer, status: int, slug: str) -> dict[str, Any]:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == "*"
    document: dict[str, Any] = json.loads(answer.body)
    assert document["type"] == f"urn:problem-type:pellucid:{slug}"
    return document


async def test_a_picture_is_sent_and_shown(tmp_path: Path, app: ASGIApp) -> None:
    data = photo(1)
    before = datetime.now(UTC)
    sent = await _send(app, data, content_type="text/plain")
    assert (sent.status, sent.headers["cache-control"]) == (201, "no-store")
    told = json.loads(sent.body)
    assert set(told) == {"name", "path", "delete_key", "expires_at", "size_bytes", "width", "height", "format"}
    assert re.fullmatch(r"[0-9a-f]{32}\.jpg", told["name"])
    assert sent.headers["location"] == told["path"] == f"/_upload_/{told['name']}"
    assert (told["size_bytes"], told["width"], told["height"], told["format"]) == (len(data), WIDTH, HEIGHT, "jpeg")
    assert told["expires_at"].endswith("Z")
    life = datetime.fromisoformat(told["expires_at"]) - before
    assert timedelta(hours=23) < life < timedelta(hours=25)
    await put_matte(_settings(tmp_path), data)
    for query, state in (("?w=30", None), ("?w=30&bg_remove=1", "ready")):
        for _ in range(2):  # the second time from memory
            shown = await ask(app, "GET", told["path"] + query)
            assert (shown.status, shown.headers.get("pellucid-cutout")) == (200, state)
            assert shown.headers["cache-control"] == "public, max-age=3600, s-maxage=3600"
            assert shown.headers["x-robots-tag"] == "noindex"
            assert Image.open(io.BytesIO(shown.body)).width == 30


async def test_interims_live_no_longer_and_other_pictures_as_ever(tmp_path: Path, app: ASGIApp) -> None:
    told = json.loads((await _send(app, photo(1))).body)
    pending = await ask(app, "GET", told["path"] + "?bg_remove=1")
    assert pending.headers["cache-control"] == "public, max-age=5, s-maxage=5"
    (tmp_path / "pictures" / "a.jpg").write_bytes(photo(2))
    other = await ask(app, "GET", "/_p_/a.jpg")
    assert "max-age=2592000" in other.headers["cache-control"]
    assert "x-robots-tag" not in other.headers


async def test_caches_forget_no_later_than_a_short_lived_upload_would(tmp_path: Path) -> None:
    async with running(_settings(tmp_path, keep_s=60)) as app:
        told = json.loads((await _send(app, photo(1))).body)
        shown = await ask(app, "GET", told["path"])
        assert shown.headers["cache-control"] == "public, max-age=60, s-maxage=60"


async def test_deleted_it_is_gone(tmp_path: Path, app: ASGIApp) -> None:
    data = photo(1)
    told = json.loads((await _send(app, data)).body)
    await put_matte(_settings(tmp_path), data)
    urls = [told["path"] + query for query in ("", "?w=30", "?w=30&bg_remove=1")]
    for url in urls * 2:
        assert (await ask(app, "GET", url)).status == 200
    target = f"{UPLOADS}/{told['name']}"
    for authorization in ({}, {"authorization": "Bearer guess"}, {"authorization": told["delete_key"]}):
        _problem(await ask(app, "DELETE", target, authorization), 401, "key-needed")
    _problem(
        await ask(app, "DELETE", f"{UPLOADS}/{'0' * 32}.jpg", {"authorization": f"Bearer {told['delete_key']}"}),
        404,
        "origin-not-found",
    )
    assert (await ask(app, "GET", urls[0])).status == 200
    deleted = await ask(app, "DELETE", target, {"authorization": f"Bearer {told['delete_key']}"})
    assert (deleted.status, deleted.body) == (204, b"")
    for url in urls * 2:
        assert (await ask(app, "GET", url)).status == 404
    assert _left(tmp_path) == []
    store = tmp_path / "data" / "store"
    assert list((store / "bytes").iterdir()) == []
    assert [path for path in (store / "mattes").rglob("*") if path.is_file()] == []
    again = await ask(app, "DELETE", target, {"authorization": f"Bearer {told['delete_key']}"})
    _problem(again, 404, "origin-not-found")


async def test_bytes_stay_for_who_else_has_them(tmp_path: Path, app: ASGIApp) -> None:
    data = photo(1)
    (tmp_path / "pictures" / "a.jpg").write_bytes(data)
    assert (await ask(app, "GET", "/_p_/a.jpg")).status == 200
    told = json.loads((await _send(app, data)).body)
    assert (await ask(app, "GET", told["path"])).status == 200
    key = {"authorization": f"Bearer {told['delete_key']}"}
    assert (await ask(app, "DELETE", f"{UPLOADS}/{told['name']}", key)).status == 204
    assert (await ask(app, "GET", told["path"])).status == 404
    assert len(list((tmp_path / "data" / "store" / "bytes").iterdir())) == 1


async def test_a_customers_mattes_stay_though_its_bytes_were_evicted(tmp_path: Path, app: ASGIApp) -> None:
    """An upload of a public picture, once deleted, took the cutouts with it."""
    data = photo(1)
    await put_matte(_settings(tmp_path), data)
    told = json.loads((await _send(app, data)).body)
    key = {"authorization": f"Bearer {told['delete_key']}"}
    assert (await ask(app, "DELETE", f"{UPLOADS}/{told['name']}", key)).status == 204
    mattes = tmp_path / "data" / "store" / "mattes"
    assert len([path for path in mattes.rglob("*") if path.is_file()]) == 1


async def test_the_operator_deletes_what_nobody_should_see(app: ASGIApp) -> None:
    told = json.loads((await _send(app, photo(1))).body)
    answer = await ask(app, "DELETE", f"{UPLOADS}/{told['name']}", {"authorization": f"Bearer {ADMIN}"})
    assert answer.status == 204
    assert (await ask(app, "GET", told["path"])).status == 404


@in_modules_loop
@pytest.mark.parametrize(("path", "method"), [(UPLOADS, "POST"), (f"{UPLOADS}/x.jpg", "DELETE")])
async def test_pages_of_other_sites_may(shared_app: ASGIApp, path: str, method: str) -> None:
    asked = {
        "origin": "https://shop.example",
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type",
    }
    answer = await ask(shared_app, "OPTIONS", path, asked)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert method in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type"


async def test_bytes_that_are_not_taken(tmp_path: Path, app: ASGIApp) -> None:
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    rows: list[tuple[bytes | Sequence[bytes | float], int, str]] = [
        (b"", 400, "bad-upload"),
        ([b""], 400, "bad-upload"),
        (bytes(MAX_BYTES + 1), 413, "upload-too-large"),
        ([bytes(60_000), bytes(60_000)], 413, "upload-too-large"),
        (b"<!doctype html><html></html>", 422, "unsupported-format"),
        (photo(1)[:100], 422, "bad-image"),
        (bomb.getvalue(), 422, "image-limit"),
    ]
    for body, status, slug in rows:
        _problem(await _send(app, body), status, slug)
        assert _left(tmp_path) == []


@in_modules_loop
async def test_a_form_is_told_how_to_send(shared_app: ASGIApp) -> None:
    form = await _send(shared_app, b"--x\r\n", content_type="Multipart/form-data; boundary=x", host="pel.example:8400")
    detail = _problem(form, 415, "not-raw")["detail"]
    assert "curl --data-binary @picture.jpg http://pel.example:8400/-/uploads" in detail


@in_modules_loop
async def test_the_declared_length_is_enough_to_refuse(shared_app: ASGIApp) -> None:
    """Nothing is read: the body would never end."""
    declared = {"content-length": str(MAX_BYTES + 1)}
    answer = await asyncio.wait_for(ask(shared_app, "POST", UPLOADS, declared, body=[3600.0, b""]), 60)
    _problem(answer, 413, "upload-too-large")


async def test_slow_senders_lose_their_connection(tmp_path: Path) -> None:
    async with running(_settings(tmp_path, timeout_s=0.2)) as app:
        answer = await asyncio.wait_for(_send(app, [photo(1)[:100], 3600.0, b""]), 60)
        _problem(answer, 408, "upload-timeout")
        assert answer.headers["connection"] == "close"
        assert _left(tmp_path) == []


async def test_who_hangs_up_leaves_nothing(tmp_path: Path, app: ASGIApp) -> None:
    await _send(app, [photo(1)[:100], HANGS_UP])
    assert _left(tmp_path) == []
    with sqlite3.connect(tmp_path / "data" / "pellucid.sqlite") as db:
        assert db.execute("SELECT count(*) FROM uploads").fetchone() == (0,)


async def test_limits_of_a_client_and_of_all(tmp_path: Path) -> None:
    size = len(photo(0))
    async with running(_settings(tmp_path, per_client=2, total_bytes=4 * size + size // 2)) as app:
        for seed in range(2):
            assert (await _send(app, photo(seed), client="2001:db8::1")).status == 201
        refused = await _send(app, photo(3), client="2001:db8::2")
        _problem(refused, 429, "too-many-uploads")
        assert 86_000 < int(refused.headers["retry-after"]) <= 86_400
        for seed in range(4, 6):
            assert (await _send(app, photo(seed), client="2001:db8:0:1::1")).status == 201
        full = await _send(app, photo(6), client="192.0.2.9")
        _problem(full, 503, "busy")
        assert int(full.headers["retry-after"]) >= 1


async def test_where_uploads_are_not_taken(tmp_path: Path) -> None:
    async with running(_settings(tmp_path)) as app:
        told = json.loads((await _send(app, photo(1))).body)
    async with running(_settings(tmp_path, enabled=False)) as app:
        for method, path in (("POST", UPLOADS), ("DELETE", f"{UPLOADS}/{told['name']}")):
            answer = await ask(app, method, path, body=photo(1))
            assert (answer.status, json.loads(answer.body)["type"].rpartition(":")[2]) == (404, "no-such-page")
        assert (await ask(app, "GET", told["path"])).status == 404


async def test_a_disk_that_fails(tmp_path: Path, app: ASGIApp) -> None:
    receiving = tmp_path / "data" / "receiving"
    shutil.rmtree(receiving)
    receiving.write_bytes(b"")
    problem = _problem(await _send(app, photo(1)), 503, "store")
    assert "detail" not in problem, "paths of this machine stay in the log"


@pytest.mark.slow
async def test_a_database_that_is_held(tmp_path: Path, app: ASGIApp) -> None:
    holder = sqlite3.connect(tmp_path / "data" / "pellucid.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    _problem(await _send(app, photo(1)), 503, "database")
    holder.execute("ROLLBACK")
    holder.close()
    assert _left(tmp_path) == []
    assert (await _send(app, photo(1))).status == 201


@in_modules_loop
@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/.",
        "/..",
        "/../serve.lock",
        "/..%2freceiving%2fsecret",
        "/%2e%2e/receiving/secret",
        "/..%252freceiving%252fsecret",
        "/..\\receiving\\secret",
        "//etc/passwd",
        "/.hidden.jpg",
        "/folder",
        "/%00.jpg",
    ],
)
async def test_nothing_but_uploads_can_be_reached(shared_app: ASGIApp, path: str) -> None:
    answer = await ask(shared_app, "GET", f"/_upload_{path}")
    assert answer.status in (400, 404), answer.body
    half = await ask(shared_app, "GET", "/_upload_/half.part")
    assert half.status == 404


@in_modules_loop
@pytest.mark.parametrize("name", ["..%2freceiving%2fsecret", "%2e%2e", "secret", "%00", "a/b", "x" * 3000])
async def test_names_that_are_none_delete_nothing(shared_folder: Path, shared_app: ASGIApp, name: str) -> None:
    answer = await ask(shared_app, "DELETE", f"{UPLOADS}/{name}", {"authorization": f"Bearer {ADMIN}"})
    assert answer.status in (404, 405)
    assert (shared_folder / "data" / "receiving" / "secret").is_file()


async def test_uploads_are_in_the_name_of_the_token(tmp_path: Path) -> None:
    key = "pel_of-the-shop"
    shop = {"hosts": ["img.shop.example"], "key_hash": hashlib.sha256(key.encode()).hexdigest()}
    settings = SettingsTree.model_validate({**_settings(tmp_path).model_dump(), "tokens": {"shop": shop}})
    async with running(settings) as app:
        _problem(await _send(app, photo(1), host="elsewhere.example"), 401, "key-needed")
        for headers in ({"host": "img.shop.example"}, {"host": "x.example", "authorization": f"Bearer {key}"}):
            assert (await _send(app, photo(1), **headers)).status == 201
    with sqlite3.connect(tmp_path / "data" / "pellucid.sqlite") as db:
        assert db.execute("SELECT DISTINCT token FROM uploads").fetchall() == [("shop",)]


@pytest.mark.slow
async def test_over_either_database(tmp_path: Path, database_url: str) -> None:
    """The server's own way to it: the URL in the settings."""
    plain = _settings(tmp_path, per_client=1).model_dump()
    settings = SettingsTree.model_validate({**plain, "database": {"url": database_url}})
    async with running(settings) as app:
        told = json.loads((await _send(app, photo(1))).body)
        _problem(await _send(app, photo(2)), 429, "too-many-uploads")
        assert (await ask(app, "GET", told["path"])).status == 200
        key = {"authorization": f"Bearer {told['delete_key']}"}
        assert (await ask(app, "DELETE", f"{UPLOADS}/{told['name']}", key)).status == 204
        assert (await ask(app, "GET", told["path"])).status == 404
        assert (await _send(app, photo(2))).status == 201
