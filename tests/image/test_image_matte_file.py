from __future__ import annotations

import struct
from zlib import crc32

import msgspec
import numpy as np
import picture_samples as samples
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pellucid.errors import ImageError
from pellucid.image import vips
from pellucid.image.areas import shrink_levels
from pellucid.image.matte_file import matte_at, pack_matte, unpack_header, verify_matte


def disc(height: int, width: int, *, softness: float = 0.05) -> NDArray[np.float32]:
    """A soft disc in the middle, 1 inside."""
    y, x = np.mgrid[:height, :width]
    radius = np.hypot((y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5)
    return np.clip((0.3 - radius) / softness + 0.5, 0, 1).astype(np.float32)


def pack(alpha: NDArray[np.float32], width: int, height: int) -> bytes:
    return pack_matte(alpha, width=width, height=height, confidence=0.75, empty=False, recipe_id="u2net-1")


def at(blob: bytes, width: int, height: int) -> NDArray[np.uint8]:
    image = matte_at(blob, width=width, height=height)
    assert (image.width, image.height, image.bands, image.format) == (width, height, 1, "uchar")
    return vips.to_array(image)[..., 0]


def test_at_its_own_size_a_matte_is_lossless() -> None:
    alpha = np.random.default_rng(0).random((60, 90), dtype=np.float32)
    assert (at(pack(alpha, 90, 60), 90, 60) == np.floor(alpha * 255 + np.float32(0.5))).all()


def test_the_header_says_what_is_known() -> None:
    header = unpack_header(pack(disc(32, 32), 3000, 2000))
    assert (header.confidence, header.empty, header.recipe_id) == (0.75, False, "u2net-1")
    assert (header.full.width, header.full.height) == (3000, 2000)
    assert [(part.factor, part.width, part.height) for part in header.reduced] == [(2, 1500, 1000)]


def test_large_mattes_come_with_their_means_by_2_and_4() -> None:
    header = unpack_header(pack(disc(32, 32), 4243, 2828))
    assert [(part.factor, part.width, part.height) for part in header.reduced] == [(2, 2122, 1414), (4, 1061, 707)]


def test_a_small_picture_needs_no_smaller_mattes() -> None:
    assert unpack_header(pack(disc(32, 32), 1600, 400)).reduced == ()


def test_a_very_thin_picture_is_kept_whole() -> None:
    blob = pack(disc(32, 32), 5000, 1)
    assert unpack_header(blob).reduced == ()
    assert at(blob, 400, 1).shape == (1, 400)


def test_enlarging_stays_in_place_and_does_not_ring() -> None:
    hard = np.zeros((20, 20), np.float32)
    hard[5:15, 5:15] = 1
    big = at(pack(hard, 800, 800), 800, 800)
    # Far from the edge nothing has moved, also no ripple of a few levels.
    assert (big[:120] == 0).all()
    assert (big[280:520, 280:520] == 255).all()
    # The edges lie at 200 and 600 px.
    row = big[400].astype(float) / 255
    assert abs(row[:400].sum() - 200) < 0.1
    assert abs(row[400:].sum() - 200) < 0.1


@pytest.mark.parametrize(("width", "height"), [(64, 64), (100, 30), (30, 100), (400, 800), (333, 20)])
def test_resampling_keeps_the_centre(width: int, height: int) -> None:
    out = at(pack(disc(64, 64, softness=0.2), width, height), width, height).astype(float)
    assert abs((out.sum(axis=0) * (np.arange(width) + 0.5)).sum() / out.sum() - width / 2) < 0.05
    assert abs((out.sum(axis=1) * (np.arange(height) + 0.5)).sum() / out.sum() - height / 2) < 0.05


@pytest.mark.parametrize(("width", "height"), [(1200, 900), (1000, 750), (400, 300), (37, 28), (1, 1), (2000, 300)])
def test_every_size_shows_the_same_matte(width: int, height: int) -> None:
    blob = pack(disc(900, 1200), 1200, 900)
    # A disc covers pi * 0.3^2 of the unit square at every size.
    assert abs(at(blob, width, height).mean() / 255 - np.pi * 0.09) < 0.01


def test_shrinking_leaves_no_ghost_of_alpha() -> None:
    hard = np.zeros((900, 1200), np.float32)
    hard[300:600, 400:800] = 1
    small = at(pack(hard, 1200, 900), 300, 225)
    assert (small[:73] == 0).all()
    assert (small[77:148, 103:197] == 255).all()


@pytest.mark.parametrize(("width", "height"), [(150, 100), (120, 90), (300, 200), (7, 3), (290, 199)])
def test_shrinking_takes_the_mean_of_what_a_pixel_covers(width: int, height: int) -> None:
    fine = np.random.default_rng(0).integers(0, 256, (400, 600), dtype=np.uint8)
    small = at(pack(fine.astype(np.float32) / np.float32(255), 600, 400), width, height).astype(float)
    if 600 % width == 0 and 400 % height == 0:
        blocks = fine.reshape(height, 400 // height, width, 600 // width).mean(axis=(1, 3))
        assert np.abs(small - blocks).max() <= 1.5
    assert abs(small.mean() - fine.mean()) < 1


def test_a_reduced_matte_serves_small_sizes() -> None:
    blob = bytearray(pack(disc(64, 64), 2400, 1800))
    header = unpack_header(bytes(blob))
    start = len(blob) - header.full.length - sum(part.length for part in header.reduced)
    blob[start + 100] ^= 0xFF  # the full-size part is damaged, the reduced one is not
    assert at(bytes(blob), 600, 450).max() == 255
    with pytest.raises(ImageError, match="damaged"):
        matte_at(bytes(blob), width=1001, height=750)


@pytest.mark.parametrize("width", [500, 431, 390, 333, 100])
def test_reduced_mattes_show_what_the_full_one_does(width: int) -> None:
    # Odd sizes: the last pixels of the reduced ones hang over the edge.
    alpha = disc(1403, 2011, softness=0.02)
    height = round(1403 * width / 2011)
    exact = shrink_levels(np.rint(alpha * 255).astype(np.uint8), width=width, height=height).astype(int)
    assert np.abs(at(pack(alpha, 2011, 1403), width, height) - exact).max() <= 3


def with_overview(alpha: NDArray[np.uint8], overview: NDArray[np.uint8]) -> bytes:
    """A blob as version 1 wrote it."""
    parts = [samples.save(Image.fromarray(pixels), "PNG") for pixels in (alpha, overview)]
    described = [
        {
            "width": pixels.shape[1],
            "height": pixels.shape[0],
            "offset": offset,
            "length": len(part),
            "crc32": crc32(part),
        }
        for pixels, part, offset in zip((alpha, overview), parts, (0, len(parts[0])), strict=True)
    ]
    header = msgspec.msgpack.encode(
        {
            "version": 1,
            "recipe_id": "u2net-1",
            "confidence": 0.5,
            "empty": False,
            "full": described[0],
            "overview": described[1],
        }
    )
    return b"".join((b"PLCMATTE", struct.pack("<II", len(header), crc32(header)), header, *parts))


def test_mattes_of_version_1_are_still_read() -> None:
    levels = np.rint(disc(2000, 2500) * 255).astype(np.uint8)
    blob = with_overview(levels, levels[::5, ::5])
    assert verify_matte(blob).confidence == 0.5
    assert (at(blob, 2500, 2000) == levels).all()
    assert np.abs(at(blob, 250, 200).astype(int) - shrink_levels(levels, width=250, height=200)).mean() < 2
    damaged = bytearray(blob)
    damaged[-5] ^= 1
    with pytest.raises(ImageError, match="damaged"):
        verify_matte(bytes(damaged))
    assert (at(bytes(damaged), 2500, 2000) == levels).all()  # the overview is not read for it


def test_other_versions_are_refused() -> None:
    header = msgspec.json.decode(msgspec.json.encode(unpack_header(_BLOB)))
    raw = msgspec.msgpack.encode(header | {"version": 3})
    with pytest.raises(ImageError, match="version 3"):
        unpack_header(b"".join((b"PLCMATTE", struct.pack("<II", len(raw), crc32(raw)), raw)))


@given(
    alpha=st.integers(1, 40).flatmap(
        lambda n: st.lists(st.floats(0, 1, width=32), min_size=n * 3, max_size=n * 3).map(
            lambda values: np.array(values, np.float32).reshape(3, -1)
        )
    ),
    width=st.integers(1, 120),
    height=st.integers(1, 120),
)
@settings(max_examples=60, deadline=None)
def test_flat_mattes_stay_flat_and_all_stay_in_range(alpha: NDArray[np.float32], width: int, height: int) -> None:
    out = at(pack(alpha, width, height), width, height)
    assert out.shape == (height, width)
    flat = np.full_like(alpha, alpha.flat[0])
    level = at(pack(flat, width, height), width, height)
    assert np.abs(level.astype(float) - alpha.flat[0] * 255).max() <= 1


_BLOB = pack(disc(16, 16), 40, 30)


@given(position=st.integers(0, len(_BLOB) - 1), value=st.integers(1, 255), keep=st.integers(0, len(_BLOB)))
@settings(max_examples=200, deadline=None)
def test_every_damage_is_noticed(position: int, value: int, keep: int) -> None:
    damaged = bytearray(_BLOB)
    damaged[position] ^= value
    with pytest.raises(ImageError):
        vips.to_array(matte_at(bytes(damaged), width=20, height=15))
    if keep < len(_BLOB):
        with pytest.raises(ImageError):
            matte_at(_BLOB[:keep], width=20, height=15)
