"""The matte of a flat graphic: its ground colour removed, edges unmixed by the colours on both sides. Pure.

A pixel that has the ground's colour is 0, inside letters too. A pixel with no ground within reach is 1. Between them a
pixel shows I = alpha F + (1 - alpha) B, of which B is the ground and F the ink beside it: alpha is where I lies on the
way from B to F. So what the rendering finds for F (`render.foreground`) is the ink again, on any new backdrop.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pellucid.cutout.graphics.colours import Palette, Pixels, distance
from pellucid.cutout.windows import widened
from pellucid.image.strips import for_each_strip
from pellucid.inference.runtime import FloatArray

Marks = npt.NDArray[np.uint16]
"""One bit for each ink, in the order of the palette, and two more: h x w."""

_GROUND = np.uint16(1 << 15)
_STRONG = np.uint16(1 << 14)

_STRIP_PIXELS = 1 << 18
"""Pixels worked on at a time: temporary arrays of some 10 MB."""

_BETWEEN = 0.7
"""Of the way to the weakest ink nearby: up to there a pixel between inks of a lossy file may be a mixture with the
ground, beyond it one of inks."""

_REACH = 2
_LOSSY_REACH = 3
"""Pixels. How wide an edge is: antialiasing takes 1 or 2, chroma at half the resolution smears over 3."""


def remove_ground(rgb: Pixels, palette: Palette) -> npt.NDArray[np.uint8]:
    """The matte of `rgb` (uint8, H x W x 3, sRGB): uint8, H x W, 255 = ink. At most 14 inks are told apart."""
    height, width = rgb.shape[:2]
    matte = np.empty((height, width), np.uint8)
    strip = max(16, _STRIP_PIXELS // width)
    reach = _REACH if palette.is_exact else _LOSSY_REACH

    def solve(top: int) -> None:
        first, last = max(0, top - reach), min(height, top + strip + reach)
        solved = _solve(rgb[first:last], palette, reach)
        matte[top : top + strip] = solved[top - first : top - first + strip]

    for_each_strip(solve, range(0, height, strip))
    return matte


def _solve(rgb: Pixels, palette: Palette, reach: int) -> npt.NDArray[np.uint8]:
    off = _off_ground(rgb, palette.ground)
    on_ground = off <= (0 if palette.is_exact else round(2 * palette.noise))
    marks = np.where(on_ground, _GROUND, np.uint16(0))
    ink = np.flatnonzero(~on_ground)
    colours = rgb.reshape(-1, 3)[ink]
    own = _ink_marks(colours, palette)
    flat_off = off.reshape(-1)[ink]
    strong = flat_off >= max(16, 6 * palette.noise)
    marks.reshape(-1)[ink] = own | np.where(strong, _STRONG, np.uint16(0))
    around = widened(marks, reach, merge=np.bitwise_or).reshape(-1)[ink]
    largest = widened(off, reach).reshape(-1)[ink]
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    alpha[on_ground] = 0
    edge = (around & _GROUND) != 0
    if not palette.is_exact:
        # What a lossy format leaves on the ground, with nothing near that it could belong to.
        alpha.reshape(-1)[ink[edge & ((around & _STRONG) == 0)]] = 0
        edge &= (around & _STRONG) != 0
        # Between thin strokes no pixel may have the ground's colour.
        weakest = _weakest(around, palette)
        edge |= ((around & _GROUND) == 0) & (own == 0) & (flat_off < _BETWEEN * weakest)
    at = ink[edge]
    solved = _mixtures(colours[edge], own[edge], around[edge], largest[edge], palette)
    alpha.reshape(-1)[at] = np.rint(solved * 255).astype(np.uint8)
    return alpha


def _off_ground(rgb: Pixels, ground: FloatArray) -> npt.NDArray[np.uint8]:
    """`distance` in bytes, plane by plane: h x w."""
    to = np.rint(ground).astype(np.uint8)
    off = np.zeros(rgb.shape[:2], np.uint8)
    for channel in range(3):
        plane = rgb[..., channel]
        np.maximum(off, np.maximum(plane, to[channel]) - np.minimum(plane, to[channel]), out=off)
    return off


def _ink_marks(colours: Pixels, palette: Palette) -> Marks:
    """The bit of the ink that each of `colours` (n x 3) is, 0 for none."""
    marks = np.zeros(len(colours), np.uint16)
    near = max(2, round(1.5 * palette.noise))
    for bit, ink in enumerate(palette.inks):
        marks |= np.where(distance(colours, ink) <= near, np.uint16(1 << bit), np.uint16(0))
    return marks


def _mixtures(
    colours: Pixels, own: Marks, around: Marks, largest: npt.NDArray[np.uint8], palette: Palette
) -> FloatArray:
    """Alpha, [0, 1], of pixels (n x 3) beside the ground. `own` and `around` are the inks that they are and that are
    near, `largest` the greatest distance to the ground around each.
    """
    off = colours.astype(np.float32) - palette.ground
    tolerance = 10 if palette.is_exact else 48
    best = np.full(len(colours), np.inf, np.float32)
    beside_ground = (around & _GROUND) != 0
    amid_inks = ~beside_ground & ((around & ~(_GROUND | _STRONG)) != 0)
    # Where no ink fits, the colour farthest from the ground nearby is the ink's.
    alpha = np.where(beside_ground, np.abs(off).max(axis=-1) / np.maximum(largest, 1), 1).astype(np.float32)
    for bit, ink in enumerate(palette.inks):
        direction = ink - palette.ground
        length = float(np.abs(direction).max())
        along = off @ direction / float(direction @ direction)
        aside = np.abs(off - along[:, None] * direction).max(axis=-1)
        here = _has(around, bit)
        # An ink that is near beats one that is not; among those on one line the one that the stroke reaches.
        short = np.maximum(largest.astype(np.float32) - length, 0)
        cost = np.where(aside <= tolerance, aside, np.inf) + short + np.where(here, 0, 64 + length / 8)
        cost = np.where((along <= 1.15) & (here | ~amid_inks), cost, np.inf)
        better = cost < best
        best[better], alpha[better] = cost[better], along[better]
    alpha[own != 0] = 1
    return alpha.clip(0, 1)


def _weakest(marks: Marks, palette: Palette) -> FloatArray:
    """The least distance to the ground among the inks that are marked, or else among all."""
    lengths = np.abs(palette.inks - palette.ground).max(axis=1)
    least = np.full(marks.shape, np.inf, np.float32)
    for bit, length in enumerate(lengths):
        np.minimum(least, np.where(_has(marks, bit), length, np.inf), out=least)
    return np.where(np.isinf(least), lengths.min(initial=np.inf), least).astype(np.float32)


def _has(marks: Marks, bit: int) -> npt.NDArray[np.bool_]:
    return (marks & np.uint16(1 << bit)) != 0
