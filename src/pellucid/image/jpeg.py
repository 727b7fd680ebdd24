"""Pure: the segments of a JPEG file, and whether its end is there (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers SOF0 to SOF15; DHT, JPG and DAC lie between them."""

_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_SCAN = 0xDA
_END = b"\xff\xd9"

_SEGMENTS = 10_000
"""Looked at: what a camera writes in front of the frame header, such as a preview, takes a few hundred."""

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""Stuffed bytes and restart markers are data, any number of FFs may come before a marker (B.1.1.2)."""

_BARE = frozenset({0x01, 0xD8, 0xD9})
"""Markers without a segment: TEM, SOI, EOI."""

_PADDING = bytes(64)
"""So many zeros at the end are no pixels: the file was laid out at its full size and not filled."""

_COEFFICIENTS = 64
_MOST_COMPONENTS = 4
"""Of one scan (B.2.3)."""


class Segment(NamedTuple):
    """`kind` is the second byte of its marker; its length stands at `at`, `end` is where it says that it ends."""

    kind: int
    at: int
    end: int


def segments(data: bytes) -> Iterator[Segment]:
    """Those of the file, in order. As decoders do it: what lies between segments is skipped, pixels among it."""
    at = 2
    for _ in range(_SEGMENTS):
        marker = _MARKER.search(data, at)
        if marker is None:
            return
        at, kind = marker.end(), marker[0][1]
        if kind not in _BARE:
            segment = Segment(kind, at, at + max(2, int.from_bytes(data[at : at + 2], "big")))
            yield segment
            at = segment.end


def has_end(data: bytes) -> bool:
    """Whether there is an end marker behind the beginning of the pixels: one before may be that of a preview. In pixels
    an FF is followed by 00, so that none is found by chance.
    """
    scan = next((each for each in segments(data) if each.kind == _SCAN), None)
    return scan is not None and data.rfind(_END, scan.end) >= 0


def has_all_scans(data: bytes) -> bool:
    """Whether every coefficient of every component is named by a scan, to its last bit (G.1.1.1): a file that ends
    between two scans looks whole and is not. What the last scan holds is the decoder's to say.
    """
    missing: dict[int, bytearray] = {}
    progressive = False
    try:
        for kind, at, end in segments(data):
            if end > len(data):
                return False
            if kind in FRAMES and not missing:
                progressive = kind in _PROGRESSIVE
                missing = {data[at + 8 + 3 * each]: bytearray(b"\1" * _COEFFICIENTS) for each in range(data[at + 7])}
            elif kind == _SCAN:
                count = min(data[at + 2], _MOST_COMPONENTS)
                first, last, bits = data[at + 3 + 2 * count : at + 6 + 2 * count] if progressive else (0, 63, 0)
                for component in data[at + 3 : at + 3 + 2 * count : 2]:
                    if component in missing and first <= last < _COEFFICIENTS:
                        missing[component][first : last + 1] = bytes([bits & 15]) * (last + 1 - first)
    except (IndexError, ValueError):
        return False
    return bool(missing) and not any(map(any, missing.values()))


def completed(data: bytes, *, filler: bytes = b"") -> bytes:
    """`data` with the end marker that is missing: without it a decoder takes a file for cut short whose pixels are all
    there. A segment that is cut off, which a decoder would read anything into, is left out.

    A decoder takes `filler`, in front of the marker, for the pixels that are missing, and does not look at it where
    none are.
    """
    if has_end(data):
        return data
    body = data.rstrip(b"\0") if data.endswith(_PADDING) else data
    cut_off = next((each for each in segments(body) if each.end > len(body)), None)
    body = body if cut_off is None else body[: cut_off.at - 2]
    return (body.rstrip(b"\xff") + filler if filler else body) + _END
