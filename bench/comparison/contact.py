"""Contact sheets: rows of pictures on pages. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from PIL import Image, ImageDraw, ImageFont

PAGE = (1600, 2000)
"""Pixels: what a screen or a reader of images shows without reducing it."""

_MARGIN = 10
_GAP = 4
_LINE = 20
_FONT = ImageFont.load_default(14)

Colour = tuple[int, int, int]

BACKDROPS: dict[str, Colour] = {"white": (255, 255, 255), "black": (0, 0, 0), "magenta": (255, 0, 255)}
"""White and black show what is left of a background; nothing that is photographed is as loud as magenta."""


def row(caption: str, photo: Image.Image, cutouts: Sequence[Image.Image], backdrops: Iterable[Colour]) -> Image.Image:
    """A caption over the photo and, for each backdrop, each of `cutouts` (RGBA) on it; as wide as a page."""
    cells = [photo.convert("RGB"), *(on(colour, cutout) for colour in backdrops for cutout in cutouts)]
    side = (PAGE[0] - 2 * _MARGIN - (len(cells) - 1) * _GAP) // len(cells)
    for cell in cells:
        cell.thumbnail((side, side), Image.Resampling.LANCZOS)
    drawn = Image.new("RGB", (PAGE[0], _LINE + max(cell.height for cell in cells) + _GAP), "#d0d0d0")
    ImageDraw.Draw(drawn).text((_MARGIN, 1), caption, "#000000", _FONT)
    for at, cell in enumerate(cells):
        drawn.paste(cell, (_MARGIN + at * (side + _GAP), _LINE))
    return drawn


def on(colour: Colour, cutout: Image.Image) -> Image.Image:
    """A cutout (RGBA, straight alpha) on a colour: RGB."""
    ground = Image.new("RGBA", cutout.size, (*colour, 255))
    return Image.alpha_composite(ground, cutout).convert("RGB")


def pages(title: str, rows: Iterable[Image.Image]) -> Iterator[Image.Image]:
    """The rows under each other, as many on a page as fit; the title on each."""
    page, top = _new_page(title), _LINE
    for drawn in rows:
        if top > _LINE and top + drawn.height > PAGE[1]:
            yield page.crop((0, 0, PAGE[0], top))
            page, top = _new_page(title), _LINE
        page.paste(drawn, (0, top))
        top += drawn.height
    if top > _LINE:
        yield page.crop((0, 0, PAGE[0], top))


def _new_page(title: str) -> Image.Image:
    page = Image.new("RGB", PAGE, "#d0d0d0")
    ImageDraw.Draw(page).text((_MARGIN, 1), title, "#a00000", _FONT)
    return page
