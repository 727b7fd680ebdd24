"""A blob that describes itself: a small JSON header, then the body, with a checksum over both.

Media type and validators live inside the blob because only create, read and delete are common to folders and buckets.
Layout: magic (4 bytes), CRC-32 of what follows the checksum, header length (both unsigned 32-bit, big endian), header,
body. A power cut can leave a renamed file whose tail never reached the disk; the checksum turns that into a miss.
"""

from __future__ import annotations

import struct
import zlib
from typing import TypeVar

import msgspec

_MAGIC = b"PLC1"
_HEAD = struct.Struct(">4sII")

HeaderT = TypeVar("HeaderT", bound=msgspec.Struct)


def seal(header: msgspec.Struct, body: bytes) -> bytes:
    """Header and body as one blob."""
    text = msgspec.json.encode(header)
    crc = zlib.crc32(body, zlib.crc32(text))
    return b"".join((_HEAD.pack(_MAGIC, crc, len(text)), text, body))


def unseal(blob: bytes, header_type: type[HeaderT]) -> tuple[HeaderT, bytes] | None:
    """The inverse of `seal`; None for a blob that is damaged or of another kind."""
    if len(blob) < _HEAD.size:
        return None
    magic, crc, length = _HEAD.unpack_from(blob)
    start = _HEAD.size + length
    if magic != _MAGIC or len(blob) < start:
        return None
    text, body = blob[_HEAD.size : start], blob[start:]
    if zlib.crc32(body, zlib.crc32(text)) != crc:
        return None
    try:
        return msgspec.json.decode(text, type=header_type), body
    except msgspec.DecodeError:
        return None
