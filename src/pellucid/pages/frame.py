"""Pure: what all pages share. The mark, the way to the other pages, the foot with version, licence and source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from string import Template

from pellucid.pages.files import read_text

DEMO, USAGE, MANUAL = "/", "/-/usage", "/-/docs"
"""Where the pages are."""

_PLACES = {DEMO: "Try it", USAGE: "Usage", MANUAL: "Docs"}
_SOURCE_LABELS = frozenset({"source", "source code", "repository", "code", "github"})
"""Labels of a project's URL that lead to its source, by PyPA's list of well-known labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The pages that this server has, and its version. `source` is where the source is published, '' where that is not
    known.
    """

    version: str
    pages: frozenset[str] = frozenset({DEMO, USAGE, MANUAL})
    source: str = ""
    _template: Template = field(default_factory=lambda: Template(read_text("frame.html")))

    def around(self, main: str, *, title: str, name: str, place: str, head: str = "") -> str:
        """The page whose `<main>` is `main`. `name` is its class for the stylesheet; `place`, one of `DEMO`, `USAGE`
        and `MANUAL`, is marked as where the reader is; `head` is what else stands in its head.
        """
        here = [each for each in _PLACES if each in self.pages]
        return self._template.substitute(
            title=escape(title),
            head=head,
            name=name,
            home=here[0],
            places="".join(link(each, _PLACES[each], current=each == place) for each in here),
            main=main,
            version=escape(self.version),
            about=self._about(),
        )

    def _about(self) -> str:
        licence, source = "Apache-2.0", ""
        if MANUAL in self.pages:
            licence = link(f"{MANUAL}/LICENSE", licence)
            source = link(f"{MANUAL}/source", "Source")
        if self.source:
            source = link(self.source, "Source")
        return "".join(f" · {each}" for each in (licence, source) if each)


def source_of(project_urls: Iterable[str]) -> str:
    """Where the source is published, by the `Project-URL` fields of the package's metadata (`label, url`); '' if none
    says so.
    """
    for each in project_urls:
        label, _, url = each.partition(",")
        if label.strip().lower() in _SOURCE_LABELS and url.strip().startswith("https://"):
            return url.strip()
    return ""


def link(url: str, text: str, *, current: bool = False) -> str:
    """A link; `current` if it leads to where the reader is."""
    here = ' aria-current="page"' if current else ""
    return f'<a href="{escape(url)}"{here}>{escape(text)}</a>'
