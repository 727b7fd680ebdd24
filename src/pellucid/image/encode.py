"""From pixels to the bytes of a file. Only pixels are written: no EXIF, no place, no profile (sRGB is implied)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pellucid.errors import RenderError
from pellucid.formats import FORMATS, ImageFormat
from pellucid.image import vips
from pellucid.image.png import save_png
from pellucid.image.vips import VipsImage
from pellucid.image.webp import save_with_alpha

DEFAULT_QUALITY = 82
"""JPEG and WebP, 1..100. PNG has no quality."""

_SMALL_PIXELS = 300_000
"""WebP up to this size is written at effort 2, larger ones at 4."""


def encode(image: VipsImage, *, format: ImageFormat, quality: int | None) -> bytes:  # noqa: A002 - the word of the field
    """`image` (uchar sRGB, 3 bands or 4 with straight alpha) as a file. `quality` is 1..100, None = the default.

    An alpha channel that is opaque everywhere is dropped. Raises `RenderError` for a format that is not written, for
    transparent pixels in a format without alpha (flattening is the caller's choice of colour) and for a picture larger
    than the format can hold.
    """
    encoder = _ENCODERS.get(format)
    if encoder is None:
        raise RenderError(f"{format.upper()} is not written")
    side = max(image.width, image.height)
    if side > FORMATS[format].largest_side:
        raise RenderError(
            f"{format.upper()} holds {FORMATS[format].largest_side} pixels a side at most, this picture has {side}"
        )
    with vips.failing_as(RenderError, f"the picture could not be written as {format.upper()}"):
        image = drop_opaque_alpha(image)
        if image.bands == 4 and not FORMATS[format].alpha:
            raise RenderError(f"{format.upper()} cannot hold transparent pixels")
        return encoder(image, DEFAULT_QUALITY if quality is None else quality)


def drop_opaque_alpha(image: VipsImage) -> VipsImage:
    """`image` without its alpha band when no pixel of it is transparent."""
    return image.extract_band(0, n=3) if image.bands == 4 and image[3].min() == 255 else image


# Times and sizes: one core of a shared Zen 4 server, a photograph at 400 x 267 / 1600 x 1067 px.


def _jpeg(image: VipsImage, quality: int) -> bytes:
    # Plain: 1.0 / 6 ms, 183 kB at 1600. Optimal Huffman tables: 1.6 / 16 ms, 179 kB. Progressive as well: 2.4 / 27 ms,
    # 176 kB, and a page shows something early. Trellis quantisation: 6.7 / 70 ms for 163 kB, too slow while a browser
    # waits. Chroma is halved below quality 90 and whole from there on ("auto").
    return image.jpegsave_buffer(Q=quality, optimize_coding=True, interlace=True, subsample_mode="auto", keep="none")


def _png(image: VipsImage, quality: int) -> bytes:
    del quality
    return save_png(image)


def webp_effort(image: VipsImage) -> int:
    """How hard libwebp tries, 0..6: less where encoding is a large part of a rendition and few bytes are at stake.

    11 photos, 400 px: effort 2 takes 5.0 ms of CPU for 23.1 kB with an SSIM of 0.9701, effort 4 10.4 ms for 22.5 kB and
    0.9723. 5 photos, 1600 px: 44 ms, 107 kB, 0.9610 and 114 ms, 102 kB, 0.9644. Effort 3 is as slow as 4; sharp chroma
    ("smart_subsample") doubles the time and adds bytes.
    """
    return 2 if image.width * image.height <= _SMALL_PIXELS else 4


def _webp(image: VipsImage, quality: int) -> bytes:
    if image.bands == 4:
        return save_with_alpha(image, quality=quality, effort=webp_effort(image))
    return image.webpsave_buffer(Q=quality, effort=webp_effort(image), keep="none")


_ENCODERS: Mapping[ImageFormat, Callable[[VipsImage, int], bytes]] = {
    ImageFormat.JPEG: _jpeg,
    ImageFormat.PNG: _png,
    ImageFormat.WEBP: _webp,
}
