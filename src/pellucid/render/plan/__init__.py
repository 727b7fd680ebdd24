"""PURE: a URL's geometry resolved against a real image. All arithmetic on sizes happens here, exactly, once."""

from __future__ import annotations

import math
from fractions import Fraction

from pellucid.errors import SpecError
from pellucid.image.box import Box
from pellucid.insights.values import NO_INSIGHTS, Insights
from pellucid.render.plan.fits import Shape, shape_of
from pellucid.render.plan.gravity import Scenery, anchors
from pellucid.render.plan.plan import Plan
from pellucid.render.plan.region import region_of
from pellucid.render.plan.turn import Turn
from pellucid.spec import MAX_RADIUS, Geometry, Radius

__all__ = ["Plan", "plan"]

# libvips' own bound on a side; only the crop of a very long and thin picture comes near it.
_LARGEST_SIDE = 10_000_000


def plan(
    geometry: Geometry,
    *,
    width: int,
    height: int,
    max_pixels: int,
    max_enlarged_pixels: int | None = None,
    insights: Insights = NO_INSIGHTS,
) -> Plan:
    """Resolve `geometry` for an upright image of `width` x `height` pixels of which `insights` are known.

    Fractions are rounded half up, at the end. Raises `SpecError` when the result has more than `max_pixels`, or more
    than both the image and `max_enlarged_pixels` (None: no bound of its own), and when the rectangle that the URL names
    is empty.
    """
    turn = Turn(geometry.flip, geometry.rotation)
    region, trimmed = region_of(geometry, turn, width=width, height=height, insights=insights)
    turned_width, turned_height = turn.size(region.width, region.height)
    shape = shape_of(geometry, turned_width, turned_height, may_stretch=not turn.is_free)
    _check_pixels(shape, width, height, max_pixels=max_pixels, max_enlarged_pixels=max_enlarged_pixels)
    inner = shape.inner
    scenery = Scenery(
        width=width,
        height=height,
        region=region,
        trimmed=trimmed,
        turn=turn,
        is_cropped=shape.scaled_width > inner.width or shape.scaled_height > inner.height,
        insights=insights,
    )
    across, down = anchors(geometry.gravity, scenery)
    left, top = across.offset(shape.scaled_width, inner.width), down.offset(shape.scaled_height, inner.height)
    seen = Box(
        left=max(0, -left),
        top=max(0, -top),
        width=min(inner.width, shape.scaled_width),
        height=min(inner.height, shape.scaled_height),
    )
    scaled = _scaled_region(region, turn, shape, turned_width)
    crop = scaled if turn.is_free else turn.back(seen, width=scaled.width, height=scaled.height)
    rounded = (crop.width, crop.height) if turn.is_free else (seen.width, seen.height)
    scaled_width = _round(Fraction(width * scaled.width, region.width))
    scaled_height = _round(Fraction(height * scaled.height, region.height))
    _check_sides(scaled_width, scaled_height, shape, width, height)
    region_left = min(_nearest(Fraction(region.left * scaled.width, region.width)), scaled_width - scaled.width)
    region_top = min(_nearest(Fraction(region.top * scaled.height, region.height)), scaled_height - scaled.height)
    return Plan(
        scaled_width=scaled_width,
        scaled_height=scaled_height,
        crop=Box(left=region_left + crop.left, top=region_top + crop.top, width=crop.width, height=crop.height),
        flip=geometry.flip,
        rotation=geometry.rotation,
        rotated_size=(shape.scaled_width, shape.scaled_height) if turn.is_free else None,
        kept=seen if turn.is_free else None,
        radii=_radii(geometry.radius, geometry.dpr, rounded[0], rounded[1]),
        left=inner.left + max(0, left),
        top=inner.top + max(0, top),
        width=shape.width,
        height=shape.height,
    )


def _scaled_region(region: Box, turn: Turn, shape: Shape, turned_width: Fraction) -> Box:
    """The region before it is turned, at the size that it is scaled to; it begins at 0, 0."""
    if turn.is_free:
        scale = shape.scaled_width / turned_width
        return Box(left=0, top=0, width=_round(region.width * scale), height=_round(region.height * scale))
    sizes = shape.scaled_width, shape.scaled_height
    across, down = reversed(sizes) if turn.quarters % 2 else sizes
    return Box(left=0, top=0, width=across, height=down)


def _check_pixels(shape: Shape, width: int, height: int, *, max_pixels: int, max_enlarged_pixels: int | None) -> None:
    pixels = shape.width * shape.height
    size = f"the result would have {shape.width} x {shape.height} = {pixels} pixels"
    if pixels > max_pixels:
        raise SpecError(f"{size}, the limit is {max_pixels} pixels")
    if max_enlarged_pixels is not None and pixels > max(max_enlarged_pixels, width * height):
        raise SpecError(
            f"{size}, more than the picture, which has {width} x {height}; the limit for enlarged pictures is "
            f"{max_enlarged_pixels} pixels"
        )


def _check_sides(scaled_width: int, scaled_height: int, shape: Shape, width: int, height: int) -> None:
    if max(scaled_width, scaled_height) > _LARGEST_SIDE:
        raise SpecError(
            f"a crop to {shape.width} x {shape.height} pixels would enlarge this picture of {width} x {height} "
            f"pixels beyond {_LARGEST_SIDE} pixels a side"
        )


def _radii(radius: Radius | None, dpr: float, width: int, height: int) -> tuple[int, int, int, int] | None:
    """In pixels, made smaller together where two would meet on one side, as in CSS (Backgrounds and Borders 3, section
    5.5). `MAX_RADIUS` is the shorter side, of which two meet in the middle.
    """
    if radius is None:
        return None
    most = float(min(width, height))
    corners = [
        most if corner == MAX_RADIUS else corner * dpr
        for corner in (radius.top_left, radius.bottom_left, radius.bottom_right, radius.top_right)
    ]
    top_left, bottom_left, bottom_right, top_right = corners
    sums = (
        (top_left + top_right, width),
        (bottom_left + bottom_right, width),
        (top_left + bottom_left, height),
        (top_right + bottom_right, height),
    )
    shrink = min(1.0, *(side / total for total, side in sums if total > 0))
    whole = tuple(math.floor(corner * shrink) for corner in corners)
    return (whole[0], whole[1], whole[2], whole[3]) if any(whole) else None


def _round(value: Fraction) -> int:
    """Half up, and never to nothing."""
    return max(1, math.floor(value + Fraction(1, 2)))


def _nearest(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))
