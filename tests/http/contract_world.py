"""A web process in this one, with pictures whose cutouts stand in every state; no worker, mattes are put there."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from PIL import Image
from starlette.types import ASGIApp, Message

from pellucid import keys
from pellucid.cutout.recipe import Recipe
from pellucid.cutout.runtime import Precision
from pellucid.http.app import create_app
from pellucid.image.matte_file import pack_matte
from pellucid.ledger.values import Claim, Standing
from pellucid.mattes import Mattes
from pellucid.queue.port import Job, JobRefusedError, Priority, WorkerInfo
from pellucid.settings.model import SettingsTree
from pellucid.spec import DEFAULT_TOKEN, Tier, Token
from pellucid.wiring.accounts import ledger_of
from pellucid.wiring.storage import open_blobs, open_database, open_queue

RECIPE = Recipe(model="u2net", precision=Precision.INT8)
OLDER = Recipe(model="u2net", precision=Precision.INT8, version=RECIPE.version - 1)
WIDTH, HEIGHT = 60, 40

HANGS_UP = -1.0
"""In the place of a pause: the client goes away."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def ask(
    app: ASGIApp,
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    body: bytes | Sequence[bytes | float] = b"",
    client: str = "127.0.0.1",
) -> Answer:
    """One request, without a network. `body` may be what comes one after the other: bytes, pauses in seconds, and
    `HANGS_UP` at the end of what does.
    """
    path, _, query = url.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "server": ("127.0.0.1", 80),
        "client": (client, 9),
    }
    sent: list[Message] = []
    coming = [body] if isinstance(body, bytes) else list(body)

    async def receive() -> Message:
        while coming and isinstance(coming[0], float):
            pause_s = float(coming.pop(0))
            if pause_s < 0:
                return {"type": "http.disconnect"}
            await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": coming.pop(0) if coming else b"", "more_body": bool(coming)}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    assert len(answered) == len(sent[0]["headers"]), "a header stands there twice"
    return Answer(sent[0]["status"], answered, b"".join(message.get("body", b"") for message in sent[1:]))


@asynccontextmanager
async def running(settings: SettingsTree) -> AsyncGenerator[ASGIApp, None]:
    """The application between start-up and shutdown."""
    app = create_app(settings, recipe=RECIPE)
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    outbox: asyncio.Queue[Message] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, inbox.get, outbox.put))
    await inbox.put({"type": "lifespan.startup"})
    assert (await outbox.get())["type"] == "lifespan.startup.complete"
    try:
        yield app
    finally:
        await inbox.put({"type": "lifespan.shutdown"})
        assert (await outbox.get())["type"] == "lifespan.shutdown.complete"
        await life


def settings_for(folder: Path, **more: Any) -> SettingsTree:
    """Settings of a server whose alias `_p_` is `folder`/pictures."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    return SettingsTree.model_validate(
        {
            "data_dir": folder / "data",
            "aliases": {"_p_": (folder / "pictures").resolve().as_uri()},
            "render": {"processes": 1},
            "web": {"wait_s": 0.02},
            **more,
        }
    )


def photo(seed: int, *, suffix: str = "JPEG") -> bytes:
    """Noise, so that each has bytes of its own."""
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, suffix)
    return out.getvalue()


async def put_matte(settings: SettingsTree, data: bytes, *, recipe: Recipe = RECIPE, empty: bool = False) -> None:
    """What a worker leaves behind for these bytes."""
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[10:30, 15:45] = 255
    digest = keys.digest(data)
    blob = pack_matte(alpha, width=WIDTH, height=HEIGHT, confidence=0.9, empty=empty, recipe_id=recipe.id)
    name = keys.matte_name(digest, 0, recipe.id)
    await Mattes(open_blobs(settings)).store(name, blob, origin_digest=digest, page=0, tier=Tier.STANDARD)


async def pay(settings: SettingsTree, data: bytes, *, token: Token = DEFAULT_TOKEN) -> None:
    """As if the token had been charged for the matte of these bytes."""
    async with open_queue(settings), open_database(settings) as database:
        claim = Claim(token=token, origin_digest=keys.digest(data), tier=Tier.STANDARD, origin_host="_p_")
        assert await ledger_of(settings, database).charge(claim) is Standing.PAID


async def fail_matte(settings: SettingsTree, data: bytes) -> None:
    """The job of these bytes, refused by a worker."""
    job = Job(key=keys.matte_name(keys.digest(data), 0, RECIPE.id), origin_digest="x", page=0, recipe_id=RECIPE.id)

    async def refuse(_: Job) -> None:
        raise JobRefusedError("undecodable")

    async with open_queue(settings) as queue:
        await queue.submit(job, priority=Priority.IMPATIENT)
        stop = asyncio.Event()
        info = WorkerInfo(worker_id="w", pid=1, model="m", device="d", precision="int8")
        work = asyncio.create_task(queue.work(refuse, info=info, stop=stop))
        assert await queue.wait(job.key, timeout_s=10)
        stop.set()
        await work
