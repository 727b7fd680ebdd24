from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pytest
import tiff_files as tiff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiff_files import Directory, Tag

from pellucid.errors import ImageError
from pellucid.image import vips
from pellucid.image.decode import decode_full, decode_layers
from pellucid.image.probe import probe

MAX_PIXELS = 4_000_000

THUMBNAIL: dict[int, Tag] = {254: ("I", [1])}
OLD_THUMBNAIL: dict[int, Tag] = {255: ("H", [2])}
PAGE: dict[int, Tag] = {254: ("I", [2])}
MASK: dict[int, Tag] = {254: ("I", [4])}
PICTURE = 200
"""The grey of what must be shown; everything else is darker."""


def page(
    width: int,
    height: int,
    level: int = 90,
    *,
    tags: dict[int, Tag] | None = None,
    subs: Sequence[Directory] = (),
    tile: int | None = None,
) -> Directory:
    grey = np.full((height, width), level, np.uint8)
    return tiff.directory(grey, tiff.BLACK_IS_ZERO, tags=tags, subs=subs, tile=tile)


def without_pixels(width: int, height: int, kind: str) -> Directory:
    made = page(width, height)
    match kind:
        case "no size":
            made.tags[256] = ("I", [0])
        case "beyond the file":
            made.tags[273] = ("I", [10**8])
        case "no strips":
            return Directory(tags={256: ("I", [width]), 257: ("I", [height])}, blocks=[])
        case _:
            raise ValueError(kind)
    return made


def picture(tags: dict[int, Tag] | None = None, subs: Sequence[Directory] = ()) -> Directory:
    return page(64, 48, PICTURE, tags=tags, subs=subs)


LAYOUTS: dict[str, list[Directory]] = {
    "one page": [picture()],
    "thumbnail first": [page(16, 12, tags=THUMBNAIL), picture()],
    "thumbnail first, by the old tag": [page(16, 12, tags=OLD_THUMBNAIL), picture({255: ("H", [1])})],
    "thumbnail last": [picture(), page(16, 12, tags=THUMBNAIL)],
    "two thumbnails first": [page(8, 6, tags=THUMBNAIL), page(16, 12, tags=THUMBNAIL), picture()],
    "a page's thumbnail first": [page(16, 12, tags={254: ("I", [3])}), picture(PAGE)],
    "mask first": [page(64, 48, tags=MASK), picture()],
    "mask first, told by its colours": [page(64, 48, tags={262: ("H", [4])}), picture()],
    "thumbnail with the picture below": [page(16, 12, tags=THUMBNAIL, subs=[picture()])],
    "thumbnail with a preview and the picture below": [
        page(16, 12, tags=THUMBNAIL, subs=[page(32, 24, tags=THUMBNAIL), picture()])
    ],
    "each page below its thumbnail": [
        page(16, 12, tags=THUMBNAIL, subs=[picture()]),
        page(8, 8, tags=THUMBNAIL, subs=[page(80, 80)]),
    ],
    "thumbnail below the picture": [picture(subs=[page(32, 24, tags=THUMBNAIL)])],
    "levels below the picture, unmarked": [picture(subs=[page(32, 24), page(16, 12)])],
    "pyramid that falls": [picture(), page(32, 24, tags=THUMBNAIL), page(16, 12, tags=THUMBNAIL)],
    "pyramid that rises": [page(16, 12, tags=THUMBNAIL), page(32, 24, tags=THUMBNAIL), picture()],
    "unmarked pyramid that falls": [picture(), page(32, 24), page(16, 12)],
    "unmarked pyramid that rises": [page(16, 12, tile=16), page(32, 24, tile=16), picture()],
    "unmarked pyramid of odd sizes": [page(5, 4), page(9, 7), page(17, 13), page(34, 25, PICTURE)],
    "document whose first page is the smallest": [picture(), page(200, 100), page(100, 200)],
    "document of marked pages": [picture(PAGE), page(200, 100, tags=PAGE)],
    "document whose second page is twice as fine": [picture(), page(128, 96)],
    "stack of planes": [picture(), *(page(64, 48) for _ in range(40))],
    "only a thumbnail": [page(64, 48, PICTURE, tags=THUMBNAIL)],
    "only thumbnails": [page(16, 12, tags=THUMBNAIL), page(64, 48, PICTURE, tags=THUMBNAIL)],
    "first page without a size": [without_pixels(16, 12, "no size"), picture()],
    "first page outside the file": [without_pixels(16, 12, "beyond the file"), picture()],
    "first page without strips": [without_pixels(16, 12, "no strips"), picture()],
    "nothing but what is below": [Directory(tags={}, blocks=[], subs=[picture()])],
}


@pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big-endian"])
@pytest.mark.parametrize("chain", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_the_page_that_is_the_picture_is_shown(chain: list[Directory], order: str, big: bool) -> None:
    data = tiff.write(*chain, order=order, big=big)
    facts = probe(data, max_pixels=MAX_PIXELS)
    pixels = vips.to_array(decode_full(data, facts))
    shown = next(each for each in _all(chain) if each.blocks and each.blocks[0][:1] == bytes([PICTURE]))
    assert (facts.width, facts.height) == (shown.tags[256][1][0], shown.tags[257][1][0])
    assert (pixels == PICTURE).all()
    # What the model sees is the same picture.
    assert (decode_layers(data, facts, width=8, height=8)[0] == PICTURE).all()


def _all(chain: Sequence[Directory]) -> list[Directory]:
    return [found for each in chain for found in (each, *_all(each.subs))]


def test_sizes_and_turns_are_those_of_the_page_that_is_shown() -> None:
    lying = tiff.directory(np.full((48, 64), PICTURE, np.uint8), tiff.BLACK_IS_ZERO, tags={274: ("H", [6])})
    data = tiff.write(page(16, 12, tags=THUMBNAIL | {274: ("H", [1])}), lying)
    facts = probe(data, max_pixels=MAX_PIXELS)
    assert (facts.width, facts.height) == (48, 64)


@pytest.mark.parametrize("kind", ["no size", "beyond the file", "no strips"])
def test_a_file_without_any_pixels_is_refused(kind: str) -> None:
    with pytest.raises(ImageError, match="holds no picture"):
        probe(tiff.write(without_pixels(16, 12, kind)), max_pixels=MAX_PIXELS)


def _linked(*links: int) -> bytes:
    """Pages 0, 1, ... without pixels, each of which names the page of that number as its next."""
    empty = struct.pack("<H", 1) + struct.pack("<HHII", 256, 4, 1, 7)
    size = len(empty) + 4
    body = b"".join(empty + struct.pack("<I", 8 + size * link) for link in links)
    return b"II*\0" + struct.pack("<I", 8) + body


@pytest.mark.parametrize(
    "data",
    [
        b"II*\0",
        b"MM\0*\0\0\0\x08",
        b"II*\0\xff\xff\xff\xff",
        b"II+\0\x08\0\0\0" + b"\xff" * 8,
        b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + struct.pack("<Q", 2**63),
        b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + b"\0" * 100,
        _linked(0),
        _linked(1, 0),
        _linked(1, 2, 3, 1),
        _linked(*range(1, 5000), 0),
        tiff.write(Directory(tags={330: ("I", [8] * 60)}, blocks=[])),
        tiff.write(Directory(tags={330: ("I", [0xFFFFFFF0, 0, 4])}, blocks=[])),
        tiff.write(Directory(tags={each: ("Q", [2**64 - 1]) for each in (256, 257, 273, 330)}, blocks=[]), big=True),
    ],
    ids=range(13),
)
def test_directories_that_lead_nowhere_come_to_an_end(data: bytes) -> None:
    with pytest.raises(ImageError):
        probe(data, max_pixels=MAX_PIXELS)


def test_a_loop_after_the_picture_does_not_hide_it() -> None:
    data = bytearray(tiff.write(page(16, 12, tags=THUMBNAIL), picture()))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    (second,) = struct.unpack_from("<I", data, first + 2 + 12 * entries)
    (entries,) = struct.unpack_from("<H", data, second)
    struct.pack_into("<I", data, second + 2 + 12 * entries, first)
    facts = probe(bytes(data), max_pixels=MAX_PIXELS)
    assert (facts.width, facts.height) == (64, 48)


FILES = [
    tiff.write(page(16, 12, tags=THUMBNAIL, subs=[picture()])),
    tiff.write(page(16, 12, tags=THUMBNAIL), picture(), order=">", big=True),
    tiff.write(tiff.directory(np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30), tiff.WHITE_IS_ZERO)),
    tiff.write(tiff.ycbcr(np.full((20, 30, 3), 100, np.uint8), 2, 2)),
]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    file=st.sampled_from(FILES),
    changes=st.lists(st.tuples(st.integers(4, 5000), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 5000),
)
def test_bent_files_are_shown_or_refused(file: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(file)
    for at, value in changes:
        data[4 + at % (len(data) - 4)] = value
    bent = bytes(data[: len(data) - cut if cut < len(data) // 2 else len(data)])
    try:
        facts = probe(bent, max_pixels=MAX_PIXELS)
        decoded = decode_full(bent, facts)
    except ImageError:
        return
    assert (decoded.width, decoded.height) == (facts.width, facts.height)
