"""The table of image formats: what Pellucid reads, what it writes, and what each can carry."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ImageFormat(enum.StrEnum):
    """A family of image files."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    AVIF = "avif"
    GIF = "gif"
    HEIC = "heic"
    TIFF = "tiff"
    BMP = "bmp"
    ICO = "ico"
    JP2 = "jp2"
    SVG = "svg"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatTraits:
    """`written_as` is the family a rendition of such an origin keeps: itself where browsers show it and we encode it,
    else the nearest that they do. `alpha` = the format can carry transparency.
    """

    media_type: str
    alpha: bool
    written_as: ImageFormat
    largest_side: int = 10_000_000
    """Pixels along one side that the format can hold; libvips' own bound where it has none."""


_J, _P, _W = ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP

FORMATS: dict[ImageFormat, FormatTraits] = {
    ImageFormat.JPEG: FormatTraits(media_type="image/jpeg", alpha=False, written_as=_J, largest_side=65_535),
    ImageFormat.PNG: FormatTraits(media_type="image/png", alpha=True, written_as=_P),
    ImageFormat.WEBP: FormatTraits(media_type="image/webp", alpha=True, written_as=_W, largest_side=16_383),
    # AVIF encoding takes seconds per megapixel on one core; WebP keeps alpha and every browser with AVIF shows it.
    ImageFormat.AVIF: FormatTraits(media_type="image/avif", alpha=True, written_as=_W),
    # A still of a GIF: PNG is lossless and carries its alpha.
    ImageFormat.GIF: FormatTraits(media_type="image/gif", alpha=True, written_as=_P),
    ImageFormat.HEIC: FormatTraits(media_type="image/heic", alpha=True, written_as=_J),
    ImageFormat.TIFF: FormatTraits(media_type="image/tiff", alpha=True, written_as=_J),
    ImageFormat.BMP: FormatTraits(media_type="image/bmp", alpha=True, written_as=_P),
    ImageFormat.ICO: FormatTraits(media_type="image/vnd.microsoft.icon", alpha=True, written_as=_P),
    ImageFormat.JP2: FormatTraits(media_type="image/jp2", alpha=True, written_as=_J),
    ImageFormat.SVG: FormatTraits(media_type="image/svg+xml", alpha=True, written_as=_P),
}

WRITABLE = frozenset({ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP})
"""What the encoder makes."""
