"""Pure: whether a file holds all that its structure speaks of. No pixel is looked at: microseconds, whatever its size.

A file that is cut short shows it here, in nearly every format. One that is damaged in the middle does not: that is for
its decoder to notice (`image.decode`).
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pellucid.formats import ImageFormat
from pellucid.image import jpeg, png_end

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ISO_BOXES = 1000
_GIF_BLOCKS = 1 << 20
_TIFF_PAGES = 64
_TIFF_ENTRIES = 4096
_TIFF_VALUES = 1 << 20
"""How much is looked at of what a hostile file may have millions of, 0.1 s at most: entries of one page of a TIFF file,
offsets and sizes of all of them. The decoder sees to the rest.
"""


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
        has_pixels |= kind == b"mdat" or (kind == b"meta" and data.find(b"idat", at, at + size_bytes) >= 0)
        at += max(8, size_bytes)
    return Wholeness.DOUBTFUL


def _look_at_tiff(data: bytes) -> Wholeness:
    """Every page's strips and tiles lie inside the file (TIFF 6.0, section 2; BigTIFF)."""
    order = "<" if data[:2] == b"II" else ">"
    layout = _BIG_TIFF if data[2:4] in (b"+\0", b"\0+") else _CLASSIC_TIFF
    (at,) = struct.unpack_from(order + layout.offset, data, layout.first)
    whole, left = True, _TIFF_VALUES
    for _ in range(_TIFF_PAGES):
        if at == 0 or left < 0:
            return _whole_if(whole)
        if at >= len(data):
            return Wholeness.CUT
        (entries,) = struct.unpack_from(order + layout.entries, data, at)
        if not entries:
            return Wholeness.CUT
        first = at + struct.calcsize(order + layout.entries)
        values = _tiff_values(data, order, layout, first=first, entries=entries)
        whole &= all(
            _lie_inside(values.get(offsets), values.get(sizes), len(data)) for offsets, sizes in _TIFF_PLACES.items()
        )
        left -= sum(map(len, values.values()))
        (at,) = struct.unpack_from(order + layout.offset, data, first + layout.entry * entries)
    return _whole_if(whole)


class _TiffLayout(NamedTuple):
    """Formats (`struct`) of the offset of a directory and of its number of entries; bytes of an entry; where the first
    offset stands.
    """

    offset: str
    entries: str
    entry: int
    first: int


_CLASSIC_TIFF, _BIG_TIFF = _TiffLayout("I", "H", 12, 4), _TiffLayout("Q", "Q", 20, 8)

_TIFF_PLACES = {273: 279, 324: 325}
"""Tags of the offsets of strips and tiles, and of their sizes."""

_TIFF_WIDTHS = {
    kind: width for width, kinds in {2: (3, 8), 4: (4, 9, 11, 13), 8: (5, 10, 12, 16, 17, 18)}.items() for kind in kinds
}
"""Bytes of a value, by its type; all others have 1."""

_TIFF_INTEGERS = frozenset({3, 4, 16})
"""SHORT, LONG, LONG8."""


def _tiff_values(
    data: bytes, order: str, layout: _TiffLayout, *, first: int, entries: int
) -> dict[int, NDArray[np.uint64]]:
    """Where a page's strips and tiles lie, by tag. Raises ValueError when an entry's values lie outside the file."""
    wanted = {*_TIFF_PLACES, *_TIFF_PLACES.values()}
    found: dict[int, NDArray[np.uint64]] = {}
    for at in range(first, first + layout.entry * min(entries, _TIFF_ENTRIES), layout.entry):
        tag, kind, count = struct.unpack_from(order + "HH" + layout.offset, data, at)
        width = _TIFF_WIDTHS.get(kind, 1)
        start = at + 4 + struct.calcsize(order + layout.offset)
        if width * count > at + layout.entry - start:
            (start,) = struct.unpack_from(order + layout.offset, data, start)
        if start + width * count > len(data):
            raise ValueError("values outside the file")
        if tag in wanted and tag not in found and kind in _TIFF_INTEGERS:
            count = min(count, _TIFF_VALUES)
            found[tag] = np.frombuffer(data, f"{order}u{width}", count, start).astype(np.uint64)
    return found


def _lie_inside(offsets: NDArray[np.uint64] | None, sizes: NDArray[np.uint64] | None, length: int) -> bool:
    if offsets is None or sizes is None or not (count := min(len(offsets), len(sizes))):
        return True
    # Each for itself first: their sum may be larger than 64 bits.
    if int(offsets.max()) > length or int(sizes.max()) > length:
        return False
    return int((offsets[:count] + sizes[:count]).max()) <= length


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
    ImageFormat.SVG: lambda _: Wholeness.WHOLE,  # to read its header is to read all of it
}
