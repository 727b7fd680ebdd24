"""Half a download, over real HTTP: shown for a minute at most, never cut, never charged, and gone when it is whole."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from contract_world import Answer, ask, fail_matte, pay, put_matte, running, settings_for
from event_client import Client
from PIL import Image
from starlette.types import ASGIApp

from pellucid.settings.model import SettingsTree
from pellucid.spec import DEFAULT_TOKEN
from pellucid.wiring.storage import open_database, open_queue

LONG = "public, max-age=2592000, s-maxage=31536000"
MINUTE = "public, max-age=60, s-maxage=60"
ADMIN = "a key of the operator's own"
WIDTH, HEIGHT = 60, 40  # of the mattes that are put there


def picture(format_: str, seed: int = 1, **options: object) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format_, **options)
    return out.getvalue()


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def holed(data: bytes) -> bytes:
    """Whole by its structure, and corrupt in the middle."""
    at = len(data) // 2
    return data[:at] + bytes(len(data) // 8) + data[at + len(data) // 8 :]


class Shop:
    """An HTTP/1.0 server: a body ends where the connection does, and whatever it has, it has the same ETag."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.conditions: list[bool] = []
        self.host = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.conditions.append(b"if-none-match" in head.lower())
            if self.conditions[-1]:
                writer.write(b'HTTP/1.0 304 Not Modified\r\nETag: "same"\r\n\r\n')
            else:
                writer.write(b'HTTP/1.0 200 OK\r\nETag: "same"\r\nCache-Control: max-age=86400\r\n\r\n' + self.body)
            await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def url(self, query: str = "", name: str = "a") -> str:
        return f"/{quote(f'http://{self.host}/{name}')}" + (f"?{query}" if query else "")


@asynccontextmanager
async def shop_with(body: bytes) -> AsyncGenerator[Shop]:
    shop = Shop(body)
    server = await asyncio.start_server(shop.answer, "127.0.0.1", 0)
    shop.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield shop


@pytest.fixture
def settings(tmp_path: Path) -> SettingsTree:
    return settings_for(
        tmp_path,
        origin={"allow_networks": ["127.0.0.0/8"], "allow_ports": None},
        web={"wait_s": 0.02, "admin_key": ADMIN},
    )


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged bytes are believed for a moment, so that nobody waits for a minute."""
    monkeypatch.setattr("pellucid.source.renewing.DAMAGED_S", 0.05)


async def owed_and_spent(settings: SettingsTree) -> tuple[int, int, int]:
    """Removals owed, credits charged and held."""
    async with open_database(settings) as database, open_queue(settings, database) as queue:
        stats = await queue.stats()
        balance = await queue.balance(DEFAULT_TOKEN)
    return stats.waiting + stats.running, balance.charged, balance.held


def check_damaged(answer: Answer, *, cutout: str | None = None) -> None:
    assert answer.status == 200
    assert answer.headers["pellucid-origin"] == "damaged"
    assert answer.headers["cache-control"] == MINUTE
    assert answer.headers.get("pellucid-cutout") == cutout
    assert "hot" not in answer.headers["cache-status"]
    assert "Pellucid-Origin" in answer.headers["access-control-expose-headers"]
    with Image.open(io.BytesIO(answer.body)) as image:
        assert image.size == (30, 20)


def check_sound(answer: Answer, life: str = LONG) -> None:
    assert (answer.status, answer.headers["cache-control"]) == (200, life)
    assert "pellucid-origin" not in answer.headers


async def until_sound(app: ASGIApp, url: str) -> Answer:
    """A stale answer is given while its origin is slow to answer: the next one is of what came."""
    deadline = time.monotonic() + 60
    while "pellucid-origin" in (answer := await ask(app, "GET", url)).headers or answer.status == 422:
        assert time.monotonic() < deadline
    return answer


FORMS = {
    "jpeg": picture("JPEG"),
    "progressive jpeg": picture("JPEG", progressive=True),
    "png": picture("PNG"),
    "gif": picture("GIF"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("soon")
async def test_half_a_picture_lives_until_the_whole_one_comes(settings: SettingsTree, form: str) -> None:
    async with shop_with(half(FORMS[form])) as shop, running(settings) as app:
        plain, cut = shop.url("w=30"), shop.url("w=30&bg_remove=1")
        for _ in range(2):
            check_damaged(await ask(app, "GET", plain))
            check_damaged(await ask(app, "GET", cut), cutout="failed;reason=damaged")
        assert await owed_and_spent(settings) == (0, 0, 0)
        shop.body = FORMS[form]
        await until_sound(app, plain)
        check_sound(await ask(app, "GET", plain))
        pending = await ask(app, "GET", cut)
        check_sound(pending, "public, max-age=5, s-maxage=5")
        assert pending.headers["pellucid-cutout"].startswith("pending")
        assert (await owed_and_spent(settings))[0] == 1
        assert not any(shop.conditions), "half a file came with the validators of the whole one"
        await put_matte(settings, FORMS[form])
        await pay(settings, FORMS[form])
        ready = await ask(app, "GET", cut)
        check_sound(ready)
        assert ready.headers["pellucid-cutout"] == "ready"


@pytest.mark.parametrize("form", ["progressive jpeg", "png", "gif"])
@pytest.mark.parametrize("query", ["w=30", "w=30&bg_remove=1"])
@pytest.mark.usefixtures("soon")
async def test_a_hole_is_noticed_by_the_first_who_looks(settings: SettingsTree, form: str, query: str) -> None:
    """Its structure is whole: the first answer says it all the same, and so do those of other URLs and processes."""
    body = holed(FORMS[form])
    async with shop_with(body) as shop:
        cutout = "failed;reason=damaged" if "bg_remove" in query else None
        for _ in range(2):
            async with running(settings) as app:
                answers = await asyncio.gather(*(ask(app, "GET", shop.url(query)) for _ in range(4)))
                answers.append(await ask(app, "GET", shop.url(query, name="b")))
                for answer in answers:
                    check_damaged(answer, cutout=cutout)
        async with running(settings) as app:
            shop.body = FORMS[form]
            await until_sound(app, shop.url("w=30"))
            check_sound(await ask(app, "GET", shop.url("w=30")))
    assert (await owed_and_spent(settings))[1] == 0


@pytest.mark.parametrize("hurt", [half, holed])
async def test_the_cutout_of_the_former_picture_is_shown_meanwhile(
    settings: SettingsTree, tmp_path: Path, hurt: Callable[[bytes], bytes]
) -> None:
    good, other = picture("PNG", 1), picture("PNG", 2)
    path = tmp_path / "pictures" / "a.png"
    path.write_bytes(good)
    await put_matte(settings, good)
    await pay(settings, good)
    url = "/_p_/a.png?w=30&bg_remove=1"
    async with running(settings) as app:
        before = await ask(app, "GET", url)
        assert before.headers["pellucid-cutout"] == "ready"
        path.write_bytes(hurt(other))
        await forget(app)
        if hurt is holed:
            # Nobody decodes the new bytes as long as the former ones are shown, until a worker does.
            assert (await ask(app, "GET", url)).headers["pellucid-cutout"].startswith("stale;position=1")
            await fail_matte(settings, hurt(other), reason="damaged")
        after = await ask(app, "GET", url)
        check_damaged(after, cutout="stale;reason=damaged")
        assert after.body == before.body
        path.write_bytes(good)
        await forget(app)
        assert (await ask(app, "GET", url)).headers["pellucid-cutout"] == "ready"
    assert (await owed_and_spent(settings))[1] == 200, "the good one alone"


async def forget(app: ASGIApp) -> None:
    """As an operator does who changed the picture."""
    headers = {"authorization": f"Bearer {ADMIN}", "content-type": "application/json"}
    body = json.dumps({"urls": ["/_p_/a.png"]}).encode()
    assert (await ask(app, "POST", "/-/invalidate", headers, body=body)).status == 200


async def test_what_a_worker_learns_holds_for_what_was_shown_before(settings: SettingsTree, tmp_path: Path) -> None:
    """A part of the picture in which nothing is missing was rendered, and its cutout owed."""
    data = picture("JPEG", 7)
    (tmp_path / "pictures" / "a.jpg").write_bytes(data)
    async with running(settings) as app:
        check_sound(await ask(app, "GET", "/_p_/a.jpg?w=30"))
        await fail_matte(settings, data, reason="damaged")
        check_damaged(await ask(app, "GET", "/_p_/a.jpg?w=30&bg_remove=1"), cutout="failed;reason=damaged")
        check_damaged(await ask(app, "GET", "/_p_/a.jpg?w=30&q=80"))


async def test_status_and_events_say_the_same(settings: SettingsTree, tmp_path: Path) -> None:
    (tmp_path / "pictures" / "a.jpg").write_bytes(half(picture("JPEG")))
    async with running(settings) as app:
        status = await ask(app, "GET", "/-/status/_p_/a.jpg?bg_remove=1")
        told = json.loads(status.body)
        assert (told["state"], told["reason"], told["credits"].get("charged")) == ("failed", "damaged", None)
        stream = Client(app, "/-/events/_p_/a.jpg")
        await stream.hears('"reason":"damaged"')
        assert "event: failed" in stream.text
        await asyncio.wait_for(stream.task, 60)  # nothing can change any more: it ends by itself
    assert await owed_and_spent(settings) == (0, 0, 0)


async def test_a_304_says_it_too(settings: SettingsTree, tmp_path: Path) -> None:
    (tmp_path / "pictures" / "a.jpg").write_bytes(half(picture("JPEG")))
    async with running(settings) as app:
        whole = await ask(app, "GET", "/_p_/a.jpg?w=30")
        again = await ask(app, "GET", "/_p_/a.jpg?w=30", {"if-none-match": whole.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert (again.headers["pellucid-origin"], again.headers["cache-control"]) == ("damaged", MINUTE)


NOTHING_SHOWN = {"webp": picture("WEBP"), "avif": picture("AVIF"), "bmp": picture("BMP"), "jp2": picture("JPEG2000")}


@pytest.mark.parametrize("form", NOTHING_SHOWN)
@pytest.mark.usefixtures("soon")
async def test_where_nothing_can_be_shown_the_problem_lives_as_short(
    settings: SettingsTree, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr("pellucid.source.renewing._NO_PICTURE_S", 0.05)
    async with shop_with(half(NOTHING_SHOWN[form])) as shop, running(settings) as app:
        for query in ("w=30", "w=30&bg_remove=1"):
            answer = await ask(app, "GET", shop.url(query))
            assert (answer.status, answer.headers["cache-control"]) == (422, MINUTE)
            assert json.loads(answer.body)["type"].endswith(":bad-image")
        assert await owed_and_spent(settings) == (0, 0, 0)
        shop.body = NOTHING_SHOWN[form]
        check_sound(await until_sound(app, shop.url("w=30")))
        assert not any(shop.conditions)


@pytest.mark.usefixtures("soon")
async def test_what_fails_when_it_is_decoded_is_asked_for_again(settings: SettingsTree) -> None:
    """Its header is sound, and so is its structure: it is found out when it is rendered."""
    good = picture("AVIF")
    async with shop_with(holed(good)) as shop, running(settings) as app:
        for query in ("w=30", "w=30&bg_remove=1"):
            answer = await ask(app, "GET", shop.url(query))
            assert (answer.status, answer.headers["cache-control"]) == (422, MINUTE)
        shop.body = good
        check_sound(await until_sound(app, shop.url("w=30")))
        assert not any(shop.conditions)
    assert (await owed_and_spent(settings))[1] == 0
