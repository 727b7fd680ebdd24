"""A web process in this one, with pictures whose cutouts stand in every state; no worker, mattes are put there."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote

import numpy as np
from PIL import Image
from starlette.types import ASGIApp, Message

from pellucid.cutout.recipe import Recipe
from pellucid.http.app import create_app
from pellucid.image.matte_file import pack_matte, unpack_header
from pellucid.inference.runtime import Precision
from pellucid.ledger.values import Claim, ClaimStatus
from pellucid.liveness.lock_files import LockFiles
from pellucid.liveness.port import WorkerInfo
from pellucid.mattes import facts
from pellucid.mattes.facts import MatteFacts
from pellucid.mattes.files import MatteFiles
from pellucid.queue.queue import Queue
from pellucid.queue.values import Job, JobPermanentError, Pending, Submission
from pellucid.queue.worker_loop import WorkerLoop
from pellucid.settings.model import SettingsTree
from pellucid.spec import DEFAULT_TOKEN, Tier, Token
from pellucid.store import keys
from pellucid.wiring.paths import Paths
from pellucid.wiring.storage import open_blobs, open_database, open_queue, store_name

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
async def running(settings: SettingsTree, *, recipe: Recipe = RECIPE) -> AsyncGenerator[ASGIApp, None]:
    """The application between start-up and shutdown."""
    app = create_app(settings, recipe=recipe)
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


async def put_matte(
    settings: SettingsTree,
    data: bytes,
    *,
    recipe: Recipe = RECIPE,
    empty: bool = False,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    page: int = 1,
) -> None:
    """What a worker leaves behind for a page of these bytes, a picture of `size` (width, height)."""
    width, height = size
    alpha = np.zeros((height, width), np.uint8)
    alpha[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = 255
    digest = keys.digest(data)
    blob = pack_matte(alpha, width=width, height=height, confidence=0.9, empty=empty, recipe_id=recipe.id)
    name = keys.matte_name(digest, page - 1, recipe.id)
    await MatteFiles(open_blobs(settings)).write(name, blob)
    known = MatteFacts.of_header(name, unpack_header(blob), tier=Tier.STANDARD, size_bytes=len(blob))
    store = store_name(Paths.below(settings.data_dir))
    async with open_database(settings) as database:
        await database.run(lambda db: facts.write(db, known, store=store, now=time.time()))


async def pay(settings: SettingsTree, data: bytes, *, token: Token = DEFAULT_TOKEN) -> None:
    """As if the token had been charged for the matte of these bytes."""
    async with open_database(settings) as database, open_queue(settings, database) as queue:
        standing, _ = await queue.charge(_claim(data, token), may_spend=True)
        assert standing is ClaimStatus.PAID


async def owe(queue: Queue, data: bytes, *, token: Token = DEFAULT_TOKEN) -> Job:
    """As a request in another process does."""
    digest = keys.digest(data)
    job = Job(key=keys.matte_name(digest, 0, RECIPE.id), origin_digest=digest, page=0, recipe_id=RECIPE.id)
    answer = await queue.submit(Submission(job=job, claim=_claim(data, token)))
    assert isinstance(answer.receipt, Pending)
    return job


def _claim(data: bytes, token: Token) -> Claim:
    return Claim(token=token, origin_digest=keys.digest(data), tier=Tier.STANDARD, origin_host="_p_")


def worker_info() -> WorkerInfo:
    """A worker that makes what the server wishes."""
    return WorkerInfo(worker_id="w", pid=1, model="m", device="d", precision="int8", recipe_ids=(RECIPE.id,))


async def fail_matte(settings: SettingsTree, data: bytes, *, reason: str = "undecodable") -> None:
    """The removal of these bytes, refused by a worker."""

    async def refuse(_: Job) -> NoReturn:
        raise JobPermanentError(reason)

    async with open_database(settings) as database, open_queue(settings, database) as queue:
        job = await owe(queue, data)
        stop = asyncio.Event()
        worker_loop = WorkerLoop(database, queue, LockFiles(Paths.below(settings.data_dir).workers))
        work = asyncio.create_task(worker_loop.run(refuse, info=worker_info(), stop=stop))
        assert await queue.wait(job.key, timeout_s=10)
        stop.set()
        await work
