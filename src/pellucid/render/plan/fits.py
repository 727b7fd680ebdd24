"""PURE: how large an image becomes, and the canvas that it lies on. Exact fractions, rounded half up at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from pellucid.image.box import Box
from pellucid.spec import Enlarge, Fit, Geometry, Length

_ONE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Shape:
    """The whole image becomes `scaled_width` x `scaled_height`; it lies in the box `inner` of a canvas of `width` x
    `height`, which cuts off what is over.
    """

    scaled_width: int
    scaled_height: int
    width: int
    height: int
    inner: Box


def shape_of(geometry: Geometry, width: Fraction, height: Fraction, *, may_stretch: bool = True) -> Shape:
    """Resolve the sizes of `geometry` for an image of `width` x `height` pixels, turned and cut already. Unless it
    `may_stretch`, `Fit.COVER` crops: an image that is rotated freely is scaled before, and would be sheared.
    """
    box_width, box_height, is_derived = _box(geometry, width, height)
    fit = _fit_of(geometry, width, height, box_width, box_height)
    never_larger = geometry.enlarge is Enlarge.NEVER
    most = _ONE if never_larger else None
    if fit in (Fit.BOUND, Fit.BOUNDMIN) and box_width is not None and box_height is not None:
        pick = min if fit is Fit.BOUND else max
        return _whole(width, height, _limited(pick(box_width / width, box_height / height), most))
    if never_larger and (_exceeds(box_width, width) or _exceeds(box_height, height)):
        if is_derived and box_width is not None and box_height is not None:
            # Of a ratio: the largest part of the image that has it, as large as it is.
            shrink = min(width / box_width, height / box_height)
            return _cropped(width, height, box_width * shrink, box_height * shrink)
        # Cloudimage: if any target dimension exceeds the origin, the origin comes as it is, uncropped.
        return _whole(width, height, _ONE)
    if fit is Fit.FIT:
        return _padded(geometry, width, height, box_width, box_height)
    if box_width is not None and box_height is not None:
        if fit is Fit.COVER and may_stretch:
            return _exactly(_round(box_width), _round(box_height))
        return _cropped(width, height, box_width, box_height)
    scale = _ONE
    if box_width is not None:
        scale = box_width / width
    elif box_height is not None:
        scale = box_height / height
    # 1.25 px of a picture of 1 x 2 do not exceed it, and would make it 3 high.
    return _whole(width, height, _limited(scale, most))


def _box(geometry: Geometry, width: Fraction, height: Fraction) -> tuple[Fraction | None, Fraction | None, bool]:
    """Width and height that are wanted, None for one that follows from the image; and whether a ratio says so."""
    dpr = Fraction(geometry.dpr)
    box_width = None if geometry.width is None else Fraction(geometry.width) * dpr
    box_height = None if geometry.height is None else Fraction(geometry.height) * dpr
    if geometry.aspect_ratio is None or (box_width is not None and box_height is not None):
        return box_width, box_height, False
    ratio = min(max(width / height, geometry.aspect_ratio.low), geometry.aspect_ratio.high)
    if box_width is not None:
        return box_width, box_width / ratio, True
    if box_height is not None:
        return box_height * ratio, box_height, True
    if geometry.fit in (Fit.CROP, Fit.FACE):
        return min(width, height * ratio), min(height, width / ratio), True
    if geometry.fit in (Fit.FIT, Fit.CROPFIT):
        return max(width, height * ratio), max(height, width / ratio), True
    return None, None, False


def _fit_of(
    geometry: Geometry, width: Fraction, height: Fraction, box_width: Fraction | None, box_height: Fraction | None
) -> Fit:
    if geometry.fit is Fit.CROPFIT:
        return Fit.FIT if _exceeds(box_width, width) or _exceeds(box_height, height) else Fit.CROP
    return Fit.CROP if geometry.fit is Fit.FACE else geometry.fit


def _padded(
    geometry: Geometry, width: Fraction, height: Fraction, box_width: Fraction | None, box_height: Fraction | None
) -> Shape:
    if box_width is None and box_height is None:
        box_width, box_height = width, height
    elif box_width is None and box_height is not None:
        box_width = width * box_height / height
    elif box_height is None and box_width is not None:
        box_height = height * box_width / width
    assert box_width is not None  # noqa: S101  both are set by now
    assert box_height is not None  # noqa: S101
    canvas_width, canvas_height = _round(box_width), _round(box_height)
    inner = _inner(geometry, canvas_width, canvas_height)
    scale = min(inner.width / width, inner.height / height)
    if not geometry.fit_enlarge or geometry.enlarge is Enlarge.NEVER:
        scale = min(scale, _ONE)
    scaled_width = min(inner.width, _round(width * scale))
    scaled_height = min(inner.height, _round(height * scale))
    return Shape(scaled_width, scaled_height, canvas_width, canvas_height, inner)


def _inner(geometry: Geometry, width: int, height: int) -> Box:
    """What of the canvas the margins leave, a pixel at least."""
    margin = geometry.margin
    if margin is None:
        return Box(left=0, top=0, width=width, height=height)
    left, right = (_pixels(side, geometry.dpr, width) for side in (margin.left, margin.right))
    top, bottom = (_pixels(side, geometry.dpr, height) for side in (margin.top, margin.bottom))
    left, top = min(left, width - 1), min(top, height - 1)
    return Box(left=left, top=top, width=max(1, width - left - right), height=max(1, height - top - bottom))


def _pixels(length: Length, dpr: float, side: int) -> int:
    value = Fraction(length.value) * side / 100 if length.percent else Fraction(length.value) * Fraction(dpr)
    return math.floor(value + Fraction(1, 2))


def _exactly(width: int, height: int) -> Shape:
    return Shape(width, height, width, height, Box(left=0, top=0, width=width, height=height))


def _whole(width: Fraction, height: Fraction, scale: Fraction) -> Shape:
    return _exactly(_round(width * scale), _round(height * scale))


def _cropped(width: Fraction, height: Fraction, box_width: Fraction, box_height: Fraction) -> Shape:
    scale = max(box_width / width, box_height / height)
    across, down = _round(box_width), _round(box_height)
    scaled_width, scaled_height = max(across, _round(width * scale)), max(down, _round(height * scale))
    return Shape(scaled_width, scaled_height, across, down, Box(left=0, top=0, width=across, height=down))


def _limited(scale: Fraction, most: Fraction | None) -> Fraction:
    return scale if most is None else min(scale, most)


def _exceeds(wanted: Fraction | None, actual: Fraction) -> bool:
    return wanted is not None and _round(wanted) > _round(actual)


def _round(value: Fraction) -> int:
    """Half up, and never to nothing."""
    return max(1, math.floor(value + Fraction(1, 2)))
