"""From pixels to the bytes of a file. Only pixels are written: no EXIF, no place, no profile (sRGB is implied)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pellucid.errors import RenderError
from pellucid.formats import FORMATS, ImageFormat
from pellucid.image import vips
from pellucid.image.effort import effort_at_most
from pellucid.image.jpeg_save import save_jpeg
from pellucid.image.png import save_png
from pellucid.image.quality import DEFAULT_QUALITY, DEFAULT_TRANSPARENT_QUALITY, own_quality
from pellucid.image.smallest import Written, save_opaque_webp, save_smallest
from pellucid.image.vips import VipsImage
from pellucid.image.webp import save_with_alpha

_GIF_EFFORT, _GIF_DITHER = 1, 1.0
"""libimagequant looks for colours: half a megapixel of photograph takes 130 to 170 ms at effort 1, above 800 at 7, for
up to 2 % fewer bytes. Dithered it has 59 points of SSIMULACRA2, else 52.
"""


def encode(image: VipsImage, *, format: ImageFormat, quality: int | None) -> bytes:  # noqa: A002 - the word of the field
    """`image` as a file of that format, see `write`."""
    return write(image, format=format, quality=quality).body


def write(
    image: VipsImage,
    *,
    format: ImageFormat,  # noqa: A002
    quality: int | None,
    or_jpeg: bool = False,
) -> Written:
    """`image` (uchar sRGB, 3 bands or 4 with straight alpha) as a file. `quality` is 1..100, that of a JPEG that looks
    as good, None = the default. `or_jpeg`: in place of an opaque WebP a JPEG, where that is smaller.

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
        if quality is None:
            quality = DEFAULT_QUALITY if image.bands == 3 else DEFAULT_TRANSPARENT_QUALITY
        own = own_quality(quality, format)
        if or_jpeg and format is ImageFormat.WEBP and image.bands == 3:
            return save_smallest(image, quality=own, jpeg_quality=quality)
        return Written(format=format, body=encoder(image, own))


def drop_opaque_alpha(image: VipsImage) -> VipsImage:
    """`image` without its alpha band when no pixel of it is transparent."""
    return image.extract_band(0, n=3) if image.bands == 4 and image[3].min() == 255 else image


def _jpeg(image: VipsImage, quality: int) -> bytes:
    return save_jpeg(image, quality=quality)


def _png(image: VipsImage, quality: int) -> bytes:
    del quality
    return save_png(image)


def _webp(image: VipsImage, quality: int) -> bytes:
    if image.bands == 4:
        effort = effort_at_most(ImageFormat.WEBP, pixels=image.width * image.height, transparent=True)
        return save_with_alpha(image, quality=quality, effort=effort)
    return save_opaque_webp(image, quality=quality)


def _avif(image: VipsImage, quality: int) -> bytes:
    """8 bits; chroma is halved below AVIF's quality 90. libheif chooses libaom's `tune=iq` by itself, which is better
    than `ssim` and `psnr` at the same bytes. 10 bits would take 1.4 times the time for half a point to one point of
    SSIMULACRA2, whole chroma 1.1 times for 0.8. The wheel has no other encoder than libaom.
    """
    effort = effort_at_most(ImageFormat.AVIF, pixels=image.width * image.height, transparent=image.bands == 4)
    return image.heifsave_buffer(compression="av1", Q=quality, effort=effort, subsample_mode="auto", keep="none")


def _gif(image: VipsImage, quality: int) -> bytes:
    """256 colours; what is transparent by half or more is so altogether, all else not at all."""
    del quality
    return image.gifsave_buffer(effort=_GIF_EFFORT, dither=_GIF_DITHER, keep="none")


_ENCODERS: Mapping[ImageFormat, Callable[[VipsImage, int], bytes]] = {
    ImageFormat.JPEG: _jpeg,
    ImageFormat.PNG: _png,
    ImageFormat.WEBP: _webp,
    ImageFormat.AVIF: _avif,
    ImageFormat.GIF: _gif,
}
