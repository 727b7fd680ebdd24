"""How much memory decoding will take, from a file's header, before it is decoded.

What a decoder needs depends less on the size of the file than on how it was written: 1,168 bytes of JPEG 2000 take 1.9
GB. Bytes a pixel of the origin at the peak, at 400 px and at the picture's own size, the growth of a fresh process's
resident memory (`bench/decode_memory.py`, 100 megapixels; docs/limits.md has every kind):

    JPEG   baseline 0.1 / 3.2; with several scans all coefficients at once: 4:2:0 3.1 / 6.2, 4:4:4 6.1 / 9.2,
           CMYK 8.2 / 11.4
    PNG    0.6 / 3.2, 16 bits with alpha 1.1 / 4.6; interlaced as a whole: 3.4 / 6.1, 16 bits with alpha 8.7 / 12.1
    WebP   8.2 / 8.1, with alpha 8.4 / 8.5      GIF   4.6 / 7.2, with alpha 4.8 / 8.3
    AVIF   4:2:0 15.3, with alpha 16.6; 4:4:4 18.5; more than 8 bits 18.4, with alpha 24.8
    HEIC   6.0, with alpha 8.0
    TIFF   0.6 / 3.2, floats 1.1 / 3.7; planes in one strip 4.4 / 7.0
    BMP    4.6 / 6.0 in strips; 11.0 as Pillow converts
    JP2    RGB 19.3, RGBA 24.4, in tiles 7.2, grey 7.2; a quarter of that for each halving that is left out
    SVG    what is drawn, 4 bytes a pixel of the result; groups and filters cannot be told from the header
    JXL    RGB 5.6, RGBA 36, lossless 3.2 to 18 and, where it has a palette or was written in steps, 39 (`jxl.JxlInfo`)
    PDF    6 bytes a pixel of the result and 16 MiB; what the page holds cannot be told from the header

What is left after the estimate (an SVG's filters, a decoder's bug) meets the bound on the process's memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pellucid.errors import ImageError, ImageLimitError
from pellucid.formats import ImageFormat
from pellucid.image import jpeg
from pellucid.image.tiff.directories import Directory, Tag
from pellucid.image.vips import VipsImage

_MIB = 1 << 20

_LINES = 2000
"""Lines that libvips keeps while it shrinks a picture that comes line by line."""

_SAMPLE_BYTES = {
    "uchar": 1,
    "char": 1,
    "ushort": 2,
    "short": 2,
    "uint": 4,
    "int": 4,
    "float": 4,
    "complex": 8,
    "double": 8,
}


def check_memory(needed_bytes: int, *, max_bytes: int) -> None:
    """Raise ImageLimitError when decoding takes more than `max_bytes`."""
    if needed_bytes > max_bytes:
        raise ImageLimitError(
            f"decoding this picture would take about {needed_bytes // _MIB} MiB of memory, the limit is "
            f"{max_bytes // _MIB} MiB"
        )


def of_vips(image: VipsImage, data: bytes, format_: ImageFormat, *, result_bytes: int) -> int:
    """For `image`, which libvips has opened (a JPEG perhaps shrunk) and not yet decoded, to `result_bytes` of
    pixels.
    """
    pixels = image.width * image.height
    pixel_bytes = _pixel_bytes(image)
    lines = image.width * min(image.height, _LINES) * pixel_bytes
    result_bytes = _with_turning(image, result_bytes)
    match format_:
        case ImageFormat.JPEG:
            kept = _jpeg_coefficients(data) if _is_set(image, "jpeg-multiscan") else 0
        case ImageFormat.PNG:
            kept = pixels * pixel_bytes if _is_set(image, "interlaced") else 0
        case ImageFormat.GIF:
            kept = 4 * pixels
        case ImageFormat.WEBP:
            return int(max(8.5 * pixels, 4.5 * pixels + result_bytes))
        case ImageFormat.AVIF:
            return int(max(_avif_pixel_bytes(image, data) * pixels, 6 * pixels + result_bytes))
        case _:
            kept = 0
            lines = result_bytes // 2  # an SVG: what it is drawn into, tile by tile
    return kept + lines + result_bytes


def of_tiff(image: VipsImage, directory: Directory, *, result_bytes: int) -> int:
    """As `of_vips`, for the picture of a TIFF file."""
    pixel_bytes = _pixel_bytes(image)
    lines = image.width * min(image.height, _LINES) * pixel_bytes
    return _tiff_block_bytes(image, directory, pixel_bytes) + lines + _with_turning(image, result_bytes)


def _pixel_bytes(image: VipsImage) -> int:
    return image.bands * _SAMPLE_BYTES.get(image.format, 8)


def _with_turning(image: VipsImage, result_bytes: int) -> int:
    """A picture that is to be turned is turned once it has its size."""
    turned = image.get_typeof("orientation") and image.get("orientation") not in (0, 1)
    return 2 * result_bytes if turned else result_bytes


def _is_set(image: VipsImage, name: str) -> bool:
    return bool(image.get_typeof(name) and image.get(name))


def of_heif(*, width: int, height: int, has_alpha: bool, result_bytes: int, all_bits: bool = False) -> int:
    """For a HEIC file, whatever size is wanted; with more than 8 bits a channel if `all_bits`."""
    pixels = width * height
    if all_bits:
        return int((22 if has_alpha else 16.5) * pixels + result_bytes)
    bands = 4 if has_alpha else 3
    return int(max((8.1 if has_alpha else 6.1) * pixels, bands * pixels + result_bytes))


def of_pillow(*, pixels: int, pixel_bytes: int, bands: int, result_bytes: int) -> int:
    """For `pixels` that Pillow holds at `pixel_bytes` each, of which `bands` are made, and of those the result."""
    return int(bands * pixels + max(1.3 * pixel_bytes * pixels, result_bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Jp2Layout:
    """What a JPEG 2000 codestream says of itself. `levels` halvings can be left undecoded."""

    width: int
    height: int
    left: int
    top: int
    tile_width: int
    tile_height: int
    components: int
    sample_bytes: int
    levels: int
    block_pixels: int

    def reduced_size(self, reduce: int) -> tuple[int, int]:
        """Width and height with `reduce` halvings left out (ISO/IEC 15444-1, B.5)."""
        scale = 1 << reduce
        ends = (self.left + self.width, self.top + self.height)
        begins = (self.left, self.top)
        width, height = (-(-end // scale) - -(-begin // scale) for end, begin in zip(ends, begins, strict=True))
        return max(1, width), max(1, height)

    def needed_bytes(self, *, reduce: int, pixel_bytes: int, bands: int, result_bytes: int) -> int:
        """To decode it with `reduce` halvings left out; the rest as for `of_pillow`.

        OpenJPEG holds 4 bytes a sample of a tile, a copy of it as samples, and about 200 bytes for each code block and
        7 kB for each tile whatever it reduces by.
        """
        scale = 1 << reduce
        pixels = -(-self.width // scale) * -(-self.height // scale)
        whole_tile = min(self.tile_width, self.width) * min(self.tile_height, self.height)
        tile = -(-whole_tile // (scale * scale))
        tiles = -(-self.width // self.tile_width) * -(-self.height // self.tile_height)
        blocks = 200 * self.components * (whole_tile * 4 // 3) // self.block_pixels
        decoding = self.components * (4 + self.sample_bytes) * tile + pixel_bytes * pixels
        converting = of_pillow(pixels=pixels, pixel_bytes=pixel_bytes, bands=bands, result_bytes=result_bytes)
        return max(decoding, converting) + blocks + tiles * (6000 + 1100 * self.components)


def read_jp2_layout(data: bytes) -> Jp2Layout:
    """The SIZ and COD segments (ISO/IEC 15444-1, A.5.1 and A.6.1). Raises ImageError."""
    start = data.find(b"\xff\x4f\xff\x51")
    try:
        if start < 0:
            raise ImageError("the JP2 file holds no codestream")
        # Both length fields of SIZ and its capabilities come before these.
        right, bottom, left, top, tile_width, tile_height, _, _, components = struct.unpack_from(
            ">8IH", data, start + 8
        )
        depths = data[start + 42 : start + 42 + 3 * components : 3]
        cod = next(at for marker, at in _segments(data, start + 2) if marker == 0x52)
        levels, block_width, block_height = struct.unpack_from(">3B", data, cod + 7)
    except (struct.error, StopIteration, IndexError) as error:
        raise ImageError("the JP2 file's header cannot be read") from error
    if not (right > left and bottom > top and tile_width and tile_height and components and depths):
        raise ImageError("the JP2 file's header cannot be read")
    return Jp2Layout(
        width=right - left,
        height=bottom - top,
        left=left,
        top=top,
        tile_width=tile_width,
        tile_height=tile_height,
        components=components,
        sample_bytes=max(1, ((max(depth & 0x7F for depth in depths) + 1) + 7) // 8),
        levels=min(levels, 32),
        block_pixels=1 << ((block_width & 15) + (block_height & 15) + 4),
    )


def _segments(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """(second byte of the marker, offset of the segment's length) of the segments that begin at `at`."""
    while data[at] == 0xFF:
        yield data[at + 1], at + 2
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _jpeg_coefficients(data: bytes) -> int:
    """2 bytes for each sample of all components, as large as they were written."""
    try:
        at = next(each.at for each in jpeg.segments(data) if each.kind in jpeg.FRAMES)
        height, width, components = struct.unpack_from(">HHB", data, at + 3)
        sampling = [data[at + 9 + 3 * each] for each in range(components)]
        most = max(each >> 4 for each in sampling) * max(each & 15 for each in sampling)
        samples = sum((each >> 4) * (each & 15) for each in sampling) / most
    except (struct.error, StopIteration, IndexError, ValueError, ZeroDivisionError) as error:
        raise ImageError("the JPEG file's header cannot be read") from error
    return int(2 * samples * width * height)


def _avif_pixel_bytes(image: VipsImage, data: bytes) -> float:
    if image.format != "uchar":
        return 25.0 if image.bands == 4 else 18.6
    # AV1CodecConfigurationRecord (AV1 in ISOBMFF, 2.3.3): the third byte has the chroma subsampling in bits 3 and 2.
    config = data.find(b"av1C", 0, 1 << 16)
    halved = config >= 0 and data[config + 6 : config + 7] and data[config + 6] & 0x0C == 0x0C
    return (16.7 if image.bands == 4 else 15.4) if halved else 18.7


_TIFF_WHOLE_STRIPS = frozenset({6, 8, 9, 10, 32844, 32845})
"""Photometric interpretations (YCbCr, Lab, LogLuv) that libtiff converts a strip at a time."""


def _tiff_block_bytes(image: VipsImage, directory: Directory, pixel_bytes: int) -> int:
    """What libtiff decodes at a time, where it cannot go line by line, and libvips' copy of it."""
    tile_width, tile_height = directory.integer(Tag.TILE_WIDTH, 0), directory.integer(Tag.TILE_HEIGHT, 0)
    if tile_width and tile_height:
        # A row of tiles is kept as well.
        return int(pixel_bytes * (1.2 * tile_width * tile_height + tile_height * image.width))
    rows = min(directory.integer(Tag.ROWS_PER_STRIP, image.height) or image.height, image.height)
    planes, photometric = directory.integer(Tag.PLANAR_CONFIGURATION, 1) == 2, directory.integer(Tag.PHOTOMETRIC, 2)
    whole = planes or photometric in _TIFF_WHOLE_STRIPS
    return int(1.3 * max(pixel_bytes, 4) * rows * image.width) if whole else 0
