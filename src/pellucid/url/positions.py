"""PURE: readers and writers of positions, shapes and margins: parameters of more than one number.

Numbers are joined by commas. Like all readers, these raise ValueError for text outside the grammar.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

from pellucid.spec import (
    MAX_RADIUS,
    AspectRatio,
    Flip,
    FocalPoint,
    FocalUnit,
    Gravity,
    Length,
    Margin,
    Point,
    Radius,
)
from pellucid.url.codecs import format_number, read_number

_WORDS = {gravity.value: gravity for gravity in Gravity} | {"centre": Gravity.CENTER}
_FLIPS = {
    **dict.fromkeys(("h", "x"), Flip.HORIZONTAL),
    **dict.fromkeys(("v", "y"), Flip.VERTICAL),
    **dict.fromkeys(("hv", "vh", "xy", "yx"), Flip.BOTH),
}
_FOCAL = re.compile(r"([0-9.]+)([psc]?),([0-9.]+)([psc]?)")
_RATIO = re.compile(r"([0-9]{1,8}(?:\.[0-9]{1,12})?):([0-9]{1,8}(?:\.[0-9]{1,12})?)")
_FRACTION, _MOST = "c", 100.0

_DENOMINATOR = 10_000
"""Of a ratio: 1.7778 and 1.777777778 are both 16:9 to a ten-thousandth of a pixel in a thousand."""


def read_gravity(text: str) -> Gravity | FocalPoint:
    """A word, or a focal point: `X,Y` in pixels of the origin; `Xp,Yp` in percent of it; `Xs,Ys` in percent of the
    resized image; `Xc,Yc` as fractions of the origin, above 1 taken as 1. Both numbers have one unit.
    """
    if text in _WORDS:
        return _WORDS[text]
    match = _FOCAL.fullmatch(text)
    if match is None or match[2] != match[4]:
        raise ValueError("neither a gravity's word nor a focal point")
    x, y = read_number(match[1]), read_number(match[3])
    if match[2] == _FRACTION:
        return FocalPoint(min(100 * x, _MOST), min(100 * y, _MOST), FocalUnit.PERCENT)
    return FocalPoint(x, y, FocalUnit(match[2]))


def write_gravity(gravity: Gravity | FocalPoint) -> str | None:
    """The word or the point; the centre is the default."""
    if isinstance(gravity, FocalPoint):
        unit = gravity.unit.value
        return f"{format_number(gravity.x)}{unit},{format_number(gravity.y)}{unit}"
    return None if gravity is Gravity.CENTER else gravity.value


def read_point(text: str) -> Point:
    """`X,Y` in pixels of the origin."""
    x, comma, y = text.partition(",")
    if not comma:
        raise ValueError("not a point")
    return Point(read_number(x), read_number(y))


def write_point(point: Point | None) -> str | None:
    """The point; None is the default."""
    return None if point is None else f"{format_number(point.x)},{format_number(point.y)}"


def read_aspect_ratio(text: str) -> AspectRatio:
    """`1.778` or `16:9`; two of them with a comma are a range, in either order."""
    ratios = sorted(_read_ratio(part) for part in text.split(",", maxsplit=2))
    if len(ratios) > 2:
        raise ValueError("a range has two ends")
    return AspectRatio(ratios[0], ratios[-1])


def write_aspect_ratio(ratio: AspectRatio | None) -> str | None:
    """Whole numbers: `16:9`, `4:3,16:9`; None is the default."""
    if ratio is None:
        return None
    ends = (ratio.low,) if ratio.low == ratio.high else (ratio.low, ratio.high)
    return ",".join(f"{end.numerator}:{end.denominator}" for end in ends)


def _read_ratio(text: str) -> Fraction:
    match = _RATIO.fullmatch(text)
    if match is None:
        return Fraction(Decimal(repr(read_number(text)))).limit_denominator(_DENOMINATOR)
    across, down = Fraction(match[1]), Fraction(match[2])
    if not down:
        raise ValueError("a ratio to nothing")
    return (across / down).limit_denominator(_DENOMINATOR)


def read_margin(text: str) -> Margin:
    """One to four lengths, as in CSS: all sides; above and beside; above, beside and below; top, right, bottom, left.
    `10` are pixels of the output, `5p` percent of its side.
    """
    lengths = [_read_length(part) for part in text.split(",", maxsplit=4)]
    match lengths:
        case [every]:
            return Margin(every, every, every, every)
        case [above, beside]:
            return Margin(above, beside, above, beside)
        case [top, beside, bottom]:
            return Margin(top, beside, bottom, beside)
        case [top, right, bottom, left]:
            return Margin(top, right, bottom, left)
        case _:
            raise ValueError("a margin has four sides")


def write_margin(margin: Margin | None) -> str | None:
    """One length where all are equal, else four; none at all is the default."""
    if margin is None:
        return None
    sides = [_write_length(side) for side in (margin.top, margin.right, margin.bottom, margin.left)]
    return sides[0] if len(set(sides)) == 1 else ",".join(sides)


def _read_length(text: str) -> Length:
    percent = text.endswith("p")
    return Length(read_number(text.removesuffix("p")), percent)


def _write_length(length: Length) -> str:
    return f"{format_number(length.value)}{'p' if length.percent else ''}"


def read_radius(text: str) -> Radius | None:
    """One radius for all corners, or four: top left, bottom left, bottom right, top right. `max` is as round as the
    sides allow. None for no rounding.
    """
    radii = [MAX_RADIUS if part == "max" else read_number(part) for part in text.split(",", maxsplit=4)]
    if len(radii) == 1:
        radii *= 4
    if len(radii) != 4:
        raise ValueError("one radius or four")
    return Radius(*radii) if any(radii) else None


def write_radius(radius: Radius | None) -> str | None:
    """One radius where all are equal, else four; None is the default."""
    if radius is None:
        return None
    corners = (radius.top_left, radius.bottom_left, radius.bottom_right, radius.top_right)
    radii = ["max" if corner == MAX_RADIUS else format_number(corner) for corner in corners]
    return radii[0] if len(set(radii)) == 1 else ",".join(radii)


def read_flip(text: str) -> Flip:
    """`h`, `v` or both; `x` and `y` are what the image editor sends."""
    if text not in _FLIPS:
        raise ValueError("not a way to mirror")
    return _FLIPS[text]
