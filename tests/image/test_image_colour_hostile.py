"""What lies about colours, goes round in circles or never ends is left aside, in little time."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import colour_samples as samples
from pellucid.errors import ImageError
from pellucid.image import vips
from pellucid.image.colour import bmp, icc, isobmff, jp2, png
from pellucid.image.colour.boxes import boxes
from pellucid.image.colour.space import SRGB, ColourSpace, of_cicp
from pellucid.image.colour.transform import transform_for
from pellucid.image.decode import decode_full
from pellucid.image.probe import probe

CARD = np.array(samples.COLOURS)


def shown(data: bytes) -> np.ndarray:
    return samples.middles(vips.to_array(decode_full(data, probe(data, max_pixels=100_000))))[:, :3]


def by_numbers(*values: int) -> samples.Chunk:
    return b"cHRM", struct.pack(">8I", *values)


_FULL = 2**31 - 1


@pytest.mark.parametrize(
    "chunks",
    [
        (samples.gama(0),),
        ((b"gAMA", b""),),
        ((b"gAMA", b"\0" * 5),),
        (samples.gama(1), by_numbers(*[0] * 8)),
        (samples.gama(1), by_numbers(*[_FULL] * 8)),
        (samples.gama(1), by_numbers(31270, 0, 64000, 33000, 30000, 60000, 15000, 6000)),  # a white without light
        (samples.gama(1), by_numbers(31270, 32900, 64000, 33000, 64000, 33000, 64000, 33000)),  # one colour
        (samples.gama(1), by_numbers(31270, 32900, 10000, 10000, 20000, 20000, 30000, 30000)),  # a line
        (samples.gama(1), by_numbers(99000, 100, 64000, 33000, 30000, 60000, 15000, 6000)),  # a white nobody sees
        (samples.cicp(0, 0),),
        (samples.cicp(255, 255),),
        (samples.cicp(12, 13, 1, 1),),
        (samples.cicp(12, 13, 0, 0),),
        ((b"cICP", b""),),
        (samples.srgb(255),),
        ((b"cHRM", b""), (b"cLLI", b""), (b"mDCV", b"")),
        (samples.cicp(1, 13), samples.clli(0), samples.mdcv(0)),
    ],
    ids=range(17),
)
def test_chunks_that_mean_nothing_change_nothing(chunks: tuple[samples.Chunk, ...]) -> None:
    assert (shown(samples.png(samples.card(), *chunks)) == CARD).all()


NUMBERS = st.integers(0, 2**32 - 1) | st.integers(0, 100_000)
SIGNED = st.integers(-(2**31), 2**31 - 1)


def several(numbers: st.SearchStrategy[int], count: int) -> st.SearchStrategy[list[int]]:
    return st.lists(numbers, min_size=count, max_size=count)


@given(gamma=NUMBERS, points=several(NUMBERS, 8), codes=st.binary(min_size=4, max_size=4))
@settings(max_examples=200, deadline=None)
def test_whatever_the_numbers_are_there_is_a_picture(gamma: int, points: list[int], codes: bytes) -> None:
    chunks = ((b"gAMA", struct.pack(">I", gamma)), by_numbers(*points), (b"cICP", codes))
    assert shown(samples.png(samples.card(), *chunks)).shape == (8, 3)


@given(nits=NUMBERS, transfer=st.sampled_from([16, 18]))
@settings(max_examples=60, deadline=None)
def test_whatever_the_brightness_is_there_is_a_picture(nits: int, transfer: int) -> None:
    brightness = (b"cLLI", struct.pack(">II", nits, 0))
    levels = shown(samples.png(samples.card(), samples.cicp(9, transfer), brightness))
    assert levels[4, 1] > levels[5, 1] > 0


@given(ends=several(SIGNED, 9), exponents=several(NUMBERS, 3))
@settings(max_examples=100, deadline=None)
def test_whatever_a_bmp_is_calibrated_to_there_is_a_picture(ends: list[int], exponents: list[int]) -> None:
    data = bytearray(samples.bmp())
    struct.pack_into("<9i3I", data, 14 + 60, *ends, *exponents)
    assert shown(bytes(data)).shape == (8, 3)


def test_chunks_without_end_are_not_read_to_the_end() -> None:
    text = samples.chunk(b"tEXt", b"a\0b")
    head, tail = samples.png(samples.card(), samples.gama(1)).split(samples.chunk(*samples.gama(1)))
    linear = samples.chunk(*samples.gama(1))
    assert isinstance(png.read(head + text * 5000 + linear + tail, None), ColourSpace)
    assert png.read(head + text * 50_000 + linear + tail, None) is None


@pytest.mark.parametrize("cut", [8, 20, 33, 37, 41, 45, 49, 60])
def test_a_png_cut_short_says_what_it_said(cut: int) -> None:
    whole = samples.png(samples.card(), samples.gama(1))
    assert (png.read(whole[:cut], None) is not None) == (cut >= 49)


def test_a_chunk_longer_than_the_file_ends_it() -> None:
    whole = samples.png(samples.card())[:33]
    assert png.read(whole + b"\xff\xff\xff\xfftEXt" + samples.chunk(*samples.gama(1)), None) is None


def nested(depth: int) -> bytes:
    data = samples.colr(12, 13)
    for _ in range(depth):
        data = samples.box(b"meta", bytes(4), data)
    return data


P3 = of_cicp(12, 13)
LIE = bytes(4) + b"\xff\xff\xff\xff\0\2"
"""Four thousand million entries, the first for another item."""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\x08meta",
        b"\0\0\0\x00meta",
        b"\0\0\0\x01meta",
        b"\0\0\0\x01meta" + b"\xff" * 8,
        b"\0\0\0\x07meta" * 100,
        nested(1000),
        samples.heif_container(),
        samples.heif_container(samples.box(b"colr")),
        samples.heif_container(samples.box(b"colr", b"nclx")),
        samples.heif_container(samples.box(b"colr", b"nclx", bytes(6))),
        samples.heif_container(samples.box(b"colr", b"prof")),
        samples.heif_container(samples.box(b"colr", b"prof", b"x" * 500)),
        samples.heif_container(samples.colr(0, 0)),
        samples.heif_container(samples.colr(3, 13)),
        samples.heif_container(samples.colr(12, 13)).replace(b"colr", b"xxxx"),
        # An index that is not there, a table that promises more than it has, an item that has none.
        samples.heif_container(samples.colr(12, 13)).replace(b"\x01\x01", b"\x01\x7f"),
        samples.heif_container(samples.colr(12, 13), item=7).replace(b"pitm\0\0\0\0\0\7", b"pitm\0\0\0\0\0\6"),
        samples.heif_container(samples.colr(12, 13)).replace(
            b"ipma\0\0\0\0\0\0\0\1\0\1", b"ipma\0\0\0\0\xff\xff\xff\xff\0\2"
        ),
    ],
    ids=range(19),
)
def test_boxes_that_lead_nowhere_say_nothing(data: bytes) -> None:
    assert isobmff.colours_of(isobmff.read(data)) is None


def test_properties_are_found_where_they_are() -> None:
    for wide in (False, True):
        others = [samples.box(b"ispe", bytes(12))] * 100
        data = samples.heif_container(*others, samples.colr(12, 13), wide=wide)
        assert isobmff.colours_of(isobmff.read(data)) == P3
    too_many = samples.heif_container(*[samples.box(b"ispe", bytes(12))] * 127, samples.colr(12, 13), wide=True)
    assert isobmff.colours_of(isobmff.read(too_many)) == P3


def test_tables_without_end_are_not_read_to_the_end() -> None:
    entries = struct.pack(">HB", 2, 0) * 1_000_000 + struct.pack(">HBB", 1, 1, 1)
    table = samples.box(b"ipma", bytes(4), struct.pack(">I", 1_000_001), entries)
    properties = samples.box(b"iprp", samples.box(b"ipco", samples.colr(12, 13)), *[table] * 3)
    meta = samples.box(b"meta", bytes(4), samples.box(b"pitm", bytes(4), b"\0\1"), properties)
    assert isobmff.colours_of(isobmff.read(meta)) is None
    assert sum(1 for _ in boxes(samples.box(b"free") * 100_000)) <= 1000


def test_the_colours_of_tiles_are_those_of_the_whole() -> None:
    reference = samples.box(b"iref", bytes(4), samples.box(b"dimg", struct.pack(">HHH", 9, 1, 1)))
    tiled = samples.heif_container(samples.colr(12, 13), references=reference)
    # The table speaks of item 1, the tile; the primary item is 9, the grid.
    tiled = tiled.replace(b"pitm\0\0\0\0\0\1", b"pitm\0\0\0\0\0\x09")
    assert isobmff.colours_of(isobmff.read(tiled)) == P3


def test_premultiplied_is_said_by_a_reference() -> None:
    def container(from_: int) -> bytes:
        reference = samples.box(b"prem", struct.pack(">HHH", from_, 1, 2))
        return samples.heif_container(references=samples.box(b"iref", bytes(4), reference))

    assert isobmff.read(container(1)).is_premultiplied
    assert not isobmff.read(container(2)).is_premultiplied
    assert not isobmff.read(samples.heif_container()).is_premultiplied


SAID = {
    "PNG": samples.png(
        samples.card(), samples.cicp(9, 16), samples.clli(500), samples.gama(1), samples.chrm(samples.P3)
    ),
    "AVIF": samples.with_properties(samples.avif("rgba", codes=(9, 16, 6)), samples.brightness(500)),
    "BMP": samples.bmp(version=5, kind=samples.EMBEDDED, profile_data=samples.profile(samples.P3, 2.2)),
    "JP2": samples.jp2(b"\2\0\0" + samples.profile(samples.P3, 2.2)),
}
READERS = {
    "PNG": lambda data: png.read(data, None),
    "AVIF": lambda data: isobmff.colours_of(isobmff.read(data)),
    "BMP": lambda data: bmp.read(data, None),
    "JP2": lambda data: jp2.read(data, None),
}


@given(
    kind=st.sampled_from(sorted(SAID)),
    edits=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=8),
    keep=st.floats(0, 1),
)
@settings(max_examples=500, deadline=None)
def test_damaged_files_are_read_without_an_error(kind: str, edits: list[tuple[int, int]], keep: float) -> None:
    data = bytearray(SAID[kind])
    for at, value in edits:
        data[at % len(data)] = value
    damaged = bytes(data[: int(len(data) * keep)])
    try:
        said = READERS[kind](damaged)
    except ImageError:
        return
    if isinstance(said, bytes):
        icc.described_by(said)
    if isinstance(said, ColourSpace):
        try:
            transform = transform_for(said)
        except ValueError:
            return
        assert np.isfinite(transform.to_srgb).all()
        assert np.isfinite(transform.light).all()


@pytest.mark.parametrize(
    "tag",
    [
        b"cicp" + struct.pack(">II", 2**32 - 1, 12),
        b"cicp" + struct.pack(">II", 0, 0),
        b"cicp" + struct.pack(">II", 128, 2**32 - 1),
    ],
)
def test_a_tag_that_lies_outside_a_profile_says_nothing(tag: bytes) -> None:
    profile = samples.profile(samples.SRGB, 2.2, cicp_codes=(12, 13))
    at = profile.index(b"cicp")
    assert icc.described_by(profile) == P3
    assert icc.described_by(profile[:at] + tag + profile[at + 12 :]) is None
    assert icc.described_by(profile[:at]) is None
    assert icc.described_by(profile[:128] + b"\xff\xff\xff\xff" + b"desc" * 10_000) is None


def test_srgb_is_known_as_such() -> None:
    assert SRGB.is_srgb
    assert of_cicp(1, 13) == SRGB
    assert P3 is not None
    assert not P3.is_srgb
