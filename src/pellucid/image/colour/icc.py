"""What is read of an ICC profile (ICC.1:2022) here; libvips does what it says. Pure."""

from __future__ import annotations

from pellucid.image.colour.space import ColourSpace, of_cicp

_HEADER_BYTES = 128
_DESCRIBABLE = (b"RGB ", b"GRAY")

_MAX_TAGS = 200
"""More than any profile has: the largest that are known have some 40."""


def is_profile(data: bytes) -> bool:
    """Whether `data` begins like an ICC profile, so that it decides about the colours."""
    return len(data) > _HEADER_BYTES and data[36:40] == b"acsp"


def described_by(profile: bytes) -> ColourSpace | None:
    """The colour space that a profile names by its `cicp` tag (9.2.17). It stands above the profile's curves, as
    browsers have it: those of PQ and HLG know nothing of the white of a page.
    """
    if not is_profile(profile) or profile[16:20] not in _DESCRIBABLE:
        return None
    first = _HEADER_BYTES + 4
    count = min(int.from_bytes(profile[_HEADER_BYTES:first], "big"), _MAX_TAGS)
    for at in range(first, first + 12 * count, 12):
        if profile[at : at + 4] == b"cicp":
            start = int.from_bytes(profile[at + 4 : at + 8], "big")
            return _of_tag(profile[start : start + 12])
    return None


def _of_tag(tag: bytes) -> ColourSpace | None:
    if len(tag) < 12 or tag[:4] != b"cicp":
        return None
    primaries, transfer, matrix, is_full_range = tag[8:12]
    return of_cicp(primaries, transfer) if matrix == 0 and is_full_range == 1 else None
