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
    PDF = "pdf"
    JXL = "jxl"

    @property
    def extension(self) -> str:
        """What its files' names end with, without the dot."""
        return "jpg" if self is ImageFormat.JPEG else self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatTraits:
    """`written_as` is the family a rendition of such an origin keeps: itself where browsers show it and we encode it,
    else the nearest that they do. `alpha` = the format can carry transparency; `paged` = its files are documents, of
    which a URL may name a page.
    """

    media_type: str
    alpha: bool
    written_as: ImageFormat
    paged: bool = False
    largest_side: int = 10_000_000
    """Pixels along one side that its encoder writes; libvips' own bound where it has none."""
    transparent_bytes: int = 0
    """Memory that a pixel of a picture with transparency takes while it is written, where that is more than cutting it
    out takes (12 bytes).
    """
    opaque_bytes: int = 0
    """The same of a picture without."""

    def most_pixels(self, *, transparent: bool, memory_bytes: int) -> int | None:
        """How many pixels a process of `memory_bytes` can write, None for as many as it can render."""
        pixel_bytes = self.transparent_bytes if transparent else self.opaque_bytes
        return max(0, memory_bytes - _RESIDENT_BYTES) // pixel_bytes if pixel_bytes else None

    def holds(self, width: int, height: int, *, transparent: bool, memory_bytes: int) -> bool:
        """Whether a process of `memory_bytes` can write a picture of `width` x `height` pixels in this format."""
        most = self.most_pixels(transparent=transparent, memory_bytes=memory_bytes)
        return max(width, height) <= self.largest_side and (most is None or width * height <= most)


_RESIDENT_BYTES = 192 << 20
"""What a render process has before it writes: itself, and an origin of usual size."""


_J, _P, _W = ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP

FORMATS: dict[ImageFormat, FormatTraits] = {
    # libjpeg's bound: the file format itself has 65,535.
    ImageFormat.JPEG: FormatTraits(media_type="image/jpeg", alpha=False, written_as=_J, largest_side=65_500),
    ImageFormat.PNG: FormatTraits(media_type="image/png", alpha=True, written_as=_P),
    # 50 megapixels with alpha: 24 bytes a pixel where it is smooth, 36 where it is noise, opaque 9.
    ImageFormat.WEBP: FormatTraits(
        media_type="image/webp", alpha=True, written_as=_W, largest_side=16_383, transparent_bytes=26
    ),
    # Not written as itself, which not every browser shows, unless one says so (`render.output`): WebP keeps alpha, too.
    # Encoding takes 55 ms a megapixel at libaom's effort 0, 2300 at its usual 4. The side is libvips' bound. Memory:
    # 20.3 bytes a pixel, with alpha 35.
    ImageFormat.AVIF: FormatTraits(
        media_type="image/avif",
        alpha=True,
        written_as=_W,
        largest_side=16_384,
        transparent_bytes=36,
        opaque_bytes=21,
    ),
    # A still of a GIF: PNG is lossless and carries its alpha. libimagequant takes 13 bytes a pixel.
    ImageFormat.GIF: FormatTraits(
        media_type="image/gif", alpha=True, written_as=_P, largest_side=65_535, transparent_bytes=14, opaque_bytes=14
    ),
    ImageFormat.HEIC: FormatTraits(media_type="image/heic", alpha=True, written_as=_J),
    ImageFormat.TIFF: FormatTraits(media_type="image/tiff", alpha=True, written_as=_J, paged=True),
    ImageFormat.BMP: FormatTraits(media_type="image/bmp", alpha=True, written_as=_P),
    ImageFormat.ICO: FormatTraits(media_type="image/vnd.microsoft.icon", alpha=True, written_as=_P),
    ImageFormat.JP2: FormatTraits(media_type="image/jp2", alpha=True, written_as=_J),
    ImageFormat.SVG: FormatTraits(media_type="image/svg+xml", alpha=True, written_as=_P),
    ImageFormat.JXL: FormatTraits(media_type="image/jxl", alpha=True, written_as=_J),
    # Pages are paper, and as often photographs as text.
    ImageFormat.PDF: FormatTraits(media_type="application/pdf", alpha=False, written_as=_J, paged=True),
}

WRITABLE = frozenset({ImageFormat.JPEG, ImageFormat.PNG, ImageFormat.WEBP, ImageFormat.AVIF, ImageFormat.GIF})
"""What the encoder makes."""

NEGOTIATED = frozenset({ImageFormat.WEBP, ImageFormat.AVIF})
"""What is sent to those alone who name it in `Accept`, unless a URL forces it. The rest of `WRITABLE` every browser
shows.
"""
