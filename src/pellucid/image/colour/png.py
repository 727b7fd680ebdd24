"""What a PNG file says of its colours: cICP before iCCP before sRGB before gAMA with cHRM (PNG 3, 4.3). Pure.

Read as browsers read them: chunks before the pixels, the first of each kind, damaged ones left aside.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from pellucid.image.colour.icc import is_profile
from pellucid.image.colour.space import BT709, SRGB, ColourSpace, Primaries, Transfer, of_cicp, uniform

_MAX_CHUNKS = 10_000
"""Looked at before the pixels. Chunks that say something of colours come early; text seldom has more than a few."""

_LENGTHS: Final = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"cLLI": 8, b"mDCV": 24}
"""Of the chunks that are read; one of another length is damaged."""

_NEUTRAL = 0.05
"""A gAMA chunk alone that is off 1/2.2 by less than this part of it means a picture for ordinary displays (libpng's
PNG_GAMMA_THRESHOLD): it says sRGB as well as a power function can.
"""


def read(data: bytes, profile: bytes | None) -> ColourSpace | bytes | None:
    """The colour space of the PNG file `data`, of which libpng took `profile` from an iCCP chunk.

    The profile itself when it decides, None when the file says nothing.
    """
    chunks = _chunks(data)
    if b"cICP" in chunks:
        primaries, transfer, matrix, is_full_range = chunks[b"cICP"]
        space = of_cicp(primaries, transfer, peak_nits=_peak_nits(chunks))
        if space is not None and matrix == 0 and is_full_range == 1:
            return space
    if profile is not None and is_profile(profile):
        return profile
    if b"sRGB" in chunks and chunks[b"sRGB"][0] <= 3:
        return SRGB
    return _of_gamma(chunks)


def _of_gamma(chunks: dict[bytes, bytes]) -> ColourSpace | None:
    # cHRM without gAMA says too little: browsers leave it aside.
    gamma = int.from_bytes(chunks.get(b"gAMA", b""), "big") / 100_000
    if gamma == 0:
        return None
    primaries = BT709
    if b"cHRM" in chunks:
        values = [each / 100_000 for each in struct.unpack(">8I", chunks[b"cHRM"])]
        primaries = Primaries(*zip(values[::2], values[1::2], strict=True))
    elif abs(gamma * 2.2 - 1) < _NEUTRAL:
        return None
    return uniform(primaries, Transfer("power", 1 / gamma))


def _peak_nits(chunks: dict[bytes, bytes]) -> float | None:
    """The brightest pixel (cLLI), or what the display could show on which the picture was made (mDCV)."""
    brightest = int.from_bytes(chunks.get(b"cLLI", b"")[:4], "big") / 10_000
    return brightest or int.from_bytes(chunks.get(b"mDCV", b"")[16:20], "big") / 10_000 or None


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The contents of the chunks in `_LENGTHS` that come before the pixels."""
    found: dict[bytes, bytes] = {}
    at = 8
    for _ in range(_MAX_CHUNKS):
        name, end = data[at + 4 : at + 8], at + 8 + int.from_bytes(data[at : at + 4], "big")
        if name in (b"IDAT", b""):
            break
        if end - at - 8 == _LENGTHS.get(name) and name not in found:
            content = data[at + 8 : end]
            if zlib.crc32(name + content).to_bytes(4, "big") == data[end : end + 4]:
                found[name] = content
        at = end + 4
    return found
