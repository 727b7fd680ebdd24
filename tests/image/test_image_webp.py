from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pellucid.image import vips, webp
from pellucid.image.decode import decode_full
from pellucid.image.probe import probe
from pellucid.image.webp import save_with_alpha


def saved(rgba: NDArray[np.uint8], *, quality: int = 82, effort: int = 2) -> bytes:
    return save_with_alpha(vips.from_array(rgba), quality=quality, effort=effort)


def seen_by_pillow(data: bytes) -> NDArray[np.uint8]:
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    assert image.mode == "RGBA"
    return np.asarray(image)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 1000),
    levels=st.sampled_from([2, 3, 20, 256]),
    effort=st.sampled_from([2, 4]),
)
@settings(max_examples=60, deadline=None)
def test_alpha_is_lossless_for_every_decoder(height: int, width: int, seed: int, levels: int, effort: int) -> None:
    rng = np.random.default_rng(seed)
    rgba = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    rgba[..., 3] = rng.integers(0, levels, (height, width)) * (255 // (levels - 1))
    rgba[0, 0, 3] = 128  # Pillow shows a file that is opaque everywhere without alpha.
    data = saved(rgba, effort=effort)
    assert (seen_by_pillow(data)[..., 3] == rgba[..., 3]).all()
    facts = probe(data, max_pixels=10_000)
    assert (facts.width, facts.height, facts.has_alpha) == (width, height, True)
    assert (vips.to_array(decode_full(data, facts))[..., 3] == rgba[..., 3]).all()


@pytest.mark.parametrize("hidden", [True, False])
def test_colours_are_as_good_as_libwebp_writes_them(hidden: bool) -> None:
    y, x = np.mgrid[:200, :300]
    rgba = np.empty((200, 300, 4), np.uint8)
    rgba[..., 0], rgba[..., 1], rgba[..., 2] = x * 255 // 299, y * 255 // 199, 128 + 100 * np.sin((x + y) / 9)
    rgba[..., 3] = np.clip((90 - np.hypot(y - 100, x - 150)) * 25 + 128, 0 if hidden else 1, 255)
    rgba[rgba[..., 3] == 0] = 0
    ours = saved(rgba)
    theirs = vips.from_array(rgba).webpsave_buffer(Q=82, effort=2, keep="none")
    shown = rgba[..., 3] > 0

    def error(data: bytes) -> float:
        return float(np.abs(seen_by_pillow(data)[..., :3].astype(int) - rgba[..., :3])[shown].mean())

    assert error(ours) < error(theirs) * 1.05
    assert len(ours) < len(theirs) * 1.1


def test_long_and_thin_pictures_keep_their_size() -> None:
    rgba = np.full((1, 16_383, 4), 100, np.uint8)
    assert seen_by_pillow(saved(rgba)).shape == (1, 16_383, 4)


def test_strips_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    rgba = np.random.default_rng(2).integers(0, 256, (50, 30, 4), dtype=np.uint8)
    whole = saved(rgba)
    monkeypatch.setattr(webp, "_STRIP_PIXELS", 100)
    assert saved(rgba) == whole


def test_the_picture_that_is_written_is_left_alone() -> None:
    rgba = np.random.default_rng(3).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    before = rgba.copy()
    saved(rgba)
    assert (rgba == before).all()
