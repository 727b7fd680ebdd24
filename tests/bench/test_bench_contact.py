"""Contact sheets: what stands where, and on how many pages."""

from __future__ import annotations

from comparison.contact import BACKDROPS, PAGE, on, pages, row
from PIL import Image


def test_a_cutout_on_a_colour_is_mixed_by_its_alpha() -> None:
    cutout = Image.new("RGBA", (2, 1), (100, 200, 0, 255))
    cutout.putpixel((1, 0), (100, 200, 0, 51))
    shown = on(BACKDROPS["magenta"], cutout)
    assert shown.getpixel((0, 0)) == (100, 200, 0)
    assert shown.getpixel((1, 0)) == (round(100 * 0.2 + 255 * 0.8), 40, 204)


def test_a_row_has_the_photo_and_both_cutouts_on_each_backdrop() -> None:
    photo = Image.new("RGB", (400, 300), (10, 20, 30))
    ours, theirs = Image.new("RGBA", (400, 300), (0, 0, 200, 255)), Image.new("RGBA", (400, 300), (0, 0, 0, 0))
    drawn = row("a caption", photo, [ours, theirs], BACKDROPS.values())
    assert drawn.width == PAGE[0]
    middle = drawn.height // 2
    side = PAGE[0] // 7
    seen = [drawn.getpixel((side // 2 + at * side, middle)) for at in range(7)]
    white, black, magenta = BACKDROPS.values()
    assert seen == [(10, 20, 30), (0, 0, 200), white, (0, 0, 200), black, (0, 0, 200), magenta]
    assert len(drawn.crop((0, 0, 200, 20)).getcolors()) > 2, "the caption is written"


def test_pages_are_filled_and_none_is_too_tall() -> None:
    rows = [Image.new("RGB", (PAGE[0], 700), (0, 250, 0)) for _ in range(5)]
    made = list(pages("a title", rows))
    assert [page.height for page in made] == [1420, 1420, 720]
    assert all(page.height <= PAGE[1] and page.width == PAGE[0] for page in made)
    assert made[2].getpixel((800, 719)) == (0, 250, 0)


def test_no_rows_make_no_page() -> None:
    assert list(pages("a title", [])) == []
