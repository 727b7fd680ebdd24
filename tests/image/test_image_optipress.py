"""A quality for each image: how alike two images look, and what is chosen by it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from pellucid.formats import ImageFormat
from pellucid.image import optipress, vips
from pellucid.image.encode import write
from pellucid.image.likeness import Original
from pellucid.image.optipress import CHOOSING, TARGETS, choose_quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

J, P, W = ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP
FORMATS = sorted(CHOOSING)


def photo(width: int = 420, height: int = 300, grain: float = 8) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    shade = 120 + 60 * np.sin(x / 23)[..., None] * np.cos(y / 17)[..., None] * np.array([1, 0.7, 0.4])
    shade += 40 * (np.hypot(x - width / 2, y - height / 2) < height / 3)[..., None]
    shade += np.random.default_rng(7).normal(0, grain, (height, width, 1))
    return np.clip(shade, 0, 255).astype(np.uint8)


def opened(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_points_fall_with_the_quality() -> None:
    original = Original(photo())
    assert original.points(photo()) > 91
    points = [
        original.points(opened(write(vips.from_array(photo()), format=J, quality=quality).body))
        for quality in (95, 85, 70, 50, 30, 10)
    ]
    assert points == sorted(points, reverse=True)
    assert points[0] > 80
    assert points[-1] < 55


@pytest.mark.parametrize("format_", FORMATS)
def test_a_level_is_a_look(format_: ImageFormat) -> None:
    """Whatever the image: another quality for each, the same points. And the same quality each time."""
    for grain in (3, 12):
        image = vips.from_array(photo(grain=grain))
        for level, target in TARGETS.items():
            choice = choose_quality(image, format_, level=level)
            assert choice.tries <= 4
            assert abs(choice.points - target) < 3
            assert choose_quality(image, format_, level=level) == choice
    chosen = {choose_quality(vips.from_array(photo(grain=grain)), format_, level=2).quality for grain in (3, 12)}
    assert len(chosen) == 2


@pytest.mark.parametrize("format_", FORMATS)
def test_higher_levels_are_smaller(format_: ImageFormat) -> None:
    image = vips.from_array(photo())
    sizes = [len(write(image, format=format_, quality=None, optipress=level).body) for level in (1, 2, 3)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < 0.8 * sizes[0]


def test_a_named_quality_is_the_most() -> None:
    image = vips.from_array(photo())
    plain = write(image, format=J, quality=35)
    assert write(image, format=J, quality=35, optipress=1).body == plain.body
    chosen = write(image, format=J, quality=100, optipress=3)
    assert chosen.body == write(image, format=J, quality=None, optipress=3).body


def test_formats_without_a_quality_are_as_ever() -> None:
    image = vips.from_array(photo())
    assert write(image, format=P, quality=None, optipress=3).body == write(image, format=P, quality=None).body


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    "pixels",
    [
        np.full((1, 1, 3), 9, np.uint8),
        np.full((300, 1, 3), 200, np.uint8),
        np.full((5, 9, 3), 200, np.uint8),
        np.full((600, 700, 3), 40, np.uint8),
        np.random.default_rng(1).integers(0, 256, (400, 1000, 3), dtype=np.uint8),
        np.dstack((photo(), np.linspace(0, 255, 420, dtype=np.uint8)[None].repeat(300, axis=0))),
    ],
    ids=["a pixel", "a line", "tiny", "one colour", "noise", "transparent"],
)
def test_any_image_has_a_quality(pixels: NDArray[np.uint8], format_: ImageFormat) -> None:
    for level in (1, 3):
        choice = choose_quality(vips.from_array(pixels), format_, level=level)
        assert 30 <= choice.quality <= 94
        assert choice.tries <= 4


def test_of_a_large_image_a_sample_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    class Watched(Original):
        def __init__(self, rgb: NDArray[np.uint8]) -> None:
            seen.append(rgb.shape[:2])
            super().__init__(rgb)

    monkeypatch.setattr(optipress, "Original", Watched)
    for shape in ((2000, 1500), (130, 9000), (9000, 130), (120, 9000), (9, 60_000), (500, 500)):
        choose_quality(vips.from_array(photo(*shape[::-1])), J, level=2)
    for height, width in seen:
        assert 180_000 < height * width <= 330_000
    assert seen[-1] == (500, 500)
