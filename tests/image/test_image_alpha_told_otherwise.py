"""Transparency that a file does not say in an alpha channel, or says in one that nobody filled."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from picture_samples import save
from PIL import Image

from pellucid.image import vips
from pellucid.image.decode import decode_full, decode_scaled
from pellucid.image.gif import covered_part
from pellucid.image.probe import probe

WIDTH, HEIGHT = 36, 10
RED = (200, 30, 30)


def pixels_of(data: bytes) -> NDArray[np.uint8]:
    facts = probe(data, max_pixels=100_000)
    pixels = vips.to_array(decode_full(data, facts))
    assert facts.has_alpha == (pixels.shape[2] == 4)
    return pixels


def gif(screen: tuple[int, int], left: int, top: int, *, frames: int = 1, transparent: bool = False) -> bytes:
    """Red frames of 12 x 8 on a larger screen."""
    red = Image.new("P", (12, 8), 1)
    red.putpalette([0, 0, 0, *RED] + [9] * 3 * 254)
    others = [Image.new("P", (12, 8), 1 + each) for each in range(1, frames)]
    for each in others:
        each.putpalette(red.getpalette() or [])
    options = {"transparency": 0} if transparent else {}
    data = bytearray(
        save(red, "GIF", save_all=frames > 1, append_images=others, optimize=False, comment=b"x", **options)
    )
    struct.pack_into("<HH", data, 6, *screen)
    # After the header and its table come extensions, whose blocks hold no comma here, and the first frame.
    at = data.index(b"\x2c", 13 + 3 * (2 << (data[10] & 7)))
    struct.pack_into("<HH", data, at + 1, left, top)
    return bytes(data)


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(("left", "top"), [(0, 0), (5, 4), (28, 22)])
def test_what_a_gif_leaves_free_of_its_screen_is_transparent(
    left: int, top: int, frames: int, transparent: bool
) -> None:
    pixels = pixels_of(gif((40, 30), left, top, frames=frames, transparent=transparent))
    inside = np.zeros((30, 40), dtype=bool)
    inside[top : top + 8, left : left + 12] = True
    assert pixels.shape == (30, 40, 4)
    assert (pixels[inside] == (*RED, 255)).all()
    assert (pixels[~inside][:, 3] == 0).all()


def test_a_gif_that_fills_its_screen_is_opaque() -> None:
    assert pixels_of(gif((12, 8), 0, 0)).shape == (8, 12, 3)


def test_a_screen_grows_with_a_frame_beside_it() -> None:
    data = gif((16, 10), 10, 5)
    pixels = vips.to_array(decode_scaled(data, probe(data, max_pixels=1000), width=44, height=26))
    assert (pixels[14:, 24:, 3] == 255).all()
    assert (pixels[:8, :16, 3] == 0).all()


@given(st.binary(max_size=60), st.integers(0, 60))
def test_a_broken_gif_covers_nothing_known(tail: bytes, cut: int) -> None:
    data = (gif((40, 30), 5, 4)[:cut] + tail)[:80]
    box = covered_part(data, width=40, height=30)
    assert box is None or (box.width > 0 and box.height > 0)


def _bgra(alpha: int) -> bytes:
    """Bottom-up rows of 32-bit pixels, red."""
    return bytes([*RED[::-1], alpha]) * (WIDTH * HEIGHT)


def bmp(alpha: int) -> bytes:
    """With masks for four channels."""
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    body = struct.pack("<IiiHHIIiiII", 124, WIDTH, HEIGHT, 1, 32, 3, WIDTH * HEIGHT * 4, 0, 0, 0, 0)
    head = body + masks + bytes(124 - len(body) - len(masks))
    data = _bgra(alpha)
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(data), 0, 0, 14 + len(head)) + head + data


def icon(alpha: int, hidden: NDArray[np.bool_] | None) -> bytes:
    """With a mask behind the pixels, whose rows are filled up to whole words."""
    head = struct.pack("<IiiHHIIiiII", 40, WIDTH, 2 * HEIGHT, 1, 32, 0, 0, 0, 0, 0, 0)
    mask = b""
    if hidden is not None:
        padded = np.zeros((HEIGHT, (WIDTH + 31) // 32 * 32), dtype=bool)
        padded[:, :WIDTH] = hidden[::-1]
        mask = np.packbits(padded, axis=1).tobytes()
    body = head + _bgra(alpha) + mask
    return b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", WIDTH, HEIGHT, 0, 0, 1, 32, len(body), 22) + body


@pytest.mark.parametrize(("stored", "shown"), [(0, 255), (1, 1), (128, 128), (255, 255)])
def test_a_bmp_whose_alpha_nobody_filled_is_opaque(stored: int, shown: int) -> None:
    pixels = pixels_of(bmp(stored))
    assert (pixels[..., 3] == shown).all()
    assert (np.abs(pixels[..., :3].astype(int) - RED) <= 1).all()


def test_an_icon_whose_alpha_nobody_filled_has_its_mask() -> None:
    hidden = np.zeros((HEIGHT, WIDTH), dtype=bool)
    hidden[:3, :5] = hidden[-1, -2:] = True
    pixels = pixels_of(icon(0, hidden))
    assert ((pixels[..., 3] == 0) == hidden).all()
    assert (pixels[~hidden] == (*RED, 255)).all()


def test_an_icon_with_neither_alpha_nor_mask_is_opaque() -> None:
    assert (pixels_of(icon(0, None))[..., 3] == 255).all()


def test_an_icons_own_alpha_counts_more_than_its_mask() -> None:
    assert (pixels_of(icon(70, np.ones((HEIGHT, WIDTH), dtype=bool)))[..., 3] == 70).all()
