"""Whose pictures an answer shows where customers have keys of their own for one origin."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from contract_world import Answer, ask, photo, running, settings_for
from PIL import Image
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from pellucid.customers.customer import hash_key

PICTURES = {"key-of-the-shop": photo(1, suffix="PNG"), "key-of-the-blog": photo(2, suffix="PNG")}


@asynccontextmanager
async def _origin() -> AsyncGenerator[tuple[str, list[web.BaseRequest]], None]:
    """A bucket: each key opens a picture of its own, none opens nothing."""
    requests: list[web.BaseRequest] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        requests.append(request)
        picture = PICTURES.get(request.headers.get("X-Api-Key", ""))
        return web.Response(status=403) if picture is None else web.Response(body=picture, content_type="image/png")

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}", requests
    finally:
        await runner.cleanup()


def _customer(name: str) -> dict[str, object]:
    return {
        "key_hash": hash_key(f"pel_{name}"),
        "origin_headers": {"http://127.0.0.1": {"X-Api-Key": f"key-of-the-{name}"}},
    }


def _pixels(picture: bytes) -> bytes:
    return Image.open(io.BytesIO(picture)).convert("RGB").tobytes()


async def _ask_as(app: ASGIApp, name: str, url: str) -> Answer:
    return await ask(app, "GET", url, {"authorization": f"Bearer pel_{name}"} if name else {})


async def test_one_url_shows_each_customer_their_own_picture(tmp_path: Path) -> None:
    async with _origin() as (host, requests):
        settings = settings_for(
            tmp_path,
            origin={"allow_networks": "127.0.0.0/8", "allow_ports": "*"},
            tokens={"default": {}, "shop": _customer("shop"), "blog": _customer("blog")},
        )
        url = f"/http://{host}/a.png?force_format=png"
        with capture_logs() as logs:
            async with running(settings) as app:
                for _ in range(3):
                    for name in ("shop", "blog"):
                        answer = await _ask_as(app, name, url)
                        assert _pixels(answer.body) == _pixels(PICTURES[f"key-of-the-{name}"])
                        assert answer.headers["cache-control"].startswith("private")
                    nobody = await _ask_as(app, "", url)
                    assert (nobody.status, json.loads(nobody.body)["type"].rpartition(":")[2]) == (
                        403,
                        "origin-forbidden",
                    )
                assert len(requests) == 3
            async with running(settings) as app:  # another process with the same store
                assert _pixels((await _ask_as(app, "blog", url)).body) == _pixels(PICTURES["key-of-the-blog"])
                assert len(requests) == 3
        assert not any("key-of-the" in str(each) for each in logs)


async def test_a_key_that_was_changed_shows_what_the_new_one_opens(tmp_path: Path) -> None:
    def settings(key: str | None):  # noqa: ANN202
        table = {} if key is None else {"127.0.0.1": {"X-Api-Key": key}}
        table = {f"http://{host}": pairs for host, pairs in table.items()}
        return settings_for(tmp_path, origin={"allow_networks": "127.0.0.0/8", "allow_ports": "*", "headers": table})

    async with _origin() as (host, requests):
        url = f"/http://{host}/a.png?force_format=png"
        for key in ("key-of-the-shop", "key-of-the-blog"):
            async with running(settings(key)) as app:
                for _ in range(2):
                    assert _pixels((await ask(app, "GET", url)).body) == _pixels(PICTURES[key])
        async with running(settings(None)) as app:
            assert (await ask(app, "GET", url)).status == 403
        assert len(requests) == 3
