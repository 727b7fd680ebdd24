"""Colours, smooth noise and textures of the synthetic scenes. All from a numpy `Generator`, no files.

Planes are float32 (height, width); colours are float32 sRGB levels 0..255, pictures of them (height, width, 3). `size`
is (width, height) in pixels. Lengths are shares of the height, so a scene looks alike at every size.
"""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
"""float32 throughout; arithmetic with plain numbers keeps it, which the type checker cannot see."""

Size = tuple[int, int]

_FINEST_CELL_PX = 2.0


def noise(rng: np.random.Generator, size: Size, cell: float) -> FloatArray:
    """Smooth noise of about mean 0 and deviation 1: uniform cubic B-splines over random values, `cell` apart."""
    width, height = size
    step = max(cell * height, _FINEST_CELL_PX)
    down, across = _spline(height, step), _spline(width, step)
    values = rng.standard_normal((down.shape[1], across.shape[1]), dtype=np.float32)
    # The splines average their neighbours: in two dimensions the deviation falls to about 0.48.
    return (down @ values @ across.T) / np.float32(0.48)


def fractal(rng: np.random.Generator, size: Size, cell: float, *, octaves: int, gain: float = 0.55) -> FloatArray:
    """Noise at `octaves` scales, each half the last and `gain` times as strong; deviation about 1."""
    total = np.zeros((size[1], size[0]), np.float32)
    power = 0.0
    for octave in range(octaves):
        total += np.float32(gain**octave) * noise(rng, size, cell / 2**octave)
        power += gain ** (2 * octave)
    return total / np.float32(power**0.5)


def hsv(hue: float, saturation: float, value: float) -> FloatArray:
    """A colour as three levels; `hue` in turns, the others clipped to [0, 1]."""
    saturation, value = min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0)
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), np.float32) * np.float32(255)


def palette(rng: np.random.Generator, *, light: bool) -> FloatArray:
    """Three related colours of a subject, (3, 3) from its shade to its highlight."""
    hue = rng.uniform()
    saturation = rng.uniform(0.1, 0.45) if light else rng.uniform(0.25, 0.8)
    top = rng.uniform(0.88, 1.0) if light else rng.uniform(0.35, 0.6)
    drift = rng.uniform(0.02, 0.08) * rng.choice((-1, 1))
    return np.stack(
        [
            hsv(hue - drift, saturation + 0.15, top * 0.5),
            hsv(hue, saturation, top * 0.8),
            hsv(hue + drift, saturation * 0.6, top),
        ]
    )


def ramp(colours: FloatArray, t: FloatArray) -> FloatArray:
    """`colours` (n, 3) run through as `t` goes from 0 to 1; `t` of any shape, clipped, the result has 3 more."""
    place = np.clip(t, 0, 1) * np.float32(len(colours) - 1)
    low = np.minimum(place.astype(np.intp), len(colours) - 2)
    share = (place - low)[..., None]
    return colours[low] * (1 - share) + colours[low + 1] * share


def surface(rng: np.random.Generator, size: Size, colours: FloatArray, *, pattern: str | None = None) -> FloatArray:
    """A surface in `colours` with a `pattern` (marble, stripes or spots; None: any), lit from one side, with grain."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32) / np.float32(height)
    pattern = pattern or str(rng.choice(("marble", "stripes", "spots")))
    coarse = fractal(rng, size, 0.25, octaves=4)
    angle = rng.uniform(0, np.pi)
    along = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
    if pattern == "stripes":
        t = 0.5 + 0.35 * np.sin(along * np.float32(2 * np.pi / rng.uniform(0.04, 0.14)) + coarse)
    elif pattern == "spots":
        t = 0.75 - 0.5 / (1 + np.exp(-6 * (noise(rng, size, rng.uniform(0.025, 0.07)) - 0.6)))
    else:
        t = 0.5 + 0.22 * coarse
    angle = rng.uniform(0, 2 * np.pi)
    light = np.float32(np.cos(angle)) * (x - x.mean()) + np.float32(np.sin(angle)) * (y - y.mean())
    t = t + 0.25 * light + 0.05 * noise(rng, size, 0.006)
    grain = rng.standard_normal((height, width, 1), dtype=np.float32) * np.float32(2)
    return np.clip(ramp(colours, t) + grain, 0, 255)


def _spline(length: int, step: float) -> FloatArray:
    """(length, knots): the weights of cubic B-splines `step` pixels apart at each pixel of a row."""
    place = (np.arange(length, dtype=np.float32) + np.float32(0.5)) / np.float32(step)
    knots = int(place[-1]) + 4
    distance = np.abs(place[:, None] - (np.arange(knots, dtype=np.float32) - 1)[None, :])
    near = (4 - 6 * distance**2 + 3 * distance**3) / 6
    far = np.maximum(2 - distance, 0) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)
