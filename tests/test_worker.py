"""The matte worker's handler, and the engine behind it, with a real queue, a real store and a tiny model."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import sys
from collections.abc import AsyncGenerator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pellucid import keys
from pellucid.database.database import Database
from pellucid.engine import Engine
from pellucid.errors import ImageError, ModelUnavailableError, StoreError
from pellucid.exits import EXIT_MEMORY
from pellucid.image.matte_file import matte_at, pack_matte, unpack_header
from pellucid.image.vips import to_array
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import Claim, Standing
from pellucid.mattes import Mattes
from pellucid.queue.port import (
    Failed,
    Handler,
    Job,
    JobMootError,
    JobPostponedError,
    JobRefusedError,
    Owed,
    Priority,
    WorkerInfo,
)
from pellucid.queue.sqlite import SqliteQueue
from pellucid.spec import Tier, Token
from pellucid.store.objects import ObjectBlobs
from pellucid.worker import matte_handler
from tiny import TinyModel


@pytest.fixture(scope="module")
def engine(tiny_model: TinyModel) -> Engine:
    return Engine(models_dir=tiny_model.models_dir, model="tiny", cards=tiny_model.cards, precision="f32", threads=1)


@pytest.fixture
def blobs(tmp_path: Path) -> ObjectBlobs:
    return ObjectBlobs.local(tmp_path / "store")


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncGenerator[Ledger]:
    database = await Database.open(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield Ledger(database, price=lambda _: 200, limit=lambda _: None)
    await database.aclose()


def _photo() -> bytes:
    """A white square on black, 200 x 120."""
    pixels = np.zeros((120, 200, 3), np.uint8)
    pixels[30:90, 50:150] = 255
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _handler(engine: Engine, blobs: ObjectBlobs, ledger: Ledger) -> Handler:
    return matte_handler(engine, origins=blobs, mattes=Mattes(blobs), ledger=ledger, time_limit_s=60)


def _matte(engine: Engine, *, empty: bool = False) -> bytes:
    alpha = np.full((120, 200), 0 if empty else 255, np.uint8)
    return pack_matte(alpha, width=200, height=120, confidence=0.5, empty=empty, recipe_id=engine.recipe.id)


def _claim(job: Job, token: str = "shop") -> Claim:
    return Claim(token=Token(token), origin_digest=job.origin_digest, tier=Tier.STANDARD)


def _job(engine: Engine, data: bytes) -> Job:
    digest = keys.digest(data)
    name = keys.matte_name(digest, 0, engine.recipe.id)
    return Job(key=name, origin_digest=digest, page=0, recipe_id=engine.recipe.id)


async def test_a_job_stores_the_matte_at_the_origins_size(engine: Engine, blobs: ObjectBlobs, ledger: Ledger) -> None:
    data = _photo()
    job = _job(engine, data)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), data)
    await _handler(engine, blobs, ledger)(job)
    blob = await blobs.get(keys.matte_key(job.key))
    assert blob is not None
    header = unpack_header(blob)
    assert (header.full.width, header.full.height, header.recipe_id) == (200, 120, engine.recipe.id)
    alpha = to_array(matte_at(blob, width=200, height=120))[:, :, 0]
    assert alpha[60, 100] > 250
    assert alpha[5, 5] < 5


@pytest.mark.parametrize("tier", list(Tier))
async def test_one_worker_makes_every_tier(engine: Engine, blobs: ObjectBlobs, ledger: Ledger, tier: Tier) -> None:
    data = _photo()
    recipe_id = engine.recipe.by_tier[tier].id
    digest = keys.digest(data)
    job = Job(key=keys.matte_name(digest, 0, recipe_id), origin_digest=digest, page=0, recipe_id=recipe_id)
    await blobs.put(keys.origin_bytes_key(digest), data)
    await _handler(engine, blobs, ledger)(job)
    blob = await blobs.get(keys.matte_key(job.key))
    assert blob is not None
    assert unpack_header(blob).recipe_id == recipe_id


async def test_a_stored_matte_is_not_made_again(engine: Engine, blobs: ObjectBlobs, ledger: Ledger) -> None:
    job = _job(engine, _photo())
    there = _matte(engine)
    await blobs.put(keys.matte_key(job.key), there)
    await _handler(engine, blobs, ledger)(job)  # and the origin's bytes are not even needed
    assert await blobs.get(keys.matte_key(job.key)) == there


async def test_what_cannot_be_done_is_said(engine: Engine, blobs: ObjectBlobs, ledger: Ledger) -> None:
    handle = _handler(engine, blobs, ledger)
    with pytest.raises(JobMootError):
        await handle(_job(engine, b"never stored"))
    await blobs.put(keys.origin_bytes_key(keys.digest(b"no picture")), b"no picture")
    with pytest.raises(JobRefusedError, match="undecodable"):
        await handle(_job(engine, b"no picture"))


async def test_the_queue_drives_the_handler(engine: Engine, blobs: ObjectBlobs, ledger: Ledger, tmp_path: Path) -> None:
    good, bad, lost = _photo(), b"garbage", b"lost"
    for data in (good, bad):
        await blobs.put(keys.origin_bytes_key(keys.digest(data)), data)
    queue = await SqliteQueue.open(path=tmp_path / "q" / "jobs.sqlite")
    stop = asyncio.Event()
    info = WorkerInfo(worker_id="w", pid=1, model="tiny", device="CPU", precision="f32")
    work = asyncio.create_task(
        queue.work(
            _handler(engine, blobs, ledger),
            info=info,
            stop=stop,
        )
    )
    try:
        for data in (good, bad, lost):
            assert isinstance(await queue.submit(_job(engine, data), priority=Priority.IMPATIENT), Owed)
        for data in (good, bad, lost):
            assert await queue.wait(_job(engine, data).key, timeout_s=30)
        assert await Mattes(blobs).header(_job(engine, good).key) is not None
        failed = await queue.submit(_job(engine, bad), priority=Priority.IMPATIENT)
        assert isinstance(failed, Failed)
        assert failed.reason == "undecodable"
        assert isinstance(await queue.submit(_job(engine, lost), priority=Priority.IMPATIENT), Owed), "forgotten"
    finally:
        stop.set()
        await work
        await queue.aclose()


async def test_all_who_wait_are_charged_once(engine: Engine, blobs: ObjectBlobs, ledger: Ledger) -> None:
    data = _photo()
    job = _job(engine, data)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), data)
    claims = [_claim(job, token) for token in ("shop", "blog")]
    for claim in claims:
        assert await ledger.hold(claim, job.key) is Standing.HELD
    for _ in range(2):  # the second time after a worker that died before it acknowledged
        await _handler(engine, blobs, ledger)(job)
        for claim in claims:
            assert await ledger.cost(claim) == 200
            balance = await ledger.balance(claim.token)
            assert (balance.charged, balance.held) == (200, 0)


async def test_what_is_no_cutout_costs_nothing(engine: Engine, blobs: ObjectBlobs, ledger: Ledger) -> None:
    empty, undecodable, gone = (_job(engine, data) for data in (_photo(), b"no picture", b"gone"))
    await blobs.put(keys.matte_key(empty.key), _matte(engine, empty=True))
    await blobs.put(keys.origin_bytes_key(undecodable.origin_digest), b"no picture")
    for job in (empty, undecodable, gone):
        await ledger.hold(_claim(job), job.key)
        with suppress(JobRefusedError, JobMootError):
            await _handler(engine, blobs, ledger)(job)
        assert await ledger.cost(_claim(job)) is None
    balance = await ledger.balance(Token("shop"))
    assert (balance.charged, balance.held) == (0, 0)


async def test_a_job_stays_owed_while_the_ledger_is_away(engine: Engine, blobs: ObjectBlobs, tmp_path: Path) -> None:
    """A backup that holds the file, a PostgreSQL that starts again: the matte is made, and charged when it is back."""
    path = tmp_path / "ledger.sqlite"
    database = await Database.open(f"sqlite:///{path}", busy_timeout_s=0.1)
    ledger = Ledger(database, price=lambda _: 200, limit=lambda _: None)
    handle = _handler(engine, blobs, ledger)
    sound, undecodable, gone = (_job(engine, data) for data in (_photo(), b"no picture", b"gone"))
    for job, data in ((sound, _photo()), (undecodable, b"no picture")):
        await blobs.put(keys.origin_bytes_key(job.origin_digest), data)
    await ledger.hold(_claim(sound), sound.key)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for job in (sound, undecodable, gone):
            with pytest.raises(JobPostponedError):
                await handle(job)
    assert await Mattes(blobs).header(sound.key) is not None
    assert await ledger.cost(_claim(sound)) is None
    await handle(sound)
    assert await ledger.cost(_claim(sound)) == 200
    await database.aclose()


def _loop(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


async def test_a_store_that_is_away_postpones_longer_each_time(
    engine: Engine, blobs: ObjectBlobs, ledger: Ledger, tmp_path: Path
) -> None:
    data = _photo()
    job = _job(engine, data)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), data)
    await ledger.hold(_claim(job), job.key)
    handle = _handler(engine, blobs, ledger)
    store, aside = tmp_path / "store", tmp_path / "aside"
    store.rename(aside)
    store.write_bytes(b"")
    pauses: list[float] = []
    for _ in range(6):
        with pytest.raises(JobPostponedError) as postponed:
            await handle(job)
        pauses.append(postponed.value.pause_s)
    assert pauses == [5, 10, 20, 40, 60, 60]
    store.unlink()
    aside.rename(store)
    await handle(job)
    assert await ledger.cost(_claim(job)) == 200


@pytest.mark.parametrize("what", ["matte", "pointer"])
async def test_what_cannot_be_read_or_written_is_not_held_against_the_job(
    engine: Engine, blobs: ObjectBlobs, ledger: Ledger, tmp_path: Path, what: str
) -> None:
    data = _photo()
    job = _job(engine, data)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), data)
    key = {
        "matte": keys.matte_key(job.key),
        "pointer": keys.newest_matte_key(job.origin_digest, 0, Tier.STANDARD),
    }[what]
    path = tmp_path / "store" / key
    path.mkdir(parents=True)
    handle = _handler(engine, blobs, ledger)
    with pytest.raises(JobPostponedError):
        await handle(job)
    assert path.is_dir()
    path.rmdir()
    await handle(job)
    assert await Mattes(blobs).newest(job.origin_digest, 0, Tier.STANDARD) == job.key


async def test_an_unreadable_origin_is_fetched_again_if_the_store_works(
    engine: Engine, blobs: ObjectBlobs, ledger: Ledger, tmp_path: Path
) -> None:
    job = _job(engine, _photo())
    await blobs.put(keys.origin_bytes_key(job.origin_digest), _photo())
    path = tmp_path / "store" / keys.origin_bytes_key(job.origin_digest)
    _loop(path)
    with pytest.raises(JobMootError):
        await _handler(engine, blobs, ledger)(job)
    assert not path.is_symlink()
    assert [info.key async for info in blobs.list("check")] == []
    path.mkdir()  # this one cannot be removed
    with pytest.raises(JobPostponedError):
        await _handler(engine, blobs, ledger)(job)


class FullDisk(ObjectBlobs):
    """Takes blobs of up to `room` bytes."""

    room: int

    async def put(self, key: str, data: bytes) -> None:
        if len(data) > self.room:
            raise StoreError(f"cannot write {key}: No space left on device")
        await super().put(key, data)


async def test_a_full_disk_has_no_matte_computed_in_vain(
    engine: Engine, tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = FullDisk.local(tmp_path / "store")
    assert isinstance(blobs, FullDisk)
    blobs.room = 10**9
    jobs: list[Job] = []
    for number in range(3):
        data = _photo() + bytes([number])
        jobs.append(_job(engine, data))
        await blobs.put(keys.origin_bytes_key(jobs[-1].origin_digest), data)
    made: list[int] = []
    make = engine.make_matte
    monkeypatch.setattr(engine, "make_matte", lambda *args, **more: made.append(1) or make(*args, **more))
    handle = _handler(engine, blobs, ledger)
    blobs.room = 50
    for job in (*jobs, *jobs):
        with pytest.raises(JobPostponedError):
            await handle(job)
    assert len(made) == 1
    blobs.room = 10**9
    for job in jobs:
        await handle(job)
        assert await Mattes(blobs).header(job.key) is not None
    assert len(made) == 4


async def test_a_damaged_matte_counts_as_missing(engine: Engine, blobs: ObjectBlobs, ledger: Ledger) -> None:
    data = _photo()
    job = _job(engine, data)
    key = keys.matte_key(job.key)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), data)
    await _handler(engine, blobs, ledger)(job)
    whole = await blobs.get(key)
    assert whole is not None
    mattes = Mattes(blobs)
    for damaged in (b"half a matte", whole[: len(whole) // 2], whole[:-1] + b"x"):
        assert await mattes.read(job.key) is not None
        await blobs.put(key, damaged)
        assert await mattes.read(job.key) is None
        assert await mattes.header(job.key) is None
        assert not await blobs.exists(key)
        await blobs.put(key, whole)


async def test_a_worker_makes_again_what_was_damaged_since(engine: Engine, blobs: ObjectBlobs, ledger: Ledger) -> None:
    data = _photo()
    job = _job(engine, data)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), data)
    handle = _handler(engine, blobs, ledger)
    await handle(job)
    whole = await blobs.get(keys.matte_key(job.key))
    await blobs.put(keys.matte_key(job.key), b"half a matte")
    await handle(job)
    assert await blobs.get(keys.matte_key(job.key)) == whole


async def test_a_damaged_origin_is_no_bad_picture(engine: Engine, blobs: ObjectBlobs, ledger: Ledger) -> None:
    data = _photo()
    job = _job(engine, data)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), b"\0" * len(data))
    with pytest.raises(JobMootError, match="damaged"):
        await _handler(engine, blobs, ledger)(job)
    assert not await blobs.exists(keys.origin_bytes_key(job.origin_digest))


def test_engine_without_weights_says_how_to_get_them(tmp_path: Path, tiny_model: TinyModel) -> None:
    with pytest.raises(ModelUnavailableError, match="pellucid models pull tiny"):
        Engine(models_dir=tmp_path, model="tiny", cards=tiny_model.cards)


def test_noncommercial_weights_need_a_decision(tmp_path: Path, tiny_model: TinyModel) -> None:
    cards = tmp_path / "cards.toml"
    cards.write_text(tiny_model.cards.read_text().replace("commercial_use = true", "commercial_use = false"))
    with pytest.raises(ModelUnavailableError, match="PELLUCID_MODEL_ALLOW_NONCOMMERCIAL"):
        Engine(models_dir=tiny_model.models_dir, model="tiny", cards=cards)
    Engine(models_dir=tiny_model.models_dir, model="tiny", cards=cards, allow_noncommercial=True)


def test_cut_accepts_bytes_paths_and_pixels(engine: Engine, tmp_path: Path) -> None:
    data = _photo()
    (tmp_path / "a.png").write_bytes(data)
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    for image in (data, tmp_path / "a.png", str(tmp_path / "a.png"), pixels):
        cutout = engine.cut(image)
        assert cutout.rgba().shape == (120, 200, 4)
        assert cutout.matte[60, 100] > 0.99
        assert cutout.matte[5, 5] < 0.01
    with pytest.raises(ImageError):
        engine.cut(b"no picture")
    with pytest.raises(FileNotFoundError):
        engine.cut(tmp_path / "missing.png")


async def test_a_picture_too_large_to_be_decoded_whole_gets_a_coarser_matte(
    tiny_model: TinyModel, blobs: ObjectBlobs, ledger: Ledger
) -> None:
    """Its whole pixels would take 3 MB and more; a half of its size does."""
    engine = Engine(
        models_dir=tiny_model.models_dir,
        model="tiny",
        cards=tiny_model.cards,
        precision="f32",
        threads=1,
        max_decode_bytes=2_500_000,
    )
    pixels = np.zeros((800, 1001, 3), np.uint8)
    pixels[200:600, 250:750] = 255
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95)
    job = _job(engine, out.getvalue())
    await blobs.put(keys.origin_bytes_key(job.origin_digest), out.getvalue())
    await _handler(engine, blobs, ledger)(job)
    blob = await blobs.get(keys.matte_key(job.key))
    assert blob is not None
    header = unpack_header(blob)
    assert (header.full.width, header.full.height) == (1001, 800)
    alpha = to_array(matte_at(blob, width=1001, height=800))[:, :, 0]
    assert alpha[400, 500] > 250
    assert alpha[20, 20] < 5
    assert alpha[20, 980] < 5


async def test_a_job_that_would_take_too_much_memory_to_decode_is_refused(
    tiny_model: TinyModel, blobs: ObjectBlobs, ledger: Ledger
) -> None:
    engine = Engine(
        models_dir=tiny_model.models_dir,
        model="tiny",
        cards=tiny_model.cards,
        precision="f32",
        threads=1,
        max_decode_bytes=100_000,
    )
    out = io.BytesIO()
    Image.new("P", (800, 600), 3).save(out, "GIF")
    job = _job(engine, out.getvalue())
    await blobs.put(keys.origin_bytes_key(job.origin_digest), out.getvalue())
    with pytest.raises(JobRefusedError, match="too-large"):
        await _handler(engine, blobs, ledger)(job)


_OVERFED = """
import asyncio, os, sys
from pathlib import Path
from pellucid.database.database import Database
from pellucid.engine import Engine
from pellucid.image.vips import harden
from pellucid.ledger.ledger import Ledger
from pellucid.mattes import Mattes
from pellucid.queue.port import WorkerInfo
from pellucid.queue.sqlite import SqliteQueue
from pellucid.store.objects import ObjectBlobs
from pellucid.worker import Headroom, matte_handler

async def main(models, cards, folder):
    harden()
    engine = Engine(models_dir=models, model="tiny", cards=cards, precision="f32", threads=1)
    blobs = ObjectBlobs.local(folder / "store")
    queue = await SqliteQueue.open(path=folder / "q" / "jobs.sqlite")
    database = await Database.open(f"sqlite:///{folder / 'ledger.sqlite'}")
    stop = asyncio.Event()
    handler = matte_handler(
        engine,
        origins=blobs,
        mattes=Mattes(blobs),
        ledger=Ledger(database, price=lambda _: 200, limit=lambda _: None),
        time_limit_s=60,
        headroom=Headroom(200 << 20),
        stop=stop,
    )
    info = WorkerInfo(worker_id="w", pid=os.getpid(), model="tiny", device="CPU", precision="f32")
    await queue.work(handler, info=info, stop=stop)
    await queue.aclose()

asyncio.run(main(*map(Path, sys.argv[1:])))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_job_over_its_memory_fails_for_good_and_ends_its_worker(
    engine: Engine, tiny_model: TinyModel, blobs: ObjectBlobs, tmp_path: Path
) -> None:
    """As too large, at its first attempt: three workers would die of it otherwise."""
    out = io.BytesIO()
    Image.new("RGB", (6000, 6000), (9, 9, 9)).save(out, "JPEG", progressive=True, subsampling=0)
    job = _job(engine, out.getvalue())
    await blobs.put(keys.origin_bytes_key(job.origin_digest), out.getvalue())
    queue = await SqliteQueue.open(path=tmp_path / "q" / "jobs.sqlite")
    await queue.submit(job, priority=Priority.IMPATIENT)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OVERFED, str(tiny_model.models_dir), str(tiny_model.cards), str(tmp_path)
    )
    assert await queue.wait(job.key, timeout_s=60)
    look = await queue.look(job.key)
    assert isinstance(look, Failed)
    assert (look.reason, look.attempts) == ("too-large", 1)
    async with asyncio.timeout(30):
        assert await worker.wait() in (0, EXIT_MEMORY)
    await queue.aclose()
