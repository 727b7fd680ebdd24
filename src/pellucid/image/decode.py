"""From a file's bytes to upright sRGB pixels of the size that is wanted.

Only the first frame or page is read. Whatever the file holds (CMYK, 16 bits, grey, palette, a wide-gamut profile, any
EXIF orientation), what comes out is sRGB with 8 bits a channel, upright, 3 bands or 4 with straight alpha.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.errors import ImageError
from pellucid.formats import ImageFormat
from pellucid.image import heif, pillow, vips
from pellucid.image.box import Box
from pellucid.image.facts import ImageFacts
from pellucid.image.probe import LOADERS
from pellucid.image.vips import FailOn, VipsImage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_JPEG_SHRINKS = (8, 4, 2)

_LEFT_TO_RESAMPLE = 1.25
"""Besides what libjpeg shrinks; libvips leaves 2 at least. Photos of 12 megapixels, SSIM with the whole photo
resampled, and CPU: at 400 px a shrink of 8 gives 0.990 and takes 28 ms, one of 4 gives 0.996 and takes 34; at 1600 px
a shrink of 2 gives 0.988 and takes 44, none takes 69. With hardly anything left (1.05) it is 0.980 to 0.989. What WebP
loses comes on top, 0.970 at 400 px.
"""


def decode_scaled(data: bytes, facts: ImageFacts, *, width: int, height: int, crop: Box | None = None) -> VipsImage:
    """The picture at exactly `width` x `height`, or the region `crop` of it, decoded into memory.

    `crop` is in pixels of the scaled picture; only its pixels are computed. Colours are premultiplied while resampling,
    so hidden colours of transparent pixels do not bleed; at the picture's own size they pass through untouched. A file
    that ends early gives what is there.

    Raises `ImageError` when nothing can be decoded.
    """
    try:
        return _decode(data, facts, width=width, height=height, crop=crop, fail_on="truncated")
    except ImageError:
        if facts.format not in LOADERS:
            raise
    # Twice the work, but only for damaged files.
    image = _decode(data, facts, width=width, height=height, crop=crop, fail_on="none")
    if all(image[band].min() == image[band].max() for band in range(image.bands)):
        # libvips gives a file without any pixel as one flat colour.
        raise ImageError(f"the {facts.format.upper()} file is damaged or ends before its first pixel")
    return image


def decode_full(data: bytes, facts: ImageFacts) -> VipsImage:
    """The picture at its own size; otherwise as `decode_scaled`."""
    return decode_scaled(data, facts, width=facts.width, height=facts.height)


def decode_rgb_array(data: bytes, facts: ImageFacts, *, width: int, height: int) -> NDArray[np.uint8]:
    """The picture for a model: (height, width, 3) uint8 sRGB, transparency flattened over white.

    Raises `ImageError` when nothing can be decoded.
    """
    image = decode_scaled(data, facts, width=width, height=height)
    return vips.to_array(image.flatten(background=(255, 255, 255)) if image.bands == 4 else image)


def _decode(data: bytes, facts: ImageFacts, *, width: int, height: int, crop: Box | None, fail_on: FailOn) -> VipsImage:
    with vips.failing_as(ImageError, f"the {facts.format.upper()} picture cannot be decoded"):
        image = _open(data, facts, width=width, height=height, fail_on=fail_on)
        image = _to_rgb(vips.to_srgb_size(image, width=width, height=height))
        if crop is not None:
            image = image.crop(crop.left, crop.top, crop.width, crop.height)
        return image.copy_memory()


def _open(data: bytes, facts: ImageFacts, *, width: int, height: int, fail_on: FailOn) -> VipsImage:
    format_ = facts.format
    if format_ is ImageFormat.HEIC:
        return heif.read_pixels(data)
    if format_ is ImageFormat.ICO:
        data = pillow.largest_icon(data)
        format_ = ImageFormat.PNG if data.startswith(b"\x89PNG") else format_
    if format_ not in LOADERS:
        return pillow.read_pixels(data, format_)
    scale = max(width / facts.width, height / facts.height)
    if format_ is ImageFormat.SVG:
        # Drawn at the size that is wanted, never enlarged from a bitmap.
        return vips.load(LOADERS[format_], data, fail_on=fail_on, scale=scale)
    if format_ is ImageFormat.JPEG:
        return vips.load(LOADERS[format_], data, fail_on=fail_on, shrink=_jpeg_shrink(scale))
    return vips.load(LOADERS[format_], data, fail_on=fail_on)


def _jpeg_shrink(scale: float) -> int:
    """How much libjpeg may shrink while decoding; the rest is left to the good resampler."""
    return next((shrink for shrink in _JPEG_SHRINKS if scale * shrink * _LEFT_TO_RESAMPLE <= 1), 1)


def _to_rgb(image: VipsImage) -> VipsImage:
    """3 or 4 bands: grey becomes three equal channels, bands beyond the alpha are dropped."""
    if image.bands < 3:
        image = image.colourspace("srgb")
    return image.extract_band(0, n=4) if image.bands > 4 else image
