"""Opaque pictures as WebP, or as what is smaller."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.formats import ImageFormat
from pellucid.image.effort import effort_at_most
from pellucid.image.flat import is_flat
from pellucid.image.jpeg_save import save_jpeg
from pellucid.image.vips import VipsImage

_FLAT_EFFORT = 2
"""The most for a flat graphic, which is written twice."""

_LOSSLESS_QUALITY, _LOSSLESS_EFFORT = 30, 2
"""Of a flat graphic 40 ms a megapixel; a photograph would take 320. libwebp's quality here is how long it looks."""

_PLAIN_IS_LARGER = 1.12
"""How much larger a plain JPEG is than a progressive one, at most: 1.02 to 1.10. Of flat graphics up to 1.4, but there
WebP is much smaller than either.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """`format` is what `body` is."""

    format: ImageFormat
    body: bytes


def save_opaque_webp(image: VipsImage, *, quality: int) -> bytes:
    """`image` (uchar sRGB, 3 bands) as WebP of WebP's own `quality`; a flat graphic lossless where that is no larger:
    of 8 real ones .18 to 1.15 times the lossy file, small blurry ones up to 2.6 times.
    """
    image = image.copy_memory()
    effort = effort_at_most(ImageFormat.WEBP, pixels=image.width * image.height, transparent=False)
    if not is_flat(image):
        return image.webpsave_buffer(Q=quality, effort=effort, keep="none")
    lossy = image.webpsave_buffer(Q=quality, effort=min(effort, _FLAT_EFFORT), keep="none")
    exact = image.webpsave_buffer(lossless=True, Q=_LOSSLESS_QUALITY, effort=_LOSSLESS_EFFORT, keep="none")
    return min(exact, lossy, key=len)


def save_smallest(image: VipsImage, *, quality: int, jpeg_quality: int) -> Written:
    """`image` (uchar sRGB, 3 bands) as WebP of `quality`, or as JPEG of `jpeg_quality` where that is smaller.

    WebP is written, then a plain JPEG (3 ms a megapixel). Only where that one is not clearly larger is the real JPEG
    (15 ms) written and compared.
    """
    image = image.copy_memory()
    webp = save_opaque_webp(image, quality=quality)
    plain = save_jpeg(image, quality=jpeg_quality, effort=0)
    if len(webp) * _PLAIN_IS_LARGER > len(plain):
        jpeg = save_jpeg(image, quality=jpeg_quality)
        if len(jpeg) < len(webp):
            return Written(format=ImageFormat.JPEG, body=jpeg)
    return Written(format=ImageFormat.WEBP, body=webp)
