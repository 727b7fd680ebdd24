"""From a coarse alpha to a matte at the picture's own size, as a tier has it. Pure."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pellucid.cutout.matting import band, solve
from pellucid.cutout.refine import reduction, refine, to_levels
from pellucid.cutout.tiers import Edges
from pellucid.image import vips
from pellucid.image.planes import resampled_levels
from pellucid.inference.runtime import FloatArray

Pixels = npt.NDArray[np.uint8]

_SOLVED_PIXELS = 1_500_000
"""The matting equations are solved on a picture reduced by a whole factor to at most this many pixels."""

_UNKNOWN_PIXELS = 120_000
"""And to at most this many in the band: 0.4 s on two cores."""

_RADIUS = 2
"""Of the filter that takes a solved alpha from the reduced picture to the whole one, in pixels of the reduced one."""


def draw(photo: Pixels, small: Pixels, alpha_hw: FloatArray, edges: Edges) -> Pixels:
    """The matte of `photo` (uint8, H x W x 3, sRGB) from its coarse alpha (float32, [0, 1], any size): uint8, H x W.

    `small`: the photo by area means of whole blocks (`refine.reduction`).
    """
    height, width = photo.shape[:2]
    match edges:
        case Edges.ENLARGED:
            return resampled_levels(alpha_hw, width=width, height=height)
        case Edges.FILTERED:
            return refine(photo, small, alpha_hw, factor=reduction(width, height))
        case Edges.SOLVED:
            return _solved(photo, alpha_hw)


def _solved(photo: Pixels, alpha_hw: FloatArray) -> Pixels:
    height, width = photo.shape[:2]
    factor = max(1, math.ceil(math.sqrt(height * width / _SOLVED_PIXELS)))
    while True:
        rows, columns = -(-height // factor), -(-width // factor)
        reduced = vips.reduced(photo, factor)
        levels = resampled_levels(alpha_hw, width=columns, height=rows)
        alpha = levels.astype(np.float32) * np.float32(1 / 255)
        where = band(reduced, alpha)
        unknown = int(where.unknown.sum())
        if unknown <= _UNKNOWN_PIXELS:
            break
        factor += max(1, math.ceil(factor * (math.sqrt(unknown / _UNKNOWN_PIXELS) - 1)))
    solved = solve(reduced, alpha, where)
    return to_levels(solved) if factor == 1 else refine(photo, reduced, solved, factor=factor, radius=_RADIUS)
