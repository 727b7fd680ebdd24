"""Pure: lengths in an SVG file as pixels of 96 to the inch, which CSS has; libvips has librsvg count 72.

In attributes that are lengths, and in the CSS properties of text and strokes, wherever they stand in the file.
"""

from __future__ import annotations

import re

PIXELS = {"px": 1.0, "pt": 96 / 72, "pc": 16.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4, "q": 96 / 101.6}
"""CSS pixels of the absolute units (CSS Values 4, section 6.2)."""

_MOST_LENGTHS = 20_000
"""0.1 s."""

_LENGTH = re.compile(
    rb"""(?<![\w.#])([+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?)(pt|pc|in|cm|mm|q)(?=[\s;"'}!])""", re.IGNORECASE
)
_BEFORE = re.compile(
    rb"""(?:
        \s(?:x|y|x1|y1|x2|y2|cx|cy|fx|fy|fr|dx|dy|r|rx|ry|width|height|font-size|stroke-width|stroke-dashoffset
          |letter-spacing|word-spacing|textLength|startOffset|markerWidth|markerHeight|refX|refY)\s*+=\s*+["']
      | [\s;"'{](?:font-size|stroke-width|stroke-dashoffset|letter-spacing|word-spacing)\s*+:
    )\s*+\Z""",
    re.IGNORECASE | re.VERBOSE,
)
_LOOK_BACK = 48


def with_pixels(text: bytes) -> bytes:
    """`text`, an SVG file in an encoding whose ASCII is ASCII, with lengths in pixels for those in inches and the
    like.
    """
    return _LENGTH.sub(_in_pixels, text, count=_MOST_LENGTHS)


def _in_pixels(found: re.Match[bytes]) -> bytes:
    before = found.string[max(0, found.start() - _LOOK_BACK) : found.start()]
    if not _BEFORE.search(before):
        return found[0]
    return f"{float(found[1]) * PIXELS[found[2].decode().lower()]:.9g}px".encode()
