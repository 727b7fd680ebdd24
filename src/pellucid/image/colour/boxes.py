"""Boxes: how ISO media files (AVIF, HEIC) and JPEG 2000 files are put together. Pure."""

from __future__ import annotations

from collections.abc import Iterator

_MAX_BOXES = 1000
"""Looked at in one box. The properties of a picture of 12 megapixels in tiles are some 60."""


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of the boxes one after the other in `data` (ISO/IEC 14496-12, 4.2; 15444-1, I.4). A box that
    cannot be ends them.
    """
    at = 0
    for _ in range(_MAX_BOXES):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        header = 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif size == 0:
            size = len(data) - at
        if len(name) < 4 or size < header:
            return
        yield name, data[at + header : at + size]
        at += size
