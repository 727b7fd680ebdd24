"""The elements of an SVG file, each with where its start tag stands, by way of expat.

No document type is loaded and no entity from outside; expat itself bounds what entities multiply to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.parsers import expat

from pellucid.image.svg.css import holds

_MOST_ELEMENTS = 20_000
_MOST_CSS = 1 << 16
"""Characters of all style sheets: tinycss2 reads 160 kB a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """`parent` is the number of another element, -1 for the root. `offset` is where its start tag begins, in bytes."""

    parent: int
    tag: str
    attributes: Mapping[str, str]
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """All elements in the order of the file, and the text of its style sheets."""

    all: list[Element]
    css: str


class _TooMuchError(Exception):
    pass


def read_elements(text: bytes) -> Elements | None:
    """None for a file that is broken, or has more elements or CSS than is looked at."""
    reader = _Reader()
    try:
        reader.parser.Parse(text, True)
    except (expat.ExpatError, _TooMuchError, LookupError, ValueError):
        return None
    return Elements(all=reader.elements, css="".join(reader.css))


class _Reader:
    def __init__(self) -> None:
        self.elements: list[Element] = []
        self.css: list[str] = []
        self._open: list[int] = [-1]
        self._css_length = 0
        self._in_style = False
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self.elements) >= _MOST_ELEMENTS:
            raise _TooMuchError
        tag = name.rpartition(":")[2]
        made = Element(parent=self._open[-1], tag=tag, attributes=attributes, offset=self.parser.CurrentByteIndex)
        self._open.append(len(self.elements))
        self.elements.append(made)
        self._in_style = (
            tag == "style"
            and attributes.get("type", "text/css").strip() in ("", "text/css")
            and holds(attributes.get("media", ""))
        )

    def _end(self, _: str) -> None:
        self._open.pop()
        if self._in_style:
            self.css.append("\n")
        self._in_style = False

    def _text(self, text: str) -> None:
        if self._in_style:
            self._css_length += len(text)
            if self._css_length > _MOST_CSS:
                raise _TooMuchError
            self.css.append(text)
