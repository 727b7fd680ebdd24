"""The matte worker's handler, and the engine behind it, with a real queue, a real store and a tiny model."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pellucid import keys
from pellucid.engine import Engine
from pellucid.errors import ImageError, ModelUnavailableError
from pellucid.image.matte_file import matte_at, unpack_header
from pellucid.image.vips import to_array
from pellucid.mattes import Mattes
from pellucid.queue.port import Failed, Job, JobMootError, JobRefusedError, Owed, Priority, WorkerInfo
from pellucid.queue.sqlite import SqliteQueue
from pellucid.spec import Tier
from pellucid.store.objects import ObjectBlobs
from pellucid.worker import matte_handler
from tiny import TinyModel


@pytest.fixture(scope="module")
def engine(tiny_model: TinyModel) -> Engine:
    return Engine(models_dir=tiny_model.models_dir, model="tiny", cards=tiny_model.cards, precision="f32", threads=1)


@pytest.fixture
def blobs(tmp_path: Path) -> ObjectBlobs:
    return ObjectBlobs.local(tmp_path / "store")


def _photo() -> bytes:
    """A white square on black, 200 x 120."""
    pixels = np.zeros((120, 200, 3), np.uint8)
    pixels[30:90, 50:150] = 255
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _job(engine: Engine, data: bytes) -> Job:
    digest = keys.digest(data)
    name = keys.matte_name(digest, 0, engine.recipe.id)
    return Job(key=name, origin_digest=digest, page=0, recipe_id=engine.recipe.id)


async def test_a_job_stores_the_matte_at_the_origins_size(engine: Engine, blobs: ObjectBlobs) -> None:
    data = _photo()
    job = _job(engine, data)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), data)
    await matte_handler(engine, origins=blobs, mattes=Mattes(blobs), time_limit_s=60)(job)
    blob = await blobs.get(keys.matte_key(job.key))
    assert blob is not None
    header = unpack_header(blob)
    assert (header.full.width, header.full.height, header.recipe_id) == (200, 120, engine.recipe.id)
    alpha = to_array(matte_at(blob, width=200, height=120))[:, :, 0]
    assert alpha[60, 100] > 250
    assert alpha[5, 5] < 5


@pytest.mark.parametrize("tier", list(Tier))
async def test_one_worker_makes_every_tier(engine: Engine, blobs: ObjectBlobs, tier: Tier) -> None:
    data = _photo()
    recipe_id = engine.recipe.by_tier[tier].id
    digest = keys.digest(data)
    job = Job(key=keys.matte_name(digest, 0, recipe_id), origin_digest=digest, page=0, recipe_id=recipe_id)
    await blobs.put(keys.origin_bytes_key(digest), data)
    await matte_handler(engine, origins=blobs, mattes=Mattes(blobs), time_limit_s=60)(job)
    blob = await blobs.get(keys.matte_key(job.key))
    assert blob is not None
    assert unpack_header(blob).recipe_id == recipe_id


async def test_a_stored_matte_is_not_made_again(engine: Engine, blobs: ObjectBlobs) -> None:
    data = _photo()
    job = _job(engine, data)
    await blobs.put(keys.matte_key(job.key), b"already here")
    await matte_handler(engine, origins=blobs, mattes=Mattes(blobs), time_limit_s=60)(
        job
    )  # and the origin's bytes are not even needed
    assert await blobs.get(keys.matte_key(job.key)) == b"already here"


async def test_what_cannot_be_done_is_said(engine: Engine, blobs: ObjectBlobs) -> None:
    handle = matte_handler(engine, origins=blobs, mattes=Mattes(blobs), time_limit_s=60)
    with pytest.raises(JobMootError):
        await handle(_job(engine, b"never stored"))
    await blobs.put(keys.origin_bytes_key(keys.digest(b"no picture")), b"no picture")
    with pytest.raises(JobRefusedError, match="undecodable"):
        await handle(_job(engine, b"no picture"))


async def test_the_queue_drives_the_handler(engine: Engine, blobs: ObjectBlobs, tmp_path: Path) -> None:
    good, bad, lost = _photo(), b"garbage", b"lost"
    for data in (good, bad):
        await blobs.put(keys.origin_bytes_key(keys.digest(data)), data)
    queue = await SqliteQueue.open(path=tmp_path / "q" / "jobs.sqlite")
    stop = asyncio.Event()
    info = WorkerInfo(worker_id="w", pid=1, model="tiny", device="CPU", precision="f32")
    work = asyncio.create_task(
        queue.work(matte_handler(engine, origins=blobs, mattes=Mattes(blobs), time_limit_s=60), info=info, stop=stop)
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


async def test_a_damaged_matte_counts_as_missing(engine: Engine, blobs: ObjectBlobs) -> None:
    data = _photo()
    job = _job(engine, data)
    key = keys.matte_key(job.key)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), data)
    await matte_handler(engine, origins=blobs, mattes=Mattes(blobs), time_limit_s=60)(job)
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


async def test_a_damaged_origin_is_no_bad_picture(engine: Engine, blobs: ObjectBlobs) -> None:
    data = _photo()
    job = _job(engine, data)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), b"\0" * len(data))
    with pytest.raises(JobMootError, match="damaged"):
        await matte_handler(engine, origins=blobs, mattes=Mattes(blobs), time_limit_s=60)(job)
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
