"""The border that `trim` cuts off: found where it is, and nowhere else."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pellucid.image.box import Box
from pellucid.insights.border import content_box, scaled_box

INNER = Box(left=30, top=20, width=140, height=80)


def bordered(colour: tuple[int, ...], *, bands: int = 3) -> NDArray[np.uint8]:
    """Noise in `INNER` of 220 x 130 pixels of `colour`."""
    pixels = np.empty((130, 220, bands), np.uint8)
    pixels[:] = colour
    inside = pixels[INNER.top : INNER.top + INNER.height, INNER.left : INNER.left + INNER.width]
    inside[:] = np.random.default_rng(0).integers(0, 256, inside.shape, np.uint8)
    if bands == 4:
        inside[..., 3] = 255
    return pixels


def jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out))


@pytest.mark.parametrize("colour", [(255, 255, 255), (128, 128, 128), (0, 0, 0), (200, 30, 90)])
@pytest.mark.parametrize("trim", [1, 5, 10])
def test_a_border_of_one_colour_is_cut_off(colour: tuple[int, ...], trim: float) -> None:
    box = content_box(bordered(colour), trim)
    assert box is not None
    for found, true in ((box.left, 30), (box.top, 20), (box.left + box.width, 170), (box.top + box.height, 100)):
        assert abs(found - true) <= 1


def test_a_transparent_border_is_cut_off_whatever_colours_it_hides() -> None:
    pixels = bordered((0, 0, 0, 0), bands=4)
    pixels[pixels[..., 3] == 0, :3] = 77
    pixels[0, 0, :3] = 200
    assert content_box(pixels, 5) == INNER


@pytest.mark.parametrize(("quality", "trim"), [(95, 2), (75, 5), (30, 10)])
def test_what_jpeg_leaves_around_an_object_is_border(quality: int, trim: float) -> None:
    box = content_box(jpeg(bordered((255, 255, 255)), quality), trim)
    assert box is not None
    assert box.left >= 30 - 16  # a block of JPEG with halved chroma
    assert box.left + box.width <= 170 + 16
    assert box.left <= 31


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((50, 60, 3), 200, np.uint8),  # nothing but border
        np.random.default_rng(1).integers(0, 256, (50, 60, 3), np.uint8),  # none
        np.dstack([np.add.outer(np.arange(0, 100, 2), np.arange(0, 120, 2)).astype(np.uint8)] * 3),  # a gradient
    ],
)
def test_an_image_without_a_border_or_without_anything_else_stays_whole(pixels: NDArray[np.uint8]) -> None:
    assert content_box(pixels, 5) is None


def test_a_plain_sky_is_no_border_unless_it_is_of_one_colour_almost_exactly() -> None:
    rng = np.random.default_rng(2)
    scene = rng.integers(0, 256, (100, 150, 3), np.uint8)
    scene[:40] = rng.integers(195, 215, (40, 150, 3), np.uint8)
    assert content_box(scene, 10) is None
    scene[:40] = (120, 160, 220)
    assert content_box(scene, 10) == Box(left=0, top=40, width=150, height=60)


def test_specks_do_not_end_a_border_and_masts_do() -> None:
    pixels = np.full((400, 600, 3), 250, np.uint8)
    pixels[200:300, 200:400] = 30
    pixels[50, 50] = 0
    assert content_box(pixels, 5) == Box(left=200, top=200, width=200, height=100)
    pixels[100:200, 300:303] = 0
    assert content_box(pixels, 5) == Box(left=200, top=100, width=200, height=200)


def test_a_box_of_a_reduction_is_rounded_inwards() -> None:
    found = Box(left=3, top=0, width=4, height=10)
    assert scaled_box(found, (10, 10), (25, 10)) == Box(left=8, top=0, width=9, height=10)
    assert scaled_box(Box(left=0, top=0, width=10, height=10), (10, 10), (25, 11)) == Box(
        left=0, top=0, width=25, height=11
    )
