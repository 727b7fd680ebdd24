"""What AVIF and HEIC files (ISO/IEC 23008-12) say of the colours of their primary image. Pure.

A profile comes before codes (`colr` boxes). Codes are taken as browsers take them: what cameras encode after BT.709 and
its kin counts as sRGB, since most files that say so were made from sRGB; what is unspecified or unknown counts as sRGB.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pellucid.image.colour.boxes import boxes
from pellucid.image.colour.icc import is_profile
from pellucid.image.colour.space import BT709, BT1886_CURVE, PRIMARIES, SRGB_CURVE, TRANSFERS, ColourSpace, uniform

_MAX_ENTRIES = 10_000
"""Items with properties, looked at in each of up to four tables."""

_RESERVED = (0, 3)
"""Codes that stand for nothing: the pair is left aside."""

_YCGCO, _BT2020_CONSTANT, _DERIVED_CONSTANT = 8, 10, 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Nclx:
    """Codes of H.273."""

    primaries: int
    transfer: int
    matrix: int
    is_full_range: bool

    @property
    def is_misread(self) -> bool:
        """Whether libheif (1.23) takes the samples for others than they are: it reads constant luminance as if it were
        not, and YCgCo as if its range were full, up to 15 levels off.
        """
        return self.matrix in (_BT2020_CONSTANT, _DERIVED_CONSTANT) or (
            self.matrix == _YCGCO and not self.is_full_range
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryImage:
    """`profile` is an ICC profile. `is_premultiplied`: its colours are, by the alpha beside it."""

    nclx: Nclx | None = None
    profile: bytes | None = None
    peak_nits: float | None = None
    is_premultiplied: bool = False


def colours_of(image: PrimaryImage) -> ColourSpace | bytes | None:
    """The colour space of an image, or its profile; None when it has neither."""
    if image.profile is not None:
        return image.profile
    codes = image.nclx
    if codes is None or codes.primaries in _RESERVED or codes.transfer in _RESERVED:
        return None
    transfer = TRANSFERS.get(codes.transfer, SRGB_CURVE)
    return uniform(
        PRIMARIES.get(codes.primaries, BT709),
        SRGB_CURVE if transfer == BT1886_CURVE else transfer,
        peak_nits=image.peak_nits,
    )


def read(data: bytes) -> PrimaryImage:
    """The primary image; what cannot be read of it is left out."""
    try:
        meta = next(body for name, body in boxes(data) if name == b"meta")[4:]
        return _read_meta(meta)
    except (StopIteration, struct.error, IndexError):
        return PrimaryImage()


def _read_meta(meta: bytes) -> PrimaryImage:
    parts = {name: body for name, body in boxes(meta) if name in (b"pitm", b"iprp", b"iref")}
    pitm = parts[b"pitm"] if b"pitm" in parts else bytes(6)
    item = int.from_bytes(pitm[4:], "big")
    references = list(_references(parts.get(b"iref", b"")))
    properties = _properties(parts.get(b"iprp", b""), item)
    if not any(name == b"colr" for name, _ in properties):
        # An image in tiles may leave its colours to them.
        tile = next((to for name, from_, to in references if name == b"dimg" and from_ == item), None)
        properties += [] if tile is None else _properties(parts.get(b"iprp", b""), tile)
    colours = [body for name, body in properties if name == b"colr"]
    brightness = next((body for name, body in properties if name == b"clli"), b"")
    return PrimaryImage(
        nclx=next((_nclx(body) for body in colours if body[:4] == b"nclx" and len(body) >= 11), None),
        profile=next((body[4:] for body in colours if body[:4] in (b"prof", b"rICC") and is_profile(body[4:])), None),
        peak_nits=float(int.from_bytes(brightness[:2], "big")) or None,
        is_premultiplied=any(name == b"prem" and from_ == item for name, from_, _ in references),
    )


def _nclx(body: bytes) -> Nclx:
    primaries, transfer, matrix, flags = struct.unpack_from(">HHHB", body, 4)
    return Nclx(primaries=primaries, transfer=transfer, matrix=matrix, is_full_range=flags >= 0x80)


def _properties(iprp: bytes, item: int) -> list[tuple[bytes, bytes]]:
    """(name, content) of the properties of `item`."""
    parts = list(boxes(iprp))
    every = [each for name, body in parts if name == b"ipco" for each in boxes(body)]
    tables = [body for name, body in parts if name == b"ipma"]
    numbers = [number for body in tables[:4] for number in _associated(body, item)]
    return [every[number - 1] for number in numbers if 0 < number <= len(every)]


def _associated(ipma: bytes, item: int) -> list[int]:
    """The numbers, from 1, of the properties of `item` (ISO/IEC 14496-12, 8.11.14)."""
    head = ">IB" if ipma[0] else ">HB"
    number = "H" if ipma[3] & 1 else "B"
    at = 8
    for _ in range(min(int.from_bytes(ipma[4:8], "big"), _MAX_ENTRIES)):
        owner, count = struct.unpack_from(head, ipma, at)
        at += struct.calcsize(head)
        if owner == item:
            # The highest bit says that it is essential.
            mask = 0x7FFF if number == "H" else 0x7F
            return [each & mask for each in struct.unpack_from(f">{count}{number}", ipma, at)]
        at += count * struct.calcsize(number)
    return []


def _references(iref: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, from, to) of the first reference of each kind and item (ISO/IEC 14496-12, 8.11.12)."""
    if not iref:
        return
    fields = ">IHI" if iref[0] else ">HHH"
    for name, body in boxes(iref[4:]):
        if len(body) >= struct.calcsize(fields):
            from_, _, to = struct.unpack_from(fields, body)
            yield name, from_, to
