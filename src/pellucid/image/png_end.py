"""Pure: the end of a PNG file, as far as it is there (PNG third edition, section 5)."""

from __future__ import annotations

import struct
import zlib

_END = b"IEND\xaeB`\x82"
_PIXELS = b"IDAT"


def has_end(data: bytes) -> bool:
    """Whether its last chunk is there, perhaps with something behind it."""
    return data.rfind(_END) >= 0


def completed(data: bytes) -> bytes:
    """`data` with a last chunk, and a chunk of pixels that is cut off made as long as what is there of it: libpng reads
    them by 8 kB, and loses all that it cannot read whole, small pictures altogether.
    """
    if has_end(data):
        return data
    at = data.rfind(_PIXELS)
    if at < 8:
        return data
    (length,) = struct.unpack_from(">I", data, at - 4)
    there = data[at : at + 4 + length]
    whole = struct.pack(">I", len(there) - 4) + there + struct.pack(">I", zlib.crc32(there))
    cut_off = len(data) < at + 4 + length + 4
    return (data[: at - 4] + whole if cut_off else data) + bytes(4) + _END
