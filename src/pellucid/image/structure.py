"""Pure: whether a file holds all that its structure speaks of. No pixel is looked at: microseconds, whatever its size.

A file that is cut short shows it here, in nearly every format. One that is damaged in the middle does not: that is for
its decoder to notice (`image.decode`).
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterator

from pellucid.errors import ImageError
from pellucid.formats import ImageFormat
from pellucid.image import jpeg, png_end
from pellucid.image.tiff.directories import TiffFile

_ISO_BOXES = 1000
_GIF_BLOCKS = 1 << 20
"""How much is looked at of what a hostile file may have millions of, 0.1 s at most. The decoder sees to the rest."""

_GIF_NEXT = (b"!", b",", b";", b"")
"""What begins behind a frame: an extension, another frame, the trailer, nothing any more."""


class Wholeness(enum.Enum):
    """What a file's structure says."""

    WHOLE = enum.auto()
    DOUBTFUL = enum.auto()
    """Its end is missing: the decoder knows whether pixels are."""
    CUT = enum.auto()
    """Part of the picture is missing for certain, which its decoder may not notice."""


def look(data: bytes, format_: ImageFormat) -> Wholeness:
    """Whether the file is all there. `format_` is what its first bytes say (`image.sniff`); never raises."""
    try:
        return _LOOKS[format_](data)
    except (struct.error, IndexError, ValueError):
        return Wholeness.DOUBTFUL


def first_frame(data: bytes) -> bytes | None:
    """The GIF file with its first frame alone; None when that is not whole (GIF89a, sections 18 to 22)."""
    at = 13 + _colour_table_bytes(data, 10)
    left = iter(range(_GIF_BLOCKS))
    for _ in left:
        match data[at : at + 1]:
            case b"!":
                at = _after_blocks(data, at + 2, left)
            case b",":
                at = _after_blocks(data, at + 11 + _colour_table_bytes(data, at + 9), left)
                # Zeros in the middle of a frame end it as well; another block does not follow then.
                return data[:at] + b";" if at <= len(data) and data[at : at + 1] in _GIF_NEXT else None
            case _:
                return None
    return None


def _whole_if(whole: bool) -> Wholeness:
    return Wholeness.WHOLE if whole else Wholeness.DOUBTFUL


def _look_at_jpeg(data: bytes) -> Wholeness:
    if jpeg.has_end(data):
        return Wholeness.WHOLE
    return Wholeness.DOUBTFUL if jpeg.has_all_scans(data) else Wholeness.CUT


def _look_at_png(data: bytes) -> Wholeness:
    return _whole_if(png_end.has_end(data))


def _look_at_gif(data: bytes) -> Wholeness:
    # A trailer, and before it the end of a frame's or an extension's blocks.
    return _whole_if(data.endswith(b"\0;"))


def _look_at_webp(data: bytes) -> Wholeness:
    (size_bytes,) = struct.unpack_from("<I", data, 4)
    return _whole_if(8 + size_bytes <= len(data))


def _look_at_iso(data: bytes) -> Wholeness:
    """Boxes up to the end of the file, and one with pixels among them (ISO/IEC 14496-12, section 4.2)."""
    at, has_pixels = 0, False
    for _ in range(_ISO_BOXES):
        if at >= len(data):
            return _whole_if(at == len(data) and has_pixels)
        size_bytes, kind = struct.unpack_from(">I4s", data, at)
        if size_bytes == 1:
            (size_bytes,) = struct.unpack_from(">Q", data, at + 8)
        elif size_bytes == 0:
            size_bytes = len(data) - at
        has_pixels |= kind in (b"mdat", b"jxlc", b"jxlp") or (
            kind == b"meta" and data.find(b"idat", at, at + size_bytes) >= 0
        )
        at += max(8, size_bytes)
    return Wholeness.DOUBTFUL


def _look_at_tiff(data: bytes) -> Wholeness:
    """All directories, and values and pixels of the one that is shown: where it lacks, another
    may be; where a profile does, decoders go on without.
    """
    file = TiffFile(data)
    try:
        picture = file.find_picture()
    except ImageError:
        return Wholeness.CUT
    if file.lacks_pictures or picture.lacks_values:
        return Wholeness.CUT
    return _whole_if(file.holds_pixels(picture))


def _look_at_bmp(data: bytes) -> Wholeness:
    """The rows of pixels that are not packed; of packed ones what the file says of its own size."""
    file_bytes, offset, header_bytes = struct.unpack_from("<I4xII", data, 2)
    if header_bytes == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        packed = False
    else:
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", data, 18)
        packed = compression not in (0, 3, 6)  # none, or bit masks
    row_bytes = (abs(width) * depth + 31) // 32 * 4
    return _whole_if((file_bytes if packed else offset + row_bytes * abs(height)) <= len(data))


def _look_at_ico(data: bytes) -> Wholeness:
    """Each picture that the directory names. One that is missing altogether leaves a smaller one to be shown."""
    (count,) = struct.unpack_from("<H", data, 4)
    ends: list[int] = []
    for entry in range(count):
        length, offset = struct.unpack_from("<II", data, 6 + 16 * entry + 8)
        if offset >= len(data):
            return Wholeness.CUT
        ends.append(offset + length)
    return _whole_if(max(ends) <= len(data))


def _look_at_jp2(data: bytes) -> Wholeness:
    """The codestream's end marker, which packets cannot hold (ISO/IEC 15444-1, A.4.4)."""
    return _whole_if(data.rfind(b"\xff\xd9", max(0, data.find(b"\xff\x4f\xff\x51"))) >= 0)


def _look_at_jxl(data: bytes) -> Wholeness:
    """The boxes of a file that has some. A bare codestream does not say where it ends: it is believed, because its
    decoder reads all of it whatever size is wanted, and notices each time.
    """
    return Wholeness.WHOLE if data.startswith(b"\xff\x0a") else _look_at_iso(data)


def _look_at_pdf(data: bytes) -> Wholeness:
    """Its end marker, within the last kB as readers look for it. What lacks a part before that does not open."""
    return _whole_if(data.rfind(b"%%EOF", max(0, len(data) - 1024)) >= 0)


def _colour_table_bytes(data: bytes, flags_at: int) -> int:
    flags = data[flags_at] if flags_at < len(data) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, at: int, left: Iterator[int]) -> int:
    """Where a chain of data sub-blocks ends; beyond the file when it has no end there, or none within those `left`."""
    for _ in left:
        if at >= len(data):
            break
        size_bytes = data[at]
        at += 1 + size_bytes
        if not size_bytes:
            return at
    return len(data) + 1


_LOOKS: dict[ImageFormat, Callable[[bytes], Wholeness]] = {
    ImageFormat.JPEG: _look_at_jpeg,
    ImageFormat.PNG: _look_at_png,
    ImageFormat.WEBP: _look_at_webp,
    ImageFormat.AVIF: _look_at_iso,
    ImageFormat.GIF: _look_at_gif,
    ImageFormat.HEIC: _look_at_iso,
    ImageFormat.TIFF: _look_at_tiff,
    ImageFormat.BMP: _look_at_bmp,
    ImageFormat.ICO: _look_at_ico,
    ImageFormat.JP2: _look_at_jp2,
    ImageFormat.PDF: _look_at_pdf,
    ImageFormat.JXL: _look_at_jxl,
    ImageFormat.SVG: lambda _: Wholeness.WHOLE,  # to read its header is to read all of it
}
