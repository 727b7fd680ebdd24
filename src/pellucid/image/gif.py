"""Pure: where the first frame of a GIF lies on its screen. libvips paints black what it leaves free."""

from __future__ import annotations

import struct

from pellucid.image.box import Box

_EXTENSION, _FRAME = 0x21, 0x2C
_HEADER_BYTES = 13


def covered_part(data: bytes, *, width: int, height: int) -> Box | None:
    """The part of a picture of `width` x `height` that the first frame covers, where that is not all of it; else, and
    for a broken file, None (GIF89a, sections 18 and 20). The picture is the screen, and larger where a frame is.
    """
    try:
        (flags,) = struct.unpack_from("<B", data, 10)
        at = _HEADER_BYTES + _table_bytes(flags)
        while data[at] == _EXTENSION:
            at = _skip_blocks(data, at + 2)
        if data[at] != _FRAME:
            return None
        left, top, across, down = struct.unpack_from("<HHHH", data, at + 1)
    except (struct.error, IndexError):
        return None
    across, down = min(across, width - left), min(down, height - top)
    if across <= 0 or down <= 0 or (across, down) == (width, height):
        return None
    return Box(left=left, top=top, width=across, height=down)


def _table_bytes(flags: int) -> int:
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def _skip_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += 1 + data[at]
    return at + 1
