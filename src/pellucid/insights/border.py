"""PURE: the box that is left of an image when its border of one colour is cut off.

A row or column belongs to the border while nearly all of its pixels have the border's colour, give or take a tolerance.
The border's colour is the one that most corners show; a side whose outermost line has another one has no border.
Transparent pixels are a colour like any other.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.image.box import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 1024
"""The longer side of the reduction that is looked at; smaller images as they are."""

_LEVELS_PER_STEP = 2.55
"""What `trim=1` tolerates, in levels of 255: the number is a percentage of the full range."""

_LEAST_TOLERANCE = 5
"""JPEG at quality 95 leaves a plain ground uneven by as much."""

_FAINT_SHARE = 0.02
"""The share of a line's pixels that may differ by more than the tolerance, once lone pixels are smoothed away: JPEG
leaves a rim of faint waves around an object."""

_PLAIN_SHARE = 0.002
"""The share of a line's pixels that may differ by more than twice the tolerance: specks of dust do not end a border,
the mast of a ship does."""

_SMALLEST = 0.01
"""Where less than this share of a side would be left, nothing is cut off."""


def content_box(pixels_hwc: NDArray[np.uint8], trim: float) -> Box | None:
    """What is left of uint8 RGB or RGBA (straight alpha) by the parameter's value; None where there is no border, or
    nothing else. What is border on one side only, mostly a plain sky, has to be of one colour almost exactly.
    """
    tolerance = max(_LEAST_TOLERANCE, round(trim * _LEVELS_PER_STEP))
    levels = _levels(pixels_hwc)
    apart = _distances(levels, _border_colour(levels))
    box = _without_border(apart, tolerance)
    if box is not None and _trimmed_sides(box, apart) == 1 and tolerance > _LEAST_TOLERANCE:
        strict = _without_border(apart, _LEAST_TOLERANCE)
        box = strict if strict is not None and _trimmed_sides(strict, apart) == 1 else None
    return box


def scaled_box(box: Box, seen: tuple[int, int], whole: tuple[int, int]) -> Box:
    """A box found in a reduction of size `seen` (width, height), in the image of size `whole`. Rounded inwards, by less
    than a pixel of the reduction: a hair of border is uglier than a hair of image is missed.
    """
    across, down = whole[0] / seen[0], whole[1] / seen[1]
    left, top = math.ceil(box.left * across), math.ceil(box.top * down)
    right, bottom = math.floor((box.left + box.width) * across), math.floor((box.top + box.height) * down)
    return Box(left=left, top=top, width=max(1, right - left), height=max(1, bottom - top))


def _without_border(apart: NDArray[np.uint8], tolerance: int) -> Box | None:
    """The box, by how far each pixel is `apart` from the border's colour."""
    height, width = apart.shape
    faint, plain = _smoothed(apart) > tolerance, apart > min(2 * tolerance, 254)
    left, top, right, bottom = 0, 0, width, height
    # Rows that are border count for columns no more, and the other way round: twice, since each may free the other.
    for _ in range(2):
        rows = _inside(faint[:, left:right], plain[:, left:right])
        if not len(rows):
            return None
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        columns = _inside(faint[top:bottom].T, plain[top:bottom].T)
        if not len(columns):
            return None
        left, right = int(columns[0]), int(columns[-1]) + 1
    if right - left < _SMALLEST * width or bottom - top < _SMALLEST * height:
        return None
    if (left, top, right, bottom) == (0, 0, width, height):
        return None
    return Box(left=left, top=top, width=right - left, height=bottom - top)


def _trimmed_sides(box: Box, apart: NDArray[np.uint8]) -> int:
    height, width = apart.shape
    return (box.left > 0) + (box.top > 0) + (box.left + box.width < width) + (box.top + box.height < height)


def _border_colour(levels_hwc: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The colour of the corner that most others are like. A corner is the median of a small square, so that noise and a
    rounded corner do not count.
    """
    height, width, bands = levels_hwc.shape
    side = max(1, min(height, width) // 100)
    squares = (
        levels_hwc[:side, :side],
        levels_hwc[:side, -side:],
        levels_hwc[-side:, :side],
        levels_hwc[-side:, -side:],
    )
    corners = np.stack([np.median(square.reshape(-1, bands), axis=0) for square in squares])
    apart = np.abs(corners[:, np.newaxis] - corners[np.newaxis]).max(axis=2)
    ranked = np.sort(apart, axis=1)[:, 1:]  # without the distance to itself
    best = min(range(len(corners)), key=lambda corner: tuple(ranked[corner]))
    return np.asarray(np.round(corners[best]), np.uint8)


def _levels(pixels_hwc: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours weighted by alpha, which is one more band: all transparent pixels are alike."""
    if pixels_hwc.shape[2] != 4:
        return pixels_hwc
    alpha = pixels_hwc[..., 3:]
    colours = (pixels_hwc[..., :3].astype(np.uint16) * alpha + 127) // 255
    return np.concatenate([colours.astype(np.uint8), alpha], axis=2)


def _distances(levels_hwc: NDArray[np.uint8], colour: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How far each pixel is from `colour`, in levels, in the band where it is farthest."""
    apart = np.zeros(levels_hwc.shape[:2], np.uint8)
    for band, level in enumerate(colour):
        levels = levels_hwc[..., band]
        np.maximum(apart, np.maximum(levels, level) - np.minimum(levels, level), out=apart)
    return apart


def _inside(faint: NDArray[np.bool_], plain: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The lines, along the first axis, that are no border."""
    length = faint.shape[1]
    return np.flatnonzero((faint.sum(axis=1) > _FAINT_SHARE * length) | (plain.sum(axis=1) > _PLAIN_SHARE * length))


def _smoothed(apart: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The median of three, down and then across; the outermost lines stay as they are."""
    for axis in (0, 1):
        lines = np.moveaxis(apart, axis, 0)
        if len(lines) < 3:
            continue
        before, here, after = lines[:-2], lines[1:-1], lines[2:]
        middle = np.maximum(np.minimum(before, here), np.minimum(np.maximum(before, here), after))
        apart = np.moveaxis(np.concatenate([lines[:1], middle, lines[-1:]]), 0, axis)
    return apart
