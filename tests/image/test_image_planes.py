"""Planes at another size: Pillow's cubic kernel, nothing moved, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pellucid.image.planes import resampled, resampled_levels

SIZES = [
    (320, 320, 1224, 816),
    (320, 320, 200, 90),
    (320, 320, 90, 700),
    (160, 160, 320, 320),
    (320, 320, 319, 321),
    (320, 320, 40_000, 3),
    (2, 400, 17, 3000),
    (7, 5, 30, 41),
    (1, 1, 9, 4),
]
"""Width and height before and after: larger and smaller, by large and by small factors."""


@pytest.mark.parametrize(("width", "height", "wide", "high"), SIZES)
def test_it_is_the_cubic_kernel(width: int, height: int, wide: int, high: int) -> None:
    plane = np.random.default_rng(1).random((height, width), np.float32)
    wanted = np.asarray(Image.fromarray(plane).resize((wide, high), Image.Resampling.BICUBIC))
    made = resampled(plane, width=wide, height=high)
    assert made.dtype == np.float32
    assert made.shape == (high, wide)
    np.testing.assert_allclose(made, wanted, atol=2e-5)
    levels = resampled_levels(plane, width=wide, height=high)
    assert levels.dtype == np.uint8
    np.testing.assert_allclose(levels, np.clip(np.rint(wanted * 255), 0, 255), atol=1)
    # Off by one only where a value lies between two levels.
    assert (levels != np.clip(np.rint(wanted * 255), 0, 255)).mean() < 0.01


def test_the_same_size_is_the_same_plane() -> None:
    plane = np.random.default_rng(1).random((20, 30), np.float32)
    assert resampled(plane, width=30, height=20) is plane
    assert (resampled_levels(plane, width=30, height=20) == np.rint(plane * 255)).all()


@pytest.mark.parametrize("size", [(1, 1), (1000, 700), (5000, 3)])
def test_what_is_decided_everywhere_stays_exactly_so(size: tuple[int, int]) -> None:
    for value in (0, 1):
        levels = resampled_levels(np.full((320, 320), value, np.float32), width=size[0], height=size[1])
        assert (levels == 255 * value).all()


def test_many_strips_are_as_one() -> None:
    plane = np.random.default_rng(2).random((64, 64), np.float32)
    whole = resampled_levels(plane, width=2100, height=1900)
    single = np.clip(resampled(plane * np.float32(255), width=2100, height=1900) + np.float32(0.5), 0, 255).astype(
        np.uint8
    )
    assert np.abs(whole.astype(int) - single).max() <= 1
    assert (whole != single).mean() < 0.001
