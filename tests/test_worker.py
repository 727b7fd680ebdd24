"""The matte worker's handler, and the engine behind it, with a real store and a tiny model."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pellucid.engine import Engine
from pellucid.errors import ImageError, ModelUnavailableError, StoreError
from pellucid.image.matte_file import matte_at, unpack_header
from pellucid.image.vips import to_array
from pellucid.mattes.facts import MatteFacts
from pellucid.mattes.files import MatteFiles
from pellucid.queue.values import Job, JobDiscardedError, JobPermanentError
from pellucid.spec import Tier
from pellucid.store import keys
from pellucid.store.objects import ObjectBlobs
from tiny import TinyModel, with_grain
from worker_world import handler_of, job_of, matte_of, photo


@pytest.fixture(scope="module")
def engine(tiny_model: TinyModel) -> Engine:
    return Engine(models_dir=tiny_model.models_dir, model="tiny", cards=tiny_model.cards, precision="f32", threads=1)


@pytest.fixture
def blobs(tmp_path: Path) -> ObjectBlobs:
    return ObjectBlobs.local(tmp_path / "store")


async def test_a_job_stores_the_matte_at_the_origins_size(engine: Engine, blobs: ObjectBlobs) -> None:
    data = photo()
    job = job_of(engine, data)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), data)
    facts = await handler_of(engine, blobs)(job)
    blob = await blobs.get(keys.matte_key(job.key))
    assert blob is not None
    header = unpack_header(blob)
    assert facts == MatteFacts.of_header(job.key, header, tier=Tier.STANDARD, size_bytes=len(blob))
    assert (header.full.width, header.full.height, header.recipe_id) == (200, 120, engine.recipe.id)
    alpha = to_array(matte_at(blob, width=200, height=120))[:, :, 0]
    assert alpha[60, 100] > 250
    assert alpha[5, 5] < 5


@pytest.mark.parametrize("tier", list(Tier))
async def test_one_worker_computes_every_tier(engine: Engine, blobs: ObjectBlobs, tier: Tier) -> None:
    data = photo()
    recipe_id = engine.recipe.by_tier[tier].id
    digest = keys.digest(data)
    job = Job(key=keys.matte_name(digest, 0, recipe_id), origin_digest=digest, page=0, recipe_id=recipe_id)
    await blobs.put(keys.origin_bytes_key(digest), data)
    facts = await handler_of(engine, blobs)(job)
    blob = await blobs.get(keys.matte_key(job.key))
    assert blob is not None
    assert unpack_header(blob).recipe_id == facts.recipe_id == recipe_id
    assert (facts.name, facts.tier) == (job.key, tier)


async def test_a_stored_matte_is_not_computed_again(engine: Engine, blobs: ObjectBlobs) -> None:
    job = job_of(engine, photo())
    existing = matte_of(engine)
    await blobs.put(keys.matte_key(job.key), existing)
    facts = await handler_of(engine, blobs)(job)  # without the origin's bytes
    assert await blobs.get(keys.matte_key(job.key)) == existing
    expected = MatteFacts.of_header(job.key, unpack_header(existing), tier=Tier.STANDARD, size_bytes=len(existing))
    assert facts == expected


async def test_a_job_that_cannot_be_done_names_its_reason(engine: Engine, blobs: ObjectBlobs) -> None:
    handle = handler_of(engine, blobs)
    with pytest.raises(JobDiscardedError):
        await handle(job_of(engine, b"never stored"))
    await blobs.put(keys.origin_bytes_key(keys.digest(b"no picture")), b"no picture")
    with pytest.raises(JobPermanentError, match="undecodable"):
        await handle(job_of(engine, b"no picture"))
    with pytest.raises(JobPermanentError, match="recipe-not-here"):
        await handle(replace(job_of(engine, b"no picture"), recipe_id="another"))


def _noise(format_: str, **options: object) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8)
    Image.fromarray(pixels).save(out, format_, **options)
    return out.getvalue()


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _holed(data: bytes) -> bytes:
    """A file whose structure is complete."""
    at = len(data) // 2
    return data[:at] + bytes(500) + data[at + 500 :]


_DAMAGED = {
    "half a jpeg": _half(_noise("JPEG")),
    "half a png": _half(_noise("PNG")),
    "half a webp": _half(_noise("WEBP")),
    "a png with a hole": _holed(_noise("PNG")),
    "a progressive jpeg with a hole": _holed(_noise("JPEG", progressive=True)),
}


@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize("data", _DAMAGED.values(), ids=_DAMAGED)
async def test_no_matte_is_computed_from_a_damaged_file(
    engine: Engine, blobs: ObjectBlobs, data: bytes, tier: Tier
) -> None:
    digest, recipe_id = keys.digest(data), engine.recipe.by_tier[tier].id
    job = Job(key=keys.matte_name(digest, 0, recipe_id), origin_digest=digest, page=0, recipe_id=recipe_id)
    await blobs.put(keys.origin_bytes_key(digest), data)
    with pytest.raises(JobPermanentError, match="damaged"):
        await handler_of(engine, blobs)(job)
    assert await blobs.get(keys.matte_key(job.key)) is None


@pytest.mark.parametrize("data", _DAMAGED.values(), ids=_DAMAGED)
def test_the_library_names_the_damage(engine: Engine, data: bytes) -> None:
    if data == _DAMAGED["half a webp"]:
        with pytest.raises(ImageError, match="damaged or cut short"):
            engine.cut(data)
        return
    cutout = engine.cut(data)
    assert cutout.damaged
    assert cutout.rgba().shape == (90, 120, 4)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_the_library_accepts_sound_files(engine: Engine, format_: str) -> None:
    assert not engine.cut(_noise(format_)).damaged
    assert not engine.cut(np.zeros((20, 30, 3), np.uint8)).damaged


def test_simultaneous_decodes_have_warnings_of_their_own(engine: Engine) -> None:
    """Warnings of libjpeg are in one buffer for all threads, which some operations clear."""
    kinds = [_noise("JPEG"), _noise("JPEG", progressive=True), _noise("PNG"), _noise("GIF")]
    files = [data for kind in kinds for data in (kind, _half(kind))] * 4
    with ThreadPoolExecutor(8) as pool:
        cutouts = pool.map(engine.cut, files)
    assert [cutout.damaged for cutout in cutouts] == [False, True] * 4 * len(kinds)


def _loop(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


async def test_a_matte_that_cannot_be_read_or_written_postpones_the_job(
    engine: Engine, blobs: ObjectBlobs, tmp_path: Path
) -> None:
    data = photo()
    job = job_of(engine, data)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), data)
    path = tmp_path / "store" / keys.matte_key(job.key)
    path.mkdir(parents=True)
    with pytest.raises(StoreError):
        await handler_of(engine, blobs)(job)
    assert path.is_dir()
    path.rmdir()
    assert (await handler_of(engine, blobs)(job)).name == job.key


async def test_an_unreadable_origin_is_fetched_again_if_the_store_works(
    engine: Engine, blobs: ObjectBlobs, tmp_path: Path
) -> None:
    job = job_of(engine, photo())
    await blobs.put(keys.origin_bytes_key(job.origin_digest), photo())
    path = tmp_path / "store" / keys.origin_bytes_key(job.origin_digest)
    _loop(path)
    with pytest.raises(JobDiscardedError):
        await handler_of(engine, blobs)(job)
    assert not path.is_symlink()
    assert [info.key async for info in blobs.list("check")] == []
    path.mkdir()  # cannot be removed
    with pytest.raises(StoreError):
        await handler_of(engine, blobs)(job)


class FullDisk(ObjectBlobs):
    """Accepts blobs of up to `room` bytes."""

    room: int

    async def put(self, key: str, data: bytes) -> None:
        if len(data) > self.room:
            raise StoreError(f"cannot write {key}: No space left on device")
        await super().put(key, data)


async def test_on_a_full_disk_no_matte_is_computed_in_vain(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = FullDisk.local(tmp_path / "store")
    assert isinstance(blobs, FullDisk)
    blobs.room = 10**9
    jobs: list[Job] = []
    for number in range(3):
        data = photo() + bytes([number])
        jobs.append(job_of(engine, data))
        await blobs.put(keys.origin_bytes_key(jobs[-1].origin_digest), data)
    made: list[int] = []
    make = engine.make_matte
    monkeypatch.setattr(engine, "make_matte", lambda *args, **more: made.append(1) or make(*args, **more))
    handle = handler_of(engine, blobs)
    blobs.room = 50
    for job in (*jobs, *jobs):
        with pytest.raises(StoreError):
            await handle(job)
    assert len(made) == 1
    blobs.room = 10**9
    for job in jobs:
        await handle(job)
        assert await MatteFiles(blobs).header(job.key) is not None
    assert len(made) == 4


async def test_a_damaged_matte_is_computed_again(engine: Engine, blobs: ObjectBlobs) -> None:
    data = photo()
    job = job_of(engine, data)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), data)
    handle = handler_of(engine, blobs)
    await handle(job)
    whole = await blobs.get(keys.matte_key(job.key))
    await blobs.put(keys.matte_key(job.key), b"half a matte")
    await handle(job)
    assert await blobs.get(keys.matte_key(job.key)) == whole


async def test_a_damaged_stored_origin_discards_the_job(engine: Engine, blobs: ObjectBlobs) -> None:
    data = photo()
    job = job_of(engine, data)
    await blobs.put(keys.origin_bytes_key(job.origin_digest), b"\0" * len(data))
    with pytest.raises(JobDiscardedError, match="damaged"):
        await handler_of(engine, blobs)(job)
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
    data = photo()
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


async def test_an_image_too_large_to_be_decoded_whole_gets_a_coarser_matte(
    tiny_model: TinyModel, blobs: ObjectBlobs
) -> None:
    """All its pixels would take 3 MB and more; half its size fits."""
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
    Image.fromarray(with_grain(pixels)).save(out, "JPEG", quality=95)
    job = job_of(engine, out.getvalue())
    await blobs.put(keys.origin_bytes_key(job.origin_digest), out.getvalue())
    await handler_of(engine, blobs)(job)
    blob = await blobs.get(keys.matte_key(job.key))
    assert blob is not None
    header = unpack_header(blob)
    assert (header.full.width, header.full.height) == (1001, 800)
    alpha = to_array(matte_at(blob, width=1001, height=800))[:, :, 0]
    assert alpha[400, 500] > 250
    assert alpha[20, 20] < 5
    assert alpha[20, 980] < 5


async def test_a_job_that_would_take_too_much_memory_to_decode_is_refused(
    tiny_model: TinyModel, blobs: ObjectBlobs
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
    job = job_of(engine, out.getvalue())
    await blobs.put(keys.origin_bytes_key(job.origin_digest), out.getvalue())
    with pytest.raises(JobPermanentError, match="too-large"):
        await handler_of(engine, blobs)(job)
