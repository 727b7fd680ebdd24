"""A picture's facts from its header, and the limit on pixels, before anything is decoded."""

from __future__ import annotations

from dataclasses import replace

from pellucid.errors import DamagedImageError, ImageError
from pellucid.formats import ImageFormat
from pellucid.image import footprint, heif, jxl, pdf, pillow, vips
from pellucid.image.facts import ImageFacts
from pellucid.image.gif import covered_part
from pellucid.image.header import Header, check_size
from pellucid.image.sniff import sniff
from pellucid.image.svg import prepare as svg
from pellucid.image.tiff.directories import TiffFile
from pellucid.image.tiff.pixels import open_picture
from pellucid.image.timing import read_timing
from pellucid.image.vips import VipsImage

LOADERS: dict[ImageFormat, str] = {
    ImageFormat.JPEG: "jpegload_buffer",
    ImageFormat.PNG: "pngload_buffer",
    ImageFormat.WEBP: "webpload_buffer",
    ImageFormat.AVIF: "heifload_buffer",
    ImageFormat.GIF: "gifload_buffer",
    ImageFormat.TIFF: "tiffload_buffer",
    ImageFormat.SVG: "svgload_buffer",
}
"""The libvips loader of each format that libvips reads: the content chooses it, libvips never guesses."""


DEFAULT_MAX_DECODE_BYTES = 768 << 20


def probe(data: bytes, *, max_pixels: int, max_bytes: int = DEFAULT_MAX_DECODE_BYTES, page: int = 1) -> ImageFacts:
    """The facts of the picture in `data`, from its header alone; of a document those of its `page`, from 1.

    Raises `UnsupportedFormatError` (415 in HTTP words) for what is no known picture, `ImageLimitError` when the picture
    has more than `max_pixels` or takes more than `max_bytes` of memory to be decoded at whatever size, `ImageError`
    when its header cannot be read, or there is no such page.
    """
    format_ = sniff(data)
    header = _read_header(data, format_, page)
    check_size(width=header.width, height=header.height, max_pixels=max_pixels)
    footprint.check_memory(header.least_decode_bytes, max_bytes=max_bytes)
    return ImageFacts(
        format=format_,
        width=header.width,
        height=header.height,
        has_alpha=header.has_alpha,
        pages=header.pages,
        page=page,
    )


def _read_header(data: bytes, format_: ImageFormat, page: int) -> Header:
    if format_ is ImageFormat.PDF:
        return pdf.read_header(data, page=page)
    if page != 1 and format_ is not ImageFormat.TIFF:
        raise ImageError(f"page {page} is asked for, and {format_.upper()} files have no pages")
    if format_ is ImageFormat.HEIC:
        return heif.read_header(data)
    if format_ is ImageFormat.JXL:
        return jxl.read_header(data)
    if format_ is ImageFormat.ICO:
        icon = pillow.largest_icon(data)
        if icon.startswith(b"\x89PNG"):
            return _read_vips_header(icon, ImageFormat.PNG)
        return pillow.read_header(icon, ImageFormat.ICO)
    if format_ is ImageFormat.TIFF:
        return _read_tiff_header(data, page)
    if format_ is ImageFormat.SVG:
        data = svg.sized(data)
    if format_ in LOADERS:
        return _read_vips_header(data, format_)
    return pillow.read_header(data, format_)


def _read_tiff_header(data: bytes, page: int) -> Header:
    picture = open_picture(data, page)
    with vips.failing_as(DamagedImageError, "the TIFF file's header cannot be read: it is damaged or cut short"):
        image = picture.load(fail_on="none")
        least_bytes = picture.copied_bytes + footprint.of_tiff(image, picture.directory, result_bytes=0)
        header = _header(image, has_alpha=picture.has_alpha, least_bytes=least_bytes)
        return replace(header, pages=TiffFile(data).count_pages())


def _read_vips_header(data: bytes, format_: ImageFormat) -> Header:
    failure = f"the {format_.upper()} file's header cannot be read: it is damaged or cut short"
    with vips.failing_as(DamagedImageError, failure):
        image = vips.load(LOADERS[format_], data)
        least_bytes = footprint.of_vips(image, data, format_, result_bytes=0)
        has_alpha = bool(image.hasalpha())
        if format_ is ImageFormat.GIF:
            has_alpha |= covered_part(data, width=image.width, height=image.height) is not None
        header = _header(image, has_alpha=has_alpha, least_bytes=least_bytes)
    return replace(header, pages=_count_avif_frames(data)) if format_ is ImageFormat.AVIF else header


def _count_avif_frames(data: bytes) -> int:
    """Of a sequence; libvips counts its still picture alone."""
    try:
        return read_timing(data, ImageFormat.AVIF).frames
    except ImageError:
        return 1


def _header(image: VipsImage, *, has_alpha: bool, least_bytes: int) -> Header:
    pages = _integer(image, "n-pages", default=1)
    # 5 to 8 lay the picture on its side; anything outside 1..8 is no orientation.
    sideways = 5 <= _integer(image, "orientation", default=1) <= 8
    width, height = (image.height, image.width) if sideways else (image.width, image.height)
    return Header(width=width, height=height, has_alpha=has_alpha, pages=max(1, pages), least_decode_bytes=least_bytes)


def _integer(image: VipsImage, name: str, *, default: int) -> int:
    if not image.get_typeof(name):
        return default
    value = image.get(name)
    if not isinstance(value, int):
        raise ImageError(f"the picture's {name} is no number")
    return value
