"""PURE: the most prominent colour of an image: where its pixels crowd in a perceptual space.

Pixels are counted in coarse cells of OKLab (Ottosson, 2020), where equal distances look about equally far apart. A cell
counts together with its neighbours, so a colour that lies on the edge of two cells, or is spread a little by light, is
not split. The answer is the median of the pixels around the fullest place: a colour that is really there, never a mix.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pellucid.spec import Colour

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 128
"""A reduction to this longer side is enough: more changes nothing that is seen."""

_CELL = 0.05
"""Edge of a cell, lightness and both colour axes alike: twice what is plainly told apart side by side."""

_CELLS = 24
"""Along an axis: lightness needs 20, the colour axes of sRGB reach from -0.32 to 0.28."""

_OPAQUE = 128
"""Alpha from which a pixel counts."""

_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)


def main_colour(pixels_hwc: NDArray[np.uint8]) -> Colour | None:
    """The most prominent colour of uint8 RGB or RGBA (straight alpha); None where no pixel is opaque. Of equally full
    places the lightest is taken.
    """
    flat = pixels_hwc.reshape(-1, pixels_hwc.shape[2])
    if flat.shape[1] == 4:
        flat = flat[flat[:, 3] >= _OPAQUE]
    if not len(flat):
        return None
    rgb = np.ascontiguousarray(flat[:, :3])
    lab = np.cbrt(_linear()[rgb] @ _TO_CONES.T) @ _TO_LAB.T
    cells = np.floor(lab / np.float32(_CELL)).astype(np.int64) + np.array([1, _CELLS // 2, _CELLS // 2])
    cells = np.clip(cells, 0, _CELLS - 1)
    counts = np.bincount(cells @ np.array([_CELLS**2, _CELLS, 1]), minlength=_CELLS**3).reshape([_CELLS] * 3)
    crowd = _with_neighbours(counts).ravel()
    place = len(crowd) - 1 - int(np.argmax(crowd[::-1]))  # the last of equals: lightness is the first axis
    middle = np.array(np.unravel_index(place, counts.shape))
    near = rgb[np.all(np.abs(cells - middle) <= 1, axis=1)]
    red, green, blue = (round(float(level)) for level in np.median(near, axis=0))
    return Colour(red=red, green=green, blue=blue)


@cache
def _linear() -> NDArray[np.float32]:
    """Linear light of each sRGB level."""
    value = np.arange(256, dtype=np.float64) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _with_neighbours(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Twice each cell and once its neighbours, along one axis after another: the middle counts most."""
    for axis in range(counts.ndim):
        lines = np.moveaxis(counts, axis, 0)
        nothing = np.zeros_like(lines[:1])
        lower, upper = np.concatenate([nothing, lines[:-1]]), np.concatenate([lines[1:], nothing])
        counts = np.moveaxis(lower + 2 * lines + upper, 0, axis)
    return counts
