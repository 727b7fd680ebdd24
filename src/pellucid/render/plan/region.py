"""PURE: the part of the origin that is resized: a rectangle that the URL names, without its border."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pellucid.errors import SpecError
from pellucid.image.box import Box
from pellucid.insights.values import Area, Insights
from pellucid.render.plan.turn import Turn
from pellucid.spec import Fit, Geometry

_PROMINENT = 3.0
"""The largest face is the one that is meant where it has so many times the area of the next. In photographs of one
person before passers-by it had 3.1 to 41 times, in photographs of groups 1.0 to 1.7, once 2.4."""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The sides that a border was cut from."""

    left: bool
    top: bool
    right: bool
    bottom: bool

    def __bool__(self) -> bool:
        return self.left or self.top or self.right or self.bottom


def rectangle(geometry: Geometry, width: int, height: int) -> Box:
    """The rectangle between `top_left` and `bottom_right`, as far as the image reaches. Raises SpecError where nothing
    of the image is in it.
    """
    corner, opposite = geometry.top_left, geometry.bottom_right
    left, top = (0, 0) if corner is None else (_whole(corner.x), _whole(corner.y))
    right, bottom = (width, height) if opposite is None else (_whole(opposite.x), _whole(opposite.y))
    box = _between(left, top, min(right, width), min(bottom, height))
    if box is None:
        raise SpecError(
            f"nothing lies between tl_px={left},{top} and br_px={right},{bottom} in a picture of {width} x {height} "
            "pixels"
        )
    return box


def without_border(named: Box, content: Box | None) -> tuple[Box, Trimmed]:
    """What of `named` is inside the border, and the sides that it lost."""
    inner = named if content is None else _common(named, content) or named
    return inner, Trimmed(
        left=inner.left > named.left,
        top=inner.top > named.top,
        right=inner.left + inner.width < named.left + named.width,
        bottom=inner.top + inner.height < named.top + named.height,
    )


def the_face(insights: Insights) -> Area | None:
    """The one face that is meant: the only one, or one much larger than all others."""
    if not insights.faces:
        return None
    largest, *others = insights.faces
    return largest if all(largest.size >= _PROMINENT * other.size for other in others) else None


def around_face(geometry: Geometry, region: Box, turn: Turn, *, face: Area, width: int, height: int) -> Box:
    """The part of `region` that `Fit.FACE` shows: the face with its margin, made as wide or as high as the box of
    `geometry` wants it, moved where it would leave the region and smaller where it would be larger than that.
    """
    share = geometry.face_margin / 100
    across, down = (face.right - face.left) * width, (face.bottom - face.top) * height
    wanted_width, wanted_height = across * (1 + 2 * share), down * (1 + 2 * share)
    if geometry.width is not None and geometry.height is not None:
        ratio = geometry.width / geometry.height
        if not turn.is_free and turn.quarters % 2:
            ratio = 1 / ratio
        wanted_width = max(wanted_width, wanted_height * ratio)
        wanted_height = wanted_width / ratio
    shrink = min(1.0, region.width / wanted_width, region.height / wanted_height)
    box_width = min(region.width, max(1, _whole(wanted_width * shrink)))
    box_height = min(region.height, max(1, _whole(wanted_height * shrink)))
    x, y = face.centre
    left = min(max(_whole(x * width - box_width / 2), region.left), region.left + region.width - box_width)
    top = min(max(_whole(y * height - box_height / 2), region.top), region.top + region.height - box_height)
    return Box(left=left, top=top, width=box_width, height=box_height)


def region_of(geometry: Geometry, turn: Turn, *, width: int, height: int, insights: Insights) -> tuple[Box, Trimmed]:
    """The part of an image of `width` x `height` that is resized, and the sides that a border was cut from."""
    region, trimmed = without_border(rectangle(geometry, width, height), insights.content if geometry.trim else None)
    face = the_face(insights) if geometry.fit is Fit.FACE else None
    if face is not None:
        region = around_face(geometry, region, turn, face=face, width=width, height=height)
    return region, trimmed


def _common(one: Box, other: Box) -> Box | None:
    return _between(
        max(one.left, other.left),
        max(one.top, other.top),
        min(one.left + one.width, other.left + other.width),
        min(one.top + one.height, other.top + other.height),
    )


def _between(left: int, top: int, right: int, bottom: int) -> Box | None:
    if left >= right or top >= bottom:
        return None
    return Box(left=left, top=top, width=right - left, height=bottom - top)


def _whole(value: float) -> int:
    return math.floor(value + 0.5)
