"""BMP, ICO and JPEG 2000 by way of Pillow: the libvips wheel lacks them."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
from PIL import BmpImagePlugin, IcoImagePlugin, ImageFile, Jpeg2KImagePlugin

from pellucid.errors import ImageError
from pellucid.formats import ImageFormat
from pellucid.image import vips
from pellucid.image.header import Header
from pellucid.image.vips import VipsImage

# The readers themselves instead of `Image.open`: nothing is guessed, no other plugin is imported (86 ms the first
# time), and Pillow's own limit on pixels does not step in before ours (`header.check_size`) can name the size.
_READERS: dict[ImageFormat, type[ImageFile.ImageFile]] = {
    ImageFormat.BMP: BmpImagePlugin.BmpImageFile,
    ImageFormat.ICO: IcoImagePlugin.IcoImageFile,
    ImageFormat.JP2: Jpeg2KImagePlugin.Jpeg2KImageFile,
}

_ALPHA_MODES = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})


def read_header(data: bytes, format_: ImageFormat) -> Header:
    """Size and alpha without decoding. Raises `ImageError`."""
    with _readable(format_), _open(data, format_) as image:
        return Header(width=image.width, height=image.height, has_alpha=_has_alpha(image))


def read_pixels(data: bytes, format_: ImageFormat) -> VipsImage:
    """The picture, sRGB or with its ICC profile attached, 3 or 4 bands, straight alpha. Raises `ImageError`."""
    with _readable(format_), _open(data, format_) as image:
        profile: object = image.info.get("icc_profile")
        if image.mode.startswith("I;16") or image.mode in ("I", "F"):
            # 16-bit grey of JPEG 2000; Pillow's own conversion would clip at 255.
            grey = np.asarray(image).astype(np.float32)
            pixels = np.clip(np.rint(grey / 257.0), 0, 255).astype(np.uint8)[:, :, None].repeat(3, axis=2)
            profile = None
        else:
            pixels = np.asarray(image.convert("RGBA" if _has_alpha(image) else "RGB"))
    opened = vips.from_array(pixels)
    return vips.attach_icc(opened, profile) if isinstance(profile, bytes) and profile else opened


def largest_icon(data: bytes) -> bytes:
    """The largest picture of an ICO file: a PNG file, or an ICO file with that single entry.

    Pillow takes the directory's word for the sizes, which a hostile file bends; entries are read one at a time here.
    Raises `ImageError`.
    """
    count = int.from_bytes(data[4:6], "little")
    best: tuple[tuple[int, int], bytes] | None = None
    for index in range(count):
        entry = data[6 + 16 * index : 22 + 16 * index]
        if len(entry) < 16:
            break
        width, height, _, _, _, depth, length, offset = struct.unpack("<BBBBHHII", entry)
        # 0 stands for 256.
        rank = ((width or 256) * (height or 256), depth)
        payload = data[offset : offset + length]
        if payload and (best is None or rank > best[0]):
            best = (rank, payload if payload.startswith(b"\x89PNG") else _single_icon(entry, payload))
    if best is None:
        raise ImageError("the ICO file holds no picture")
    return best[1]


def _single_icon(entry: bytes, bitmap: bytes) -> bytes:
    """An ICO file with one entry, its directory sizes corrected from the bitmap's own header."""
    if len(bitmap) < 40:
        raise ImageError("the ICO file's bitmap is cut short")
    width, height = struct.unpack("<ii", bitmap[4:12])
    # The bitmap's height counts the transparency mask as well; an icon's side is 256 at most.
    if not (1 <= width <= 256 and 2 <= height <= 512):
        raise ImageError(f"the ICO file's bitmap has an impossible size of {width} x {height // 2} pixels")
    directory = struct.pack("<BB", width % 256, (height // 2) % 256) + entry[2:8] + struct.pack("<II", len(bitmap), 22)
    return b"\x00\x00\x01\x00\x01\x00" + directory + bitmap


def _has_alpha(image: ImageFile.ImageFile) -> bool:
    return image.mode in _ALPHA_MODES or "transparency" in image.info


@contextmanager
def _open(data: bytes, format_: ImageFormat) -> Generator[ImageFile.ImageFile]:
    with warnings.catch_warnings():
        # An icon whose bitmap has another size than its directory says is read all the same.
        warnings.simplefilter("ignore")
        with _READERS[format_](io.BytesIO(data)) as image:
            yield image


@contextmanager
def _readable(format_: ImageFormat) -> Generator[None]:
    try:
        yield
    except MemoryError:
        raise
    # Pillow's pure-Python readers meet hostile bytes with whatever their arithmetic trips over (struct.error,
    # IndexError, KeyError, OverflowError, SyntaxError, ...), so everything but memory is the file's fault.
    except Exception as error:
        raise ImageError(f"the {format_.upper()} picture cannot be read") from error
