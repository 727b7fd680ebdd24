"""The look at a file's structure: never an error, never long, whatever the bytes."""

from __future__ import annotations

import struct

import pytest
from file_samples import FILES
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.formats import ImageFormat
from pellucid.image import jpeg
from pellucid.image.sniff import sniff
from pellucid.image.structure import Wholeness, first_frame, look

_LARGE = 8 << 20


@pytest.mark.parametrize("kind", FILES)
def test_whole_files_are_whole(kind: str) -> None:
    assert look(FILES[kind], sniff(FILES[kind])) is Wholeness.WHOLE


@pytest.mark.parametrize("kind", sorted(set(FILES) - {"svg"}))
def test_half_a_file_is_not(kind: str) -> None:
    data = FILES[kind]
    assert look(data[: len(data) // 2], sniff(data)) is not Wholeness.WHOLE


_SOME = st.binary(max_size=400) | st.builds(
    lambda kind, keep, tail: FILES[kind][: int(len(FILES[kind]) * keep)][-3000:] + tail,
    st.sampled_from(sorted(FILES)),
    st.floats(0, 1),
    st.binary(max_size=40),
)


@given(data=_SOME, format_=st.sampled_from(ImageFormat))
@settings(max_examples=500, deadline=None)
def test_any_bytes_have_an_answer(data: bytes, format_: ImageFormat) -> None:
    assert isinstance(look(data, format_), Wholeness)
    first_frame(data)
    completed = jpeg.completed(data)
    assert jpeg.completed(completed) in (completed, completed + b"\xff\xd9")
    assert isinstance(jpeg.has_all_scans(data), bool)


def _iso(*boxes: tuple[bytes, bytes]) -> bytes:
    return b"".join(struct.pack(">I4s", 8 + len(body), kind) + body for kind, body in boxes)


_HEAD = ((b"ftyp", b"heic\0\0\0\0mif1heic"), (b"meta", bytes(80)))


@pytest.mark.parametrize("format_", [ImageFormat.HEIC, ImageFormat.AVIF])
def test_boxes_of_an_iso_file(format_: ImageFormat) -> None:
    whole = _iso(*_HEAD, (b"mdat", bytes(500)))
    assert look(whole, format_) is Wholeness.WHOLE
    for cut in range(12, len(whole)):
        assert look(whole[:cut], format_) is Wholeness.DOUBTFUL, "its pixels are missing, in part or altogether"
    inside = _iso(_HEAD[0], (b"meta", b"\0\0\0\x20idat" + bytes(24)))
    assert look(inside, format_) is Wholeness.WHOLE
    long = _iso(*_HEAD) + struct.pack(">I4sQ", 1, b"mdat", 16 + 90) + bytes(90)
    assert look(long, format_) is Wholeness.WHOLE
    assert look(long[:-1], format_) is Wholeness.DOUBTFUL
    to_the_end = _iso(*_HEAD) + struct.pack(">I4s", 0, b"mdat") + bytes(90)
    assert look(to_the_end, format_) is Wholeness.WHOLE


def _hostile_tiff() -> bytes:
    """Directories that overlap, each of which names lists as long as the file."""
    data = bytearray(b"II*\0" + struct.pack("<I", 8) + bytes(_LARGE))
    for at in range(8, 8 + 4096 * 12, 12):
        struct.pack_into("<HHII", data, at, 273 + at % 2 * 6, 4, _LARGE // 4, 8)
    struct.pack_into("<H", data, 8, 65_535)
    return bytes(data)


_HOSTILE = {
    "FFs": (b"\xff\xd8" + b"\xff" * _LARGE, ImageFormat.JPEG),
    "stuffed bytes": (b"\xff\xd8" + b"\xff\0" * (_LARGE // 2), ImageFormat.JPEG),
    "restart markers": (b"\xff\xd8" + b"\xff\xd0" * (_LARGE // 2), ImageFormat.JPEG),
    "scans": (b"\xff\xd8" + b"\xff\xda\0\x02" * (_LARGE // 4), ImageFormat.JPEG),
    "segments": (b"\xff\xd8" + b"\xff\xe0\0\x02" * (_LARGE // 4), ImageFormat.JPEG),
    "one-byte blocks": (b"GIF89a" + bytes(7) + b"," + bytes(10) + b"\x01x" * (_LARGE // 2), ImageFormat.GIF),
    "extensions": (b"GIF89a" + bytes(7) + b"!\xf9\0" * (_LARGE // 3), ImageFormat.GIF),
    "boxes": (_iso((b"ftyp", b"avif")) + b"\0\0\0\x08free" * (_LARGE // 8), ImageFormat.AVIF),
    "directories": (_hostile_tiff(), ImageFormat.TIFF),
    "icons": (b"\0\0\1\0\xff\xff" + bytes(_LARGE), ImageFormat.ICO),
    "nothing": (bytes(_LARGE), ImageFormat.JP2),
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_millions_of_parts_are_not_looked_at(name: str) -> None:
    """Each takes a fraction of a second; hours if the work grew with the square of the bytes."""
    data, format_ = _HOSTILE[name]
    assert look(data, format_) in Wholeness
    first_frame(data)
    jpeg.completed(data)
    jpeg.has_all_scans(data)
