"""From a file's bytes to upright sRGB pixels of the size that is wanted.

Only the first frame is read, and of a document the page that its facts name. Whatever the file holds (CMYK, 16 bits,
grey, palette, a wide-gamut profile, any EXIF orientation), what comes out is sRGB with 8 bits a channel, upright, 3
bands or 4 with straight alpha.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from pellucid.errors import DamagedImageError
from pellucid.formats import ImageFormat
from pellucid.image import footprint, heif, jpeg, jxl, pdf, pillow, png_end, structure, vips
from pellucid.image.box import Box
from pellucid.image.colour.described import DescribedImage, describe, needs_all_bits, profile_needs_all_bits
from pellucid.image.facts import ImageFacts
from pellucid.image.gif import covered_part
from pellucid.image.pillow import LEFT_TO_RESAMPLE
from pellucid.image.probe import DEFAULT_MAX_DECODE_BYTES, LOADERS
from pellucid.image.svg import prepare as svg
from pellucid.image.tiff.pixels import open_picture
from pellucid.image.vips import FailOn, VipsImage

if TYPE_CHECKING:
    pass

PixelsT = TypeVar("PixelsT")

Layers = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8] | None]
"""Colours (height, width, 3) over white, and the alpha (height, width), None where there is none: uint8."""

OnDamage = Callable[[], object]
"""Called when a file turns out to be damaged, if possible before what is there of it is decoded. What it raises is
raised.
"""

_JPEG_SHRINKS = (8, 4, 2)

_FEW_PIXELS = 16

_STRICT: dict[ImageFormat, FailOn] = {ImageFormat.TIFF: "error", ImageFormat.GIF: "warning"}
"""How a file is decoded that is to be sound, where that is not `truncated`: at the first level at which the format's
decoder fails for missing pixels, and not yet for what is only odd, such as unknown tags.
"""

_SAYS_DAMAGED = re.compile(r"VipsJpeg: (premature end|Corrupt JPEG data: (?!\d\d? extraneous))|tiff2vips: ")
"""What libjpeg and libtiff say of corrupt pixels while they go on. Up to 99 bytes too many before a marker are what
some cameras write; more of them are left when pixels before them are corrupt.
"""


class Damage:
    """Whether there was any: its `note` is an `OnDamage`."""

    def __init__(self) -> None:
        self.noted = False

    def note(self) -> None:
        self.noted = True


def ignore_damage() -> None:
    """An `OnDamage` of who shows what is there."""


def decode_scaled(
    data: bytes,
    facts: ImageFacts,
    *,
    width: int,
    height: int,
    crop: Box | None = None,
    max_bytes: int = DEFAULT_MAX_DECODE_BYTES,
    on_damage: OnDamage = ignore_damage,
) -> VipsImage:
    """The picture at exactly `width` x `height`, or the region `crop` of it, decoded into memory.

    `crop` is in pixels of the scaled picture; only its pixels are computed. Colours are premultiplied while resampling,
    so hidden colours of transparent pixels do not bleed; at the picture's own size they pass through untouched. A file
    that is damaged or ends early gives what is there, and `on_damage` is called.

    Raises `ImageLimitError` when decoding would take more than `max_bytes` of memory, `DamagedImageError` when nothing
    can be decoded, `ImageError` for colours that are not supported.
    """
    wanted = _Wanted(width=width, height=height, crop=crop, max_bytes=max_bytes, on_damage=on_damage)
    return _decode_tolerantly(data, facts, wanted, lambda image: image.copy_memory(), _is_flat)


def decode_full(
    data: bytes,
    facts: ImageFacts,
    *,
    max_bytes: int = DEFAULT_MAX_DECODE_BYTES,
    on_damage: OnDamage = ignore_damage,
) -> VipsImage:
    """The picture at its own size; otherwise as `decode_scaled`."""
    width, height = facts.width, facts.height
    return decode_scaled(data, facts, width=width, height=height, max_bytes=max_bytes, on_damage=on_damage)


def decode_layers(
    data: bytes,
    facts: ImageFacts,
    *,
    width: int,
    height: int,
    max_bytes: int = DEFAULT_MAX_DECODE_BYTES,
    on_damage: OnDamage = ignore_damage,
) -> Layers:
    """The picture for a model: `Layers` in sRGB. Otherwise as `decode_scaled`.

    Both take together what pixels with an alpha take, and come from one run of the decoder.
    """
    wanted = _Wanted(width=width, height=height, crop=None, max_bytes=max_bytes, on_damage=on_damage)

    def is_flat(layers: Layers) -> bool:
        return _is_flat(vips.from_array(layers[0]))

    # Straight into arrays: by way of libvips' memory they would be there twice.
    return _decode_tolerantly(data, facts, wanted, _layers, is_flat)


_STRIP_ROWS = 64


def _layers(image: VipsImage) -> Layers:
    if image.bands != 4:
        return vips.to_array(image), None
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    alpha = np.empty((image.height, image.width), np.uint8)
    for number, strip in enumerate(vips.strips(image, _STRIP_ROWS)):
        part = slice(number * _STRIP_ROWS, number * _STRIP_ROWS + len(strip))
        alpha[part] = strip[..., 3]
        if alpha[part].min() == 255:
            # Most files with an alpha channel are opaque: a third of what flattening takes.
            for channel in range(3):
                rgb[part, :, channel] = strip[..., channel]
        else:
            rgb[part] = vips.to_array(vips.from_array(strip).flatten(background=(255, 255, 255)))
    return rgb, alpha


def _decode_tolerantly(
    data: bytes,
    facts: ImageFacts,
    wanted: _Wanted,
    compute: Callable[[VipsImage], PixelsT],
    is_flat: Callable[[PixelsT], bool],
) -> PixelsT:
    """The pixels as `compute` makes them; of a file that is damaged or ends early, what is there."""
    strict = None if facts.damaged else _decode_strictly(data, facts, wanted, compute)
    if strict is not None and strict[1]:
        return strict[0]
    wanted.on_damage()
    if strict is not None:
        pixels = strict[0]
    else:
        with vips.listening():  # not to be heard by others
            # Twice the work, but only for damaged files.
            pixels = _decode(data, facts, wanted, compute, fail_on="none")
    if is_flat(pixels):
        # libvips gives a file without any pixel as one flat colour.
        raise DamagedImageError(f"the {facts.format.upper()} file is damaged or ends before its first pixel")
    return pixels


def _decode_strictly(
    data: bytes, facts: ImageFacts, wanted: _Wanted, compute: Callable[[VipsImage], PixelsT]
) -> tuple[PixelsT, bool] | None:
    """The pixels, and whether the file is sound; None where its decoder gives up because it is not."""
    for fail_on, attempt in _strictly(data, facts.format):
        try:
            with vips.listening() as heard:
                pixels = _decode(attempt, facts, wanted, compute, fail_on=fail_on)
                return pixels, not _SAYS_DAMAGED.search(heard())
        except DamagedImageError:
            if facts.format not in LOADERS and facts.format is not ImageFormat.JXL:
                raise
    return None


def _strictly(data: bytes, format_: ImageFormat) -> Iterator[tuple[FailOn, bytes]]:
    """How to decode a sound file, one after the other."""
    fail_on = _STRICT.get(format_, "truncated")
    yield fail_on, data
    alone = structure.first_frame(data) if format_ is ImageFormat.GIF else None
    if alone is not None:
        yield fail_on, alone  # damage in later frames does not matter


def _is_flat(image: VipsImage) -> bool:
    """Whether it has one colour everywhere; a few pixels may well have."""
    few = image.width * image.height < _FEW_PIXELS
    return not few and all(image[band].min() == image[band].max() for band in range(image.bands))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    width: int
    height: int
    crop: Box | None
    max_bytes: int
    on_damage: OnDamage

    def result_bytes(self, *, has_alpha: bool) -> int:
        """Of the pixels that come out."""
        width, height = (self.width, self.height) if self.crop is None else (self.crop.width, self.crop.height)
        return (4 if has_alpha else 3) * width * height


def _decode(
    data: bytes, facts: ImageFacts, wanted: _Wanted, compute: Callable[[VipsImage], PixelsT], *, fail_on: FailOn
) -> PixelsT:
    failure = f"the {facts.format.upper()} picture cannot be decoded: its file is damaged or cut short"
    if facts.format is ImageFormat.PDF:
        return compute(_drawn(data, facts, wanted))
    with vips.failing_as(DamagedImageError, failure):
        described = _open(data, facts, wanted, fail_on=fail_on)
        image = _to_rgb(described.to_srgb_size(width=wanted.width, height=wanted.height))
        crop = wanted.crop
        if crop is not None:
            image = image.crop(crop.left, crop.top, crop.width, crop.height)
        return compute(image)


def _drawn(data: bytes, facts: ImageFacts, wanted: _Wanted) -> VipsImage:
    """A page of a document at the size that is wanted, never enlarged from a bitmap. Raises ImageLimitError."""
    needed_bytes = pdf.needed_bytes(result_bytes=wanted.result_bytes(has_alpha=False))
    footprint.check_memory(needed_bytes, max_bytes=wanted.max_bytes)
    return pdf.read_pixels(data, width=wanted.width, height=wanted.height, page=facts.page, crop=wanted.crop)


def _open(data: bytes, facts: ImageFacts, wanted: _Wanted, *, fail_on: FailOn) -> DescribedImage:
    """The picture, not yet decoded where libvips decodes. Raises ImageLimitError."""
    format_ = facts.format
    result_bytes = wanted.result_bytes(has_alpha=facts.has_alpha)
    scale = max(wanted.width / facts.width, wanted.height / facts.height)
    if format_ is ImageFormat.HEIC:
        needed_bytes = footprint.of_heif(
            width=facts.width, height=facts.height, has_alpha=facts.has_alpha, result_bytes=result_bytes
        )
        footprint.check_memory(needed_bytes, max_bytes=wanted.max_bytes)
        all_bits = needs_all_bits(data, format_) and wanted.max_bytes >= footprint.of_heif(
            width=facts.width, height=facts.height, has_alpha=facts.has_alpha, result_bytes=result_bytes, all_bits=True
        )
        return describe(heif.read_pixels(data, all_bits=all_bits), data, format_)
    if format_ is ImageFormat.JXL:
        return describe(_open_jxl(data, facts, wanted, fail_on=fail_on), data, format_)
    if format_ is ImageFormat.TIFF:
        image = _open_tiff(data, facts, wanted, fail_on=fail_on)
        return describe(image, data, format_)
    if format_ is ImageFormat.ICO:
        data = pillow.largest_icon(data)
        format_ = ImageFormat.PNG if data.startswith(b"\x89PNG") else format_
    if format_ not in LOADERS:
        image = pillow.read_pixels(data, format_, scale=scale, result_bytes=result_bytes, max_bytes=wanted.max_bytes)
        return describe(image, data, format_)
    options: dict[str, float] = {}
    if format_ is ImageFormat.SVG:
        data = svg.drawable(data)
        options["scale"] = scale  # drawn at the size that is wanted, never enlarged from a bitmap
    elif format_ is ImageFormat.JPEG:
        options["shrink"] = _jpeg_shrink(scale)
        data = jpeg.completed(data)
    elif format_ is ImageFormat.PNG:
        data = png_end.completed(data)
    image = vips.load(LOADERS[format_], data, fail_on=fail_on, **options)
    needed_bytes = footprint.of_vips(image, data, format_, result_bytes=result_bytes)
    footprint.check_memory(needed_bytes, max_bytes=wanted.max_bytes)
    if format_ is ImageFormat.GIF and not image.hasalpha():
        covered = covered_part(data, width=image.width, height=image.height)
        image = vips.transparent_outside(image, covered) if covered else image
    return describe(image, data, format_)


def _open_jxl(data: bytes, facts: ImageFacts, wanted: _Wanted, *, fail_on: FailOn) -> VipsImage:
    info = jxl.read_info(data)
    result_bytes = wanted.result_bytes(has_alpha=facts.has_alpha)
    footprint.check_memory(info.needed_bytes(result_bytes=result_bytes), max_bytes=wanted.max_bytes)
    all_bits = info.bits > 8 and profile_needs_all_bits(info.profile)
    all_bits &= info.needed_bytes(result_bytes=result_bytes, all_bits=True) <= wanted.max_bytes
    return jxl.read_pixels(data, all_bits=all_bits, tolerant=fail_on == "none")


def _open_tiff(data: bytes, facts: ImageFacts, wanted: _Wanted, *, fail_on: FailOn) -> VipsImage:
    picture = open_picture(data, facts.page)
    image = picture.load(fail_on=fail_on)
    result_bytes = wanted.result_bytes(has_alpha=facts.has_alpha)
    needed_bytes = picture.copied_bytes + footprint.of_tiff(image, picture.directory, result_bytes=result_bytes)
    footprint.check_memory(needed_bytes, max_bytes=wanted.max_bytes)
    return picture.convert(image, fail_on=fail_on)


def _jpeg_shrink(scale: float) -> int:
    """How much libjpeg may shrink while decoding; the rest is left to the good resampler."""
    return next((shrink for shrink in _JPEG_SHRINKS if scale * shrink * LEFT_TO_RESAMPLE <= 1), 1)


def _to_rgb(image: VipsImage) -> VipsImage:
    """3 or 4 bands: grey becomes three equal channels, bands beyond the alpha are dropped."""
    if image.bands < 3:
        image = image.colourspace("srgb")
    return image.extract_band(0, n=4) if image.bands > 4 else image
