"""A self-describing blob: a small JSON header and the body, with a checksum over both.

Media type and validators are inside the blob, because folders and buckets have only create, read and delete in common.
Layout: magic (4 bytes), CRC-32 of header and body, header length (both unsigned 32-bit, big endian), header, body. A
power cut can leave a renamed file whose tail was never written to the disk; the checksum turns that into a miss.
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
    """Pack header and body into one blob."""
    text = msgspec.json.encode(header)
    crc = zlib.crc32(body, zlib.crc32(text))
    return b"".join((_HEAD.pack(_MAGIC, crc, len(text)), text, body))


def unseal(blob: bytes, header_type: type[HeaderT]) -> tuple[HeaderT, bytes] | None:
    """Unpack a blob made by `seal`; None for one that is damaged or of another kind."""
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
