"""The matte worker with a real queue, a real store and a tiny model: charges, postponements, retries."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pdf_files import Page, document
from pellucid.database.database import Database
from pellucid.engine import Engine
from pellucid.errors import DatabaseError
from pellucid.ledger.values import Claim
from pellucid.mattes.facts import MatteFacts
from pellucid.mattes.files import MatteFiles
from pellucid.queue.values import Failed, Job, Pending, Submission
from pellucid.spec import Tier
from pellucid.store import keys
from pellucid.store.objects import ObjectBlobs
from pellucid.system.exit_codes import EXIT_MEMORY
from tiny import TinyModel
from worker_world import BLOG, SHOP, Clock, World, handler_of, info_of, job_of, matte_of, photo


@pytest.fixture(scope="module")
def engine(tiny_model: TinyModel) -> Engine:
    return Engine(models_dir=tiny_model.models_dir, model="tiny", cards=tiny_model.cards, precision="f32", threads=1)


@pytest.fixture
def blobs(tmp_path: Path) -> ObjectBlobs:
    return ObjectBlobs.local(tmp_path / "store")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[World]:
    database = await Database.open(f"sqlite:///{tmp_path / 'pellucid.sqlite'}", busy_timeout_s=0.1)
    world = World(tmp_path, database, Clock())
    yield world
    await world.queue.aclose()
    await database.aclose()


async def test_the_queue_drives_the_handler(engine: Engine, blobs: ObjectBlobs, world: World) -> None:
    good, bad, lost = photo(), b"garbage", b"lost"
    for data in (good, bad):
        await blobs.put(keys.origin_bytes_key(keys.digest(data)), data)
    async with world.working(engine, handler_of(engine, blobs)):
        for data in (good, bad, lost):
            assert isinstance((await world.submit(job_of(engine, data))).receipt, Pending)
        for data in (good, bad, lost):
            assert await world.queue.wait(job_of(engine, data).key, timeout_s=30)
        (known,) = await world.queue.known_mattes(SHOP, [keys.digest(good)])
        assert (known.facts.name, known.newest, known.charged) == (job_of(engine, good).key, True, 200)
        assert await MatteFiles(blobs).header(job_of(engine, good).key) is not None
        failed = (await world.submit(job_of(engine, bad))).receipt
        assert isinstance(failed, Failed)
        assert failed.reason == "undecodable"
        assert isinstance((await world.submit(job_of(engine, lost))).receipt, Pending), "deleted"


async def test_a_page_of_a_document_is_a_removal_of_its_own(engine: Engine, blobs: ObjectBlobs, world: World) -> None:
    data = document([Page(box="0 0 30 30"), Page(box="0 0 96 48", content=b"0 g 24 12 48 24 re f")])
    digest = keys.digest(data)
    await blobs.put(keys.origin_bytes_key(digest), data)
    job = replace(job_of(engine, data), key=keys.matte_name(digest, 1, engine.recipe.id), page=1)
    claim = Claim(token=SHOP, origin_digest=keys.page_digest(digest, 2), tier=Tier.STANDARD)
    async with world.working(engine, handler_of(engine, blobs)):
        await world.queue.submit(Submission(job=job, claim=claim))
        assert await world.queue.wait(job.key, timeout_s=30)
    (known,) = await world.queue.known_mattes(SHOP, [digest], page=2)
    assert (known.facts.name, known.facts.page, known.charged) == (job.key, 1, 200)
    assert (known.facts.width, known.facts.height) == (200, 100)
    assert await world.queue.known_mattes(SHOP, [digest]) == []


async def test_every_waiting_token_is_charged_once(
    engine: Engine, blobs: ObjectBlobs, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the first worker died before it saved the outcome: then the job is done from the file."""
    data = photo()
    job = job_of(engine, data)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), data)
    for token in (SHOP, BLOG):
        assert isinstance((await world.submit(job, token)).receipt, Pending)
        assert await world.account(token) == (0, 200)
    await handler_of(engine, blobs)(await world.claim(engine, "dead"))
    assert [await world.account(token) for token in (SHOP, BLOG)] == [(0, 200), (0, 200)]
    monkeypatch.setattr(engine, "make_matte", None)
    world.clock.now += 60  # its lease has ended
    async with world.working(engine, handler_of(engine, blobs)):
        assert await world.queue.wait(job.key, timeout_s=30)
    assert [await world.account(token) for token in (SHOP, BLOG)] == [(200, 0), (200, 0)]
    for token in (SHOP, BLOG):
        (known,) = await world.queue.known_mattes(token, [job.origin_digest])
        assert known.charged == 200


async def test_a_job_without_a_cutout_costs_nothing(engine: Engine, blobs: ObjectBlobs, world: World) -> None:
    half = photo()[: len(photo()) // 2]
    empty, undecodable, gone, damaged = (job_of(engine, data) for data in (photo(), b"no picture", b"gone", half))
    await blobs.put(keys.matte_key(empty.key), matte_of(engine, empty=True))
    await blobs.put(keys.origin_bytes_key(undecodable.origin_digest), b"no picture")
    await blobs.put(keys.origin_bytes_key(damaged.origin_digest), half)
    for job in (empty, undecodable, gone, damaged):
        await world.submit(job)
    assert await world.account() == (0, 800)
    async with world.working(engine, handler_of(engine, blobs)):
        for job in (empty, undecodable, gone, damaged):
            assert await world.queue.wait(job.key, timeout_s=30)
    assert await world.account() == (0, 0)
    (known,) = await world.queue.known_mattes(SHOP, [empty.origin_digest])
    assert (known.facts.empty, known.charged) == (True, None)


async def test_a_job_stays_pending_while_the_database_is_unavailable(
    engine: Engine, blobs: ObjectBlobs, world: World
) -> None:
    """A backup that locks the file, or a restart of PostgreSQL: the matte is stored, and charged when it is back."""
    job = job_of(engine, photo())
    await blobs.put(keys.origin_bytes_key(job.origin_digest), photo())
    await world.submit(job)
    handle = handler_of(engine, blobs)
    with closing(sqlite3.connect(world.folder / "pellucid.sqlite", isolation_level=None)) as other:

        async def make_and_lock(job: Job) -> MatteFacts:
            facts = await handle(job)
            other.execute("BEGIN IMMEDIATE")
            return facts

        info = info_of(engine, "w")
        with pytest.raises(DatabaseError):
            await world.worker_loop.run(make_and_lock, info=info, stop=asyncio.Event())
        other.execute("ROLLBACK")
    assert await MatteFiles(blobs).header(job.key) is not None
    assert await world.queue.known_mattes(SHOP, [job.origin_digest]) == []
    assert job.key in await world.queue.pending_keys()
    assert await world.account() == (0, 200)
    async with world.working(engine, handle):
        assert await world.queue.wait(job.key, timeout_s=30)
    assert await world.account() == (200, 0)


async def test_an_unavailable_store_postpones_the_job_with_growing_pauses(
    engine: Engine, blobs: ObjectBlobs, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.mattes.files._UNREADABLE_S", 0.0)
    data = photo()
    job = job_of(engine, data)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), data)
    await world.submit(job)
    handle = handler_of(engine, blobs)
    store, aside = tmp_path / "store", tmp_path / "aside"
    store.rename(aside)
    store.write_bytes(b"")
    pauses: list[float] = []
    async with world.working(engine, handle):
        for pause in range(1, 7):
            row = await world.paused(job, times=pause)
            assert (row.state, row.reason, row.attempts) == ("waiting", "store-away", 0)
            pauses.append(row.due_at - world.clock.now)
            if pause < 6:
                world.clock.now = row.due_at
        assert pauses == [5, 10, 20, 40, 60, 60]
        store.unlink()
        aside.rename(store)
        world.clock.now += 60
        assert await world.queue.wait(job.key, timeout_s=30)
    assert await world.account() == (200, 0)


_OVER_MEMORY = """
import asyncio, os, sys
from pathlib import Path
from pellucid.liveness.lock_files import LockFiles
from pellucid.liveness.port import WorkerInfo
from pellucid.database.database import Database
from pellucid.engine import Engine
from pellucid.image.vips import harden
from pellucid.ledger.ledger import Ledger
from pellucid.mattes.files import MatteFiles
from pellucid.queue.queue import Queue
from pellucid.queue.worker_loop import WorkerLoop
from pellucid.store.objects import ObjectBlobs
from pellucid.worker import Headroom, matte_handler

async def main(models, cards, folder):
    harden()
    engine = Engine(models_dir=models, model="tiny", cards=cards, precision="f32", threads=1)
    blobs = ObjectBlobs.local(folder / "store")
    database = await Database.open(f"sqlite:///{folder / 'pellucid.sqlite'}")
    registry = LockFiles(folder / "workers")
    ledger = Ledger(price=lambda _: 200, limit=lambda _: None)
    queue = Queue(database, store="here", registry=registry, ledger=ledger)
    stop = asyncio.Event()
    handler = matte_handler(
        engine,
        origins=blobs,
        mattes=MatteFiles(blobs),
        time_limit_s=60,
        headroom=Headroom(200 << 20),
        stop=stop,
    )
    recipes = (engine.recipe.id,)
    info = WorkerInfo(
        worker_id="w", pid=os.getpid(), model="tiny", device="CPU", precision="f32", recipe_ids=recipes
    )
    await WorkerLoop(database, queue, registry).run(handler, info=info, stop=stop)
    await queue.aclose()

asyncio.run(main(*map(Path, sys.argv[1:])))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_job_over_its_memory_fails_permanently_and_ends_its_worker(
    engine: Engine, tiny_model: TinyModel, blobs: ObjectBlobs, world: World, tmp_path: Path
) -> None:
    """It fails as too large at its first attempt: otherwise three workers would die of it."""
    out = io.BytesIO()
    Image.new("RGB", (6000, 6000), (9, 9, 9)).save(out, "JPEG", progressive=True, subsampling=0)
    job = job_of(engine, out.getvalue())
    await blobs.put(keys.origin_bytes_key(job.origin_digest), out.getvalue())
    world.clock.now = time.time()  # the clock of the other process
    await world.submit(job)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OVER_MEMORY, str(tiny_model.models_dir), str(tiny_model.cards), str(tmp_path)
    )
    assert await world.queue.wait(job.key, timeout_s=60)
    failed = (await world.submit(job)).receipt
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.attempts) == ("too-large", 1)
    assert await world.account() == (0, 0)
    async with asyncio.timeout(30):
        assert await worker.wait() in (0, EXIT_MEMORY)
