"""Planes of floats at another size, by matrix products: a few rows of the result are a band of weights times a few rows
of the plane.

An alpha of 320 x 320 at 1, 12 and 50 megapixels in 8 bits: 2, 10 and 43 ms on two cores, where libvips' affine
transformation takes 6, 54 (the last factor bilinear) and 190: it has 16 neighbours for each pixel, one direction after
the other four and four. Pillow's takes 7 at 1 megapixel in floats, most of it to give its pixels back, and 3, 43 and
170 in 8 bits, with three times the memory.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pellucid.image.strips import for_each_strip

Plane = NDArray[np.float32]

_SUPPORT = 2
"""Of the cubic kernel, in pixels to each side."""

_ROWS = 16
"""Rows of the result that are made at a time, at most: with more the products have more zeros."""

_PRODUCT_PIXELS = 1 << 15
"""And pixels, at most: BLAS would share larger products among threads, of which others may have use."""

_STRIP_PIXELS = 1 << 17


def resampled(plane_hw: Plane, *, width: int, height: int) -> Plane:
    """`plane_hw` at `width` x `height`, by the cubic kernel (Catmull-Rom), nothing moved; the same array where it has
    that size. Where it shrinks, the kernel is as wide as what falls into one pixel. May overshoot.
    """
    if plane_hw.shape == (height, width):
        return plane_hw
    made = np.empty((height, width), np.float32)
    _to_height(_to_width(plane_hw, width), made)
    return made


def resampled_levels(plane_hw: Plane, *, width: int, height: int) -> NDArray[np.uint8]:
    """As `resampled`, of values in [0, 1] as levels of 0 to 255, rounded and clipped: one byte a pixel, and temporary
    arrays of some MB.
    """
    # Scaled before there are many of them; the cast cuts fractions off.
    wide = _to_width(plane_hw * np.float32(255) + np.float32(0.5), width)
    bands = _bands(plane_hw.shape[0], height, at_a_time=_rows_at_a_time(width))
    made = np.empty((height, width), np.uint8)
    rows = bands.at_a_time * max(1, _STRIP_PIXELS // (bands.at_a_time * width))

    def make(top: int) -> None:
        levels = np.empty((min(rows, height - top), width), np.float32)
        bands.apply(wide, levels, top)
        np.clip(levels, 0, 255, out=levels)
        made[top : top + rows] = levels

    for_each_strip(make, range(0, height, rows))
    return made


def _to_width(plane_hw: Plane, width: int) -> Plane:
    if plane_hw.shape[1] == width:
        return plane_hw
    turned = np.empty((width, plane_hw.shape[0]), np.float32)
    _to_height(np.ascontiguousarray(plane_hw.T), turned)
    return np.ascontiguousarray(turned.T)


def _to_height(plane: Plane, made: Plane) -> None:
    height, width = made.shape
    _bands(plane.shape[0], height, at_a_time=_rows_at_a_time(width)).apply(plane, made, 0)


def _rows_at_a_time(width: int) -> int:
    return max(1, min(_ROWS, _PRODUCT_PIXELS // width))


class _Bands(NamedTuple):
    """`weights` (bands x rows at a time x n) of the n rows of a plane from `first` (bands) on."""

    first: list[int]
    weights: Plane

    @property
    def at_a_time(self) -> int:
        return self.weights.shape[1]

    def apply(self, plane: Plane, made: Plane, top: int) -> None:
        """Write rows of the result from `top` on, which begins a band, to `made`."""
        count = self.weights.shape[2]
        for start in range(0, len(made), self.at_a_time):
            out = made[start : start + self.at_a_time]
            band = (top + start) // self.at_a_time
            first = self.first[band]
            np.matmul(self.weights[band, : len(out)], plane[first : first + count], out=out)


def _bands(rows: int, height: int, *, at_a_time: int) -> _Bands:
    """To take a plane of `rows` to `height`."""
    ratio = rows / height
    scale = max(1.0, ratio)
    bands = -(-height // at_a_time)
    # What the last band has beyond the last row is not used.
    centres = (np.minimum(np.arange(bands * at_a_time), height - 1).reshape(bands, at_a_time, 1) + 0.5) * ratio
    count = min(rows, math.ceil((at_a_time - 1) * ratio + 2 * _SUPPORT * scale) + 1)
    first = np.clip(np.floor(centres[:, 0, 0] - _SUPPORT * scale).astype(np.intp), 0, rows - count)
    weights = _cubic(np.abs(centres - (first[:, None, None] + np.arange(count) + 0.5)) / scale)
    weights /= weights.sum(axis=2, keepdims=True)
    return _Bands(first.tolist(), weights.astype(np.float32))


def _cubic(away: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernel of R. Keys, "Cubic convolution interpolation for digital image processing", 1981, with a = -1/2."""
    near = (1.5 * away - 2.5) * away * away + 1
    far = ((-0.5 * away + 2.5) * away - 4) * away + 2
    return np.where(away < 1, near, np.where(away < _SUPPORT, far, 0.0))
