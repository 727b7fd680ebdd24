"""What a BMP file says of its colours: the headers that Windows calls V4 and V5. Pure."""

from __future__ import annotations

import struct

from pellucid.image.colour.icc import is_profile
from pellucid.image.colour.space import D65, ColourSpace, Primaries, Transfer

_FILE_HEADER_BYTES = 14
_V4_BYTES, _V5_BYTES = 108, 124

_CALIBRATED, _EMBEDDED = 0, int.from_bytes(b"MBED", "big")


def read(data: bytes, _: bytes | None) -> ColourSpace | bytes | None:
    """The colour space or the profile in a BMP file's header; None when it has neither."""
    header = data[_FILE_HEADER_BYTES : _FILE_HEADER_BYTES + _V5_BYTES]
    size = int.from_bytes(header[:4], "little")
    if size < _V4_BYTES or len(header) < _V4_BYTES:
        return None
    (kind,) = struct.unpack_from("<I", header, 56)
    if kind == _CALIBRATED:
        return _calibrated(header)
    if kind == _EMBEDDED and size >= _V5_BYTES and len(header) == _V5_BYTES:
        start, length = struct.unpack_from("<II", header, 112)
        profile = data[_FILE_HEADER_BYTES + start : _FILE_HEADER_BYTES + start + length]
        return profile if is_profile(profile) else None
    return None


def _calibrated(header: bytes) -> ColourSpace | None:
    """By x and y of three primaries (2.30 fixed point; z follows from them) and their exponents (16.16). Headers that
    leave them at zero say nothing. White has no field: D65, as browsers have it.
    """
    ends = [each / (1 << 30) for each in struct.unpack_from("<9i", header, 60)]
    red, green, blue = (each / (1 << 16) for each in struct.unpack_from("<3I", header, 96))
    if not (red and green and blue):
        return None
    primaries = Primaries(D65, *zip(ends[::3], ends[1::3], strict=True))
    return ColourSpace(primaries, (Transfer("power", red), Transfer("power", green), Transfer("power", blue)))
