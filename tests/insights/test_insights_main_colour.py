"""The most prominent colour is one that is there."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.insights.main_colour import main_colour
from pellucid.spec import Colour


def test_the_colour_of_most_pixels() -> None:
    pixels = np.full((40, 40, 3), (250, 250, 250), np.uint8)
    pixels[:, :25] = (180, 40, 60)
    assert main_colour(pixels) == Colour(red=180, green=40, blue=60)


def test_no_mix_of_two_colours() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[::2], pixels[1::2] = (250, 240, 0), (0, 0, 250)
    assert main_colour(pixels) in (Colour(red=250, green=240, blue=0), Colour(red=0, green=0, blue=250))


@pytest.mark.parametrize("level", [0, 30, 100, 180, 255])
def test_a_little_light_and_noise_split_no_colour(level: int) -> None:
    rng = np.random.default_rng(0)
    noisy = np.clip(level + rng.normal(0, 3, (60, 60, 1)) + np.zeros(3), 0, 255).astype(np.uint8)
    noisy[:, :25] = rng.integers(0, 256, (60, 25, 3), np.uint8)
    found = main_colour(noisy)
    assert found is not None
    assert max(abs(channel - level) for channel in found.rgb) <= 4


def test_transparent_pixels_have_no_colour() -> None:
    pixels = np.zeros((20, 20, 4), np.uint8)
    assert main_colour(pixels) is None
    pixels[..., :3] = (0, 200, 0)
    pixels[:3, :3] = (200, 0, 0, 255)
    assert main_colour(pixels) == Colour(red=200, green=0, blue=0)
