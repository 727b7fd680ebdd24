"""Damaged files: whatever is missing of a picture is noticed, in every format, and a sound file is none of them."""

from __future__ import annotations

import contextlib
import struct
from functools import cache

import numpy as np
import picture_samples as samples
import pytest
from file_samples import FILES, flipped, zeros_at
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pellucid.errors import ImageError, UnsupportedFormatError
from pellucid.image import vips
from pellucid.image.decode import Damage, decode_full
from pellucid.image.examine import examine

MAX_PIXELS = 1_000_000

SHOWN = {
    *(kind for kind in FILES if kind.startswith("jpeg")),
    *("png", "png, palette", "png, animated", "gif", "gif, animated"),
    *("tiff, strips", "tiff, thumbnail first", "tiff, pages"),
}
"""What is shown of half a file. Of others the decoder gives all or nothing, or their directory is at their end."""

LATER_FRAMES = {"png, animated", "gif, animated"}
"""Whose first frame is all that is shown, and is there in half a file."""


def _facts_and_pixels(data: bytes) -> tuple[bool, NDArray[np.uint8] | None]:
    """Whether the file is damaged, and its pixels; None where nothing can be shown."""
    damage = Damage()
    try:
        facts = examine(data, max_pixels=MAX_PIXELS)
        assert facts.damaged is not None
        pixels = vips.to_array(decode_full(data, facts, on_damage=damage.note))
    except UnsupportedFormatError:
        raise
    except ImageError:
        return True, None
    assert damage.noted or not facts.damaged, "what is known of a file is not forgotten when it is decoded"
    return damage.noted, pixels


@cache
def _whole(kind: str) -> NDArray[np.uint8]:
    damaged, pixels = _facts_and_pixels(FILES[kind])
    assert not damaged
    assert pixels is not None
    return pixels


@pytest.mark.parametrize("kind", FILES)
def test_a_sound_file_is_not_damaged(kind: str) -> None:
    assert examine(FILES[kind], max_pixels=MAX_PIXELS).damaged is False
    assert _whole(kind).std() > 10


@pytest.mark.parametrize("kind", sorted(set(FILES) - LATER_FRAMES))
def test_half_a_file_is_damaged_before_anything_is_owed(kind: str) -> None:
    half = FILES[kind][: len(FILES[kind]) // 2]
    if kind not in SHOWN:
        with pytest.raises(ImageError):
            examine(half, max_pixels=MAX_PIXELS)
        return
    assert examine(half, max_pixels=MAX_PIXELS).damaged is True
    _, pixels = _facts_and_pixels(half)
    assert pixels is not None
    assert pixels.shape[:2] == _whole(kind).shape[:2]


@given(kind=st.sampled_from(sorted(FILES)), left_out=st.integers(1, 300) | st.floats(0, 1))
@settings(max_examples=600, deadline=None)
def test_what_is_cut_short_anywhere_is_damaged_or_complete(kind: str, left_out: float) -> None:
    data = FILES[kind]
    keep = len(data) - left_out if isinstance(left_out, int) else int(len(data) * left_out)
    try:
        damaged, pixels = _facts_and_pixels(data[: max(1, int(keep))])
    except UnsupportedFormatError:
        return  # its first bytes are missing
    assert damaged or (pixels is not None and _is_same(pixels, _whole(kind)))


def _is_same(pixels: NDArray[np.uint8], whole: NDArray[np.uint8]) -> bool:
    """Whether not even a pixel is missing; a GIF of several frames may have an alpha that the first does not use."""
    return pixels.shape[:2] == whole.shape[:2] and bool((pixels[..., :3] == whole[..., :3]).all())


ENDS = {"jpeg": 2, "jpeg, progressive": 2, "jpeg, restart markers": 2, "png": 12, "png, interlaced": 12, "gif": 1}
"""Bytes of what ends a file and is no pixel."""


@pytest.mark.parametrize("tail", [b"", bytes(5000), b"\r\n"], ids=["nothing", "zeros", "a line end"])
@pytest.mark.parametrize("kind", ENDS)
def test_a_missing_end_with_all_pixels_there_is_sound(kind: str, tail: bytes) -> None:
    if kind == "gif" and tail:
        pytest.skip("a zero ends a frame as well: what follows it is an end or a hole")
    damaged, pixels = _facts_and_pixels(FILES[kind][: -ENDS[kind]] + tail)
    assert not damaged
    assert pixels is not None
    assert (pixels == _whole(kind)).all()


@pytest.mark.parametrize("kind", sorted(set(FILES) - {"svg"}))
def test_what_follows_a_file_does_not_matter(kind: str) -> None:
    assert examine(FILES[kind] + b"trailing bytes " * 9, max_pixels=MAX_PIXELS).damaged is False


@pytest.mark.parametrize("kind", sorted(LATER_FRAMES))
def test_damage_after_the_first_frame_does_not_matter(kind: str) -> None:
    data = FILES[kind]
    for hurt in (data[: len(data) * 6 // 10], data[:-60], zeros_at(data, 0.7, 400)):
        damaged, pixels = _facts_and_pixels(hurt)
        assert not damaged
        assert pixels is not None
        assert (pixels[..., :3] == _whole(kind)[..., :3]).all()


NOTICED = [
    *("png", "png, interlaced", "png, palette", "gif", "tiff, packed strips", "avif", "ico, png", "svg"),
    *(kind for kind in FILES if kind.startswith("jpeg")),
]
"""Kinds whose decoders notice a hole in the middle. Pixels that are not packed have nothing to notice it by, and the
decoders of WebP, JPEG 2000 and of JPEG inside TIFF make something of anything.
"""


@pytest.mark.parametrize("kind", NOTICED)
def test_a_hole_in_the_middle_is_damage(kind: str) -> None:
    data = FILES[kind]
    damaged, _ = _facts_and_pixels(zeros_at(data, 0.45, max(64, len(data) // 10)))
    assert damaged


@pytest.mark.parametrize("kind", sorted(set(FILES) - {"svg"}))
def test_a_file_that_was_laid_out_and_not_filled_is_damaged(kind: str) -> None:
    data = FILES[kind]
    damaged, pixels = _facts_and_pixels(zeros_at(data, 0.5, len(data)))
    if kind in {*LATER_FRAMES, "tiff, strips", "tiff, thumbnail first", "bmp", "bmp, palette", "ico"}:
        return  # black pixels are pixels
    assert damaged or (pixels is not None and _is_same(pixels, _whole(kind)))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("kind", ["png", "png, interlaced", "png, palette"])
def test_png_notices_every_bit(kind: str, share: float) -> None:
    damaged, _ = _facts_and_pixels(flipped(FILES[kind], share))
    assert damaged


@pytest.mark.parametrize(("extra", "damaged"), [(1, False), (12, False), (99, False), (400, True)])
@pytest.mark.parametrize(
    ("kind", "marker"), [("jpeg, progressive", b"\xff\xd9"), ("jpeg, restart markers", b"\xff\xd3")]
)
def test_some_bytes_too_many_before_a_marker_are_no_damage(kind: str, marker: bytes, extra: int, damaged: bool) -> None:
    before, after, rest = FILES[kind].partition(marker)
    assert after
    assert _facts_and_pixels(before + b"\x55" * extra + after + rest)[0] is damaged


def test_a_progressive_file_that_ends_between_two_scans_is_damaged() -> None:
    data = FILES["jpeg, progressive"]
    scans = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 4
    for end in scans[1:]:
        tables = data.rfind(b"\xff\xc4", 0, end)
        for cut in (tables, tables + 9, end, end + 1, end + 5):
            damaged, pixels = _facts_and_pixels(data[:cut])
            assert damaged
            assert pixels is not None, "the scans before it are shown"


def test_unknown_tags_of_a_tiff_are_no_damage() -> None:
    """libtiff warns of them, as it does of much that is only odd."""
    data = bytearray(samples.save(samples.noise(), "TIFF", tiffinfo={40_000: "private", 50_001: "too"}))
    assert struct.pack("<H", 50_001) in data
    assert _facts_and_pixels(bytes(data))[0] is False


@pytest.mark.parametrize("kind", ["ico", "ico, png"])
def test_an_icon_without_its_largest_picture_is_damaged(kind: str) -> None:
    data = FILES[kind]
    entries = [struct.unpack_from("<BBBBHHII", data, 6 + 16 * each) for each in range(2)]
    largest = max(entries, key=lambda entry: entry[0])
    assert largest[7] + largest[6] == len(data), "it comes last"
    assert examine(data[: largest[7]], max_pixels=MAX_PIXELS).damaged is True


@given(
    kind=st.sampled_from(sorted(FILES)),
    edits=st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 255)), min_size=1, max_size=6),
    keep=st.floats(0.05, 1),
)
@settings(max_examples=300, deadline=None)
def test_hostile_bytes_raise_nothing_but_image_errors(kind: str, edits: list[tuple[int, int]], keep: float) -> None:
    data = bytearray(FILES[kind])
    for at, value in edits:
        data[at % len(data)] = value
    with contextlib.suppress(ImageError):
        _facts_and_pixels(bytes(data[: max(12, int(len(data) * keep))]))
