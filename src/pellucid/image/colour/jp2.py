"""What a JPEG 2000 file (ISO/IEC 15444-1, annex I; 15444-2, table M.25) says of its colours. Pure."""

from __future__ import annotations

from pellucid.errors import ImageError
from pellucid.image.colour.boxes import boxes
from pellucid.image.colour.icc import is_profile

_ENUMERATED, _RESTRICTED, _ANY = 1, 2, 3
"""Methods of a `colr` box (I.5.3.3): a number, or an ICC profile."""

_MISREAD = {
    1: "YCbCr",
    3: "YCbCr",
    4: "YCbCr",
    9: "PhotoYCC",
    11: "CMY",
    13: "YCCK",
    14: "CIELab",
    19: "CIEJab",
    22: "YPbPr",
    23: "YPbPr",
    24: "e-sYCC",
}
"""What Pillow would take for RGB. It knows sRGB, grey, sYCC and CMYK, and makes sRGB of them."""


def read(data: bytes, _: bytes | None) -> bytes | None:
    """The ICC profile of a JP2 file; None when it has none. The first `colr` box counts.

    Raises `ImageError` for a colour space that is none of RGB and that the decoder would take for it.
    """
    header = next((body for name, body in boxes(data) if name == b"jp2h"), b"")
    colour = next((body for name, body in boxes(header) if name == b"colr"), b"")
    method, content = int.from_bytes(colour[:1], "big"), colour[3:]
    name = _MISREAD.get(int.from_bytes(content[:4], "big")) if method == _ENUMERATED else None
    if name is not None:
        raise ImageError(f"the JP2 picture has its colours in {name}, which is not supported")
    return content if method in (_RESTRICTED, _ANY) and is_profile(content) else None
