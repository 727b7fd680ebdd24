"""Pure: the root element of an SVG file, and the size that browsers give the picture in an `<img>`.

As measured in Chromium (`naturalWidth`, `naturalHeight`): attributes count and CSS does not; one that is missing, a
percentage or unreadable is none; a side that is not given follows from the other and the proportions of `viewBox`, both
from fitting these into 300 x 150. There a size of 0 is a picture without pixels; here it counts as missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from pellucid.errors import ImageError
from pellucid.image.svg.document import find_root
from pellucid.image.svg.units import PIXELS

_TAG_NAME = re.compile(rb"<[\w:.-]+")
_ATTRIBUTE = re.compile(rb"""\s*+([^\s=/>"'<]++)\s*+=\s*+(?:"([^"<]*+)"|'([^'<]*+)')""")
_TAG_END = re.compile(rb"\s*+/?>")
_MOST_ATTRIBUTES = 500

_DEFAULT_WIDTH, _DEFAULT_HEIGHT = 300.0, 150.0
_LARGEST_SIDE = 10_000.0
"""A drawing has no pixels of its own; as large a square is as many as a picture may have by default."""

_FONT_SIZE = 16.0
_PIXELS = PIXELS | {
    "": 1.0,
    "em": _FONT_SIZE,
    "rem": _FONT_SIZE,
    "ex": _FONT_SIZE / 2,
    "ch": _FONT_SIZE / 2,
}
_NUMBER = r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?"
_SEPARATOR = r"(?:\s++,?\s*+|,\s*+)"
_LENGTH = re.compile(rf"\s*+({_NUMBER})([a-zA-Z]*+)\s*+")
_VIEW_BOX = re.compile(rf"\s*+({_NUMBER}){_SEPARATOR}({_NUMBER}){_SEPARATOR}({_NUMBER}){_SEPARATOR}({_NUMBER})\s*+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """In CSS pixels. `scale` = how much smaller or larger than the file says, to stay within what can be drawn."""

    width: float
    height: float
    scale: float = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """The start tag of the root element: `text[start:end]`, where its attributes begin, and their values by name with
    the span of each, name included.
    """

    start: int
    after_name: int
    end: int
    attributes: Mapping[str, tuple[str, int, int]]

    def value(self, name: str) -> str:
        """Empty where it is missing."""
        return self.attributes[name][0] if name in self.attributes else ""


def read_root(text: bytes) -> Root:
    """Raises ImageError where the root is no `svg`, or its start tag is broken."""
    start = find_root(text)
    name = _TAG_NAME.match(text, start) if start is not None else None
    if start is None or name is None:
        raise ImageError("the SVG file's root element cannot be read")
    at = name.end()
    attributes: dict[str, tuple[str, int, int]] = {}
    for _ in range(_MOST_ATTRIBUTES):
        found = _ATTRIBUTE.match(text, at)
        if found is None:
            break
        value = found[2] if found[2] is not None else found[3]
        attributes[found[1].decode("latin-1")] = (value.decode("latin-1"), found.start(1), found.end())
        at = found.end()
    end = _TAG_END.match(text, at)
    if end is None:
        raise ImageError("the SVG file's root element cannot be read")
    return Root(start=start, after_name=name.end(), end=end.end(), attributes=attributes)


def natural_size(root: Root) -> Size:
    """As browsers have it, at least 1 px and at most `_LARGEST_SIDE` a side, in proportion as far as that goes."""
    font_size = _length(root.value("font-size"), _FONT_SIZE) or _FONT_SIZE
    width, height = _length(root.value("width"), font_size), _length(root.value("height"), font_size)
    box = view_box(root)
    stretched = root.value("preserveAspectRatio").split()[:1] == ["none"]
    ratio = box[2] / box[3] if box and not stretched else None
    if width is None and height is None and ratio is not None:
        width = min(_DEFAULT_WIDTH, _DEFAULT_HEIGHT * ratio)
    if width is None:
        width = height * ratio if height is not None and ratio is not None else _DEFAULT_WIDTH
    if height is None:
        height = width / ratio if ratio is not None else _DEFAULT_HEIGHT
    scale = min(1.0, _LARGEST_SIDE / max(width, height))
    return Size(width=max(1.0, width * scale), height=max(1.0, height * scale), scale=scale)


def view_box(root: Root) -> tuple[float, float, float, float] | None:
    """Left, top, width and height; None where there is none, or one of no size."""
    found = _VIEW_BOX.fullmatch(root.value("viewBox"))
    if found is None:
        return None
    left, top, width, height = (float(each) for each in found.groups())
    if not (width > 0 and height > 0 and all(isfinite(each) for each in (left, top, width, height))):
        return None
    return left, top, width, height


def _length(text: str, font_size: float) -> float | None:
    """In CSS pixels; None for what is no length above 0."""
    found = _LENGTH.fullmatch(text)
    if found is None:
        return None
    unit = found[2].lower()
    factor = _PIXELS.get(unit)
    if factor is None:
        return None
    if unit in ("em", "ex", "ch"):
        factor *= font_size / _FONT_SIZE
    length = float(found[1]) * factor
    return length if length > 0 and isfinite(length) else None
