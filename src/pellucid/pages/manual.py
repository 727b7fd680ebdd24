"""The manual as pages: the Markdown of `docs/` and its neighbours, rendered with links that work here.

A wheel carries these files in `manual/`; in a checkout they are where they are written. Paths are those of the
repository in both: `README.md`, `docs/states.md`. Only files that were found at the start can be asked for.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path, PurePosixPath

from markdown_it import MarkdownIt
from markdown_it.token import Token

from pellucid.pages.files import MEDIA_TYPES, PageFile
from pellucid.pages.frame import MANUAL, Frame, link

_HOME = "README.md"
_TEXTS = (_HOME, "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE")
"""What belongs to the manual beside `docs/`."""

_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_CONTENTS = re.compile(r"^## Read on$(.*)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)#]+)\)")
_WIDE = '<div class="across" tabindex="0" role="region" aria-label="Table">'
_NO_WORD = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the manual: its address, its source, and what is inside `<main>` once it is rendered."""

    url: str
    text: str
    title: str
    html: str


class Manual:
    """The pages below `root`, which has the layout of the repository."""

    def __init__(self, root: Path) -> None:
        found = [root / name for name in _TEXTS if (root / name).is_file()]
        found += sorted(path for path in (root / "docs").rglob("*") if path.is_file())
        self._paths = {path.relative_to(root).as_posix(): path for path in found}
        self._urls = {name: _url_of(name) for name in self._paths}
        folders = {posixpath.dirname(name) for name in self._paths if name.endswith(".md")} - {"", "docs"}
        self._urls |= {folder: f"{MANUAL}/{folder.removeprefix('docs/')}" for folder in folders}
        self._names = {url: name for name, url in self._urls.items()}
        self._contents = _contents(self._paths[_HOME].read_text(encoding="utf-8")) if _HOME in self._paths else []
        self._markdown = MarkdownIt("commonmark", {"html": False}).enable("table")

    @property
    def urls(self) -> Sequence[str]:
        """All addresses that there are."""
        return tuple(self._names)

    def file(self, url: str) -> PageFile | None:
        """The picture or text at `url` that is no page; None where there is none."""
        path = self._paths.get(self._names.get(url, ""))
        media_type = MEDIA_TYPES.get(path.suffix) if path is not None else None
        return PageFile.of(path.read_bytes(), media_type) if path is not None and media_type is not None else None

    def page(self, url: str) -> Page | None:
        """The page at `url`; None where there is none."""
        name = self._names.get(url)
        if name is None or PurePosixPath(name).suffix not in ("", ".md"):
            return None
        text = self._paths[name].read_text(encoding="utf-8") if name in self._paths else self._index(name)
        if name == "LICENSE":
            return self._framed(url, text, "Licence", f'<h1>Licence</h1>\n<pre tabindex="0">{escape(text)}</pre>')
        tokens = self._markdown.parse(_COMMENT.sub("", text))
        self._adapt(tokens, folder=posixpath.dirname(name) if name in self._paths else name)
        title = next((each.content for each in tokens if each.type == "inline"), name)
        html = self._markdown.renderer.render(tokens, self._markdown.options, {})
        # Nothing but a table of Markdown writes these: HTML in the texts is escaped.
        html = html.replace("<table>", _WIDE + "<table>").replace("</table>", "</table></div>")
        return self._framed(url, text, title, html)

    def _framed(self, url: str, text: str, title: str, article: str) -> Page:
        rows = "".join(
            f"<li>{link(self._urls[name], label, current=self._urls[name] == url)}</li>"
            for label, name in self._contents
            if name in self._urls
        )
        contents = f'<nav class="contents" aria-label="Contents"><ul>{rows}</ul></nav>'
        html = f"<main>{contents}\n<article>{article}</article></main>"
        return Page(url, text, title.replace("`", ""), html)

    def _index(self, folder: str) -> str:
        """A page that lists those of a folder, each by its first line."""
        lines = [f"# {folder.rpartition('/')[2].upper()}", ""]
        for name, path in self._paths.items():
            if posixpath.dirname(name) == folder:
                first = path.read_text(encoding="utf-8").partition("\n")[0] if path.suffix == ".md" else path.name
                lines.append(f"* [{first.lstrip('# ')}]({path.name})")
        return "\n".join(lines) + "\n"

    def _adapt(self, tokens: Sequence[Token], *, folder: str) -> None:
        """Give headings their names, tables their frames, and links the addresses of this server."""
        taken: dict[str, int] = {}
        for at, token in enumerate(tokens):
            if token.type == "heading_open":
                token.attrSet("id", _slug(tokens[at + 1].content, taken))
            elif token.type in ("th_open", "td_open"):
                # `style` on elements is what the pages' policy forbids.
                token.attrs = {"class": "number"} if "right" in str(token.attrs.pop("style", "")) else token.attrs
            elif token.type in ("fence", "code_block"):
                token.attrSet("tabindex", "0")  # may scroll, so the keyboard must reach it
            for child in token.children or ():
                self._relink(child, folder)

    def _relink(self, token: Token, folder: str) -> None:
        attribute = {"link_open": "href", "image": "src"}.get(token.type)
        if attribute is None:
            return
        target, sharp, fragment = str(token.attrs[attribute]).partition("#")
        if "://" in target or not target:
            return
        name = posixpath.normpath(posixpath.join(folder, target))
        token.attrs[attribute] = self._urls.get(name, MANUAL) + sharp + fragment


def find_manual() -> Manual | None:
    """The manual of this installation; None where nobody packaged it."""
    here = Path(__file__).parent
    for root in (here / "manual", here.parents[2]):
        if (root / _HOME).is_file() and (root / "docs" / "states.md").is_file():
            return Manual(root)
    return None


def frame_page(page: Page, frame: Frame) -> PageFile:
    """The page as it is sent."""
    title = page.title if page.url == MANUAL else f"{page.title} - Pellucid"
    return PageFile.html(frame.around(page.html, title=title, name="manual", place=MANUAL))


def _url_of(name: str) -> str:
    if name == _HOME:
        return MANUAL
    return f"{MANUAL}/{name.removeprefix('docs/').removesuffix('.md')}"


def _contents(readme: str) -> list[tuple[str, str]]:
    """Labels and files of the manual, in the order in which the README names them at its end."""
    found = _CONTENTS.search(readme)
    listed = [(label, target.rstrip("/")) for label, target in _LINK.findall(found[1] if found else "")]
    return [("Overview", _HOME), *((label[0].upper() + label[1:], name) for label, name in listed)]


def _slug(heading: str, taken: dict[str, int]) -> str:
    """The name of a heading within its page, as links in the texts have it: that of GitHub."""
    slug = _NO_WORD.sub("", heading.lower()).replace(" ", "-")
    again = taken.get(slug, -1) + 1
    taken[slug] = again
    return f"{slug}-{again}" if again else slug
