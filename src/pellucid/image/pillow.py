"""BMP, ICO and JPEG 2000 by way of Pillow: the libvips wheel lacks them."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import BmpImagePlugin, IcoImagePlugin, ImageFile, Jpeg2KImagePlugin

from pellucid.errors import DamagedImageError, ImageError
from pellucid.formats import ImageFormat
from pellucid.image import footprint, vips
from pellucid.image.header import Header
from pellucid.image.vips import VipsImage

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Jpeg2000(Jpeg2KImagePlugin.Jpeg2KImageFile):
    def halve(self, times: int, layout: footprint.Jp2Layout) -> None:
        """Have the picture decoded at `times` halvings of its size.

        Pillow's own `reduce` rounds the size where OpenJPEG rounds it up, and then takes most files for broken (13.0).
        """
        tile: Any = self.tile[0]
        codec, _, layers, descriptor, length = tile.args
        self._size = layout.reduced_size(times)
        args = (codec, times, layers, descriptor, length)
        self.tile = [tile._replace(extents=(0, 0, *self._size), args=args)]


# The readers themselves instead of `Image.open`: nothing is guessed, no other plugin is imported (86 ms the first
# time), and Pillow's own limit on pixels does not step in before ours (`header.check_size`) can name the size.
_READERS: dict[ImageFormat, type[ImageFile.ImageFile]] = {
    ImageFormat.BMP: BmpImagePlugin.BmpImageFile,
    ImageFormat.ICO: IcoImagePlugin.IcoImageFile,
    ImageFormat.JP2: _Jpeg2000,
}

LEFT_TO_RESAMPLE = 1.25
"""Besides what a decoder shrinks by; libvips leaves 2 at least. JPEG photos of 12 megapixels, SSIM with the whole photo
resampled, and CPU: at 400 px a shrink of 8 gives 0.990 and takes 28 ms, one of 4 gives 0.996 and takes 34; at 1600 px
a shrink of 2 gives 0.988 and takes 44, none takes 69. With hardly anything left (1.05) it is 0.980 to 0.989. What WebP
loses comes on top, 0.970 at 400 px.
"""

_STRIP_PIXELS = 1 << 20

_ICON_BITMAP = 22
"""Where the bitmap of an icon with one entry begins."""

_GREY_MODES = frozenset({"1", "L", "LA", "La"})
_ALPHA_MODES = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})


def read_header(data: bytes, format_: ImageFormat) -> Header:
    """Size and alpha without decoding, and the least memory that decoding takes. Raises `ImageError`."""
    with _readable(format_), _open(data, format_) as image:
        least_bytes = _needed_bytes(image, data, halvings=None, result_bytes=0)
        return Header(
            width=image.width, height=image.height, has_alpha=_has_alpha(image), least_decode_bytes=least_bytes
        )


def read_pixels(data: bytes, format_: ImageFormat, *, scale: float, result_bytes: int, max_bytes: int) -> VipsImage:
    """The picture as it is stored, uchar, grey (1 or 2 bands) or RGB (3 or 4), straight alpha; without its profile.

    JPEG 2000 is decoded at a half, a quarter, ... of its size where `scale` is so small that enough is left to
    resample. Raises `ImageError`, `ImageLimitError` when that takes more than `max_bytes`.
    """
    with _readable(format_), _open(data, format_) as image:
        halvings = _halvings(image, data, scale)
        needed_bytes = _needed_bytes(image, data, halvings=halvings, result_bytes=result_bytes)
        footprint.check_memory(needed_bytes, max_bytes=max_bytes)
        if isinstance(image, _Jpeg2000) and halvings:
            image.halve(halvings, footprint.read_jp2_layout(data))
        image.load()
        pixels = _pixels(image)
    if pixels.shape[2] == 4 and not pixels[..., 3].any():
        pixels[..., 3] = _alpha_instead(data, format_, pixels.shape[1], pixels.shape[0])
    return vips.from_array(pixels)


def _halvings(image: ImageFile.ImageFile, data: bytes, scale: float) -> int:
    """How often JPEG 2000 may be halved while it is decoded; the rest is left to the good resampler."""
    if not isinstance(image, _Jpeg2000):
        return 0
    levels = footprint.read_jp2_layout(data).levels
    return next((each for each in range(levels, 0, -1) if scale * (1 << each) * LEFT_TO_RESAMPLE <= 1), 0)


def _needed_bytes(image: ImageFile.ImageFile, data: bytes, *, halvings: int | None, result_bytes: int) -> int:
    """`halvings` None: as many as there are."""
    bands = 4 if _has_alpha(image) else 3
    pixel_bytes = 2 if image.mode.startswith("I;16") else 1 if image.mode in ("1", "L", "P") else 4
    if not isinstance(image, _Jpeg2000):
        return footprint.of_pillow(
            pixels=image.width * image.height, pixel_bytes=pixel_bytes, bands=bands, result_bytes=result_bytes
        )
    layout = footprint.read_jp2_layout(data)
    return layout.needed_bytes(
        reduce=layout.levels if halvings is None else halvings,
        pixel_bytes=pixel_bytes,
        bands=bands,
        result_bytes=result_bytes,
    )


def _is_16_bit_grey(image: ImageFile.ImageFile) -> bool:
    return image.mode.startswith("I;16") or image.mode in ("I", "F")


def _pixels(image: ImageFile.ImageFile) -> NDArray[np.uint8]:
    """In strips: Pillow's own conversion, and NumPy's copy of it, would be 4 bytes a pixel more each."""
    is_grey = _is_16_bit_grey(image) or (image.mode in _GREY_MODES and "transparency" not in image.info)
    mode = ("LA" if is_grey else "RGBA") if _has_alpha(image) else ("L" if is_grey else "RGB")
    pixels = np.empty((image.height, image.width, len(mode)), dtype=np.uint8)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        part = image.crop((0, top, image.width, min(top + rows, image.height)))
        if _is_16_bit_grey(image):
            # Of JPEG 2000; Pillow's own conversion would clip at 255.
            grey = np.asarray(part).astype(np.float32)
            pixels[top : top + rows] = np.clip(np.rint(grey / 257.0), 0, 255).astype(np.uint8)[:, :, None]
        else:
            pixels[top : top + rows] = np.asarray(part.convert(mode)).reshape(part.height, part.width, len(mode))
    return pixels


def _alpha_instead(data: bytes, format_: ImageFormat, width: int, height: int) -> NDArray[np.uint8] | int:
    """For 32 bits a pixel whose alpha is 0 throughout: whoever wrote them knew of none (Chromium's rule). Icons have a
    mask behind the pixels then, `largest_icon`'s with one entry.
    """
    if format_ is ImageFormat.BMP:
        return 255
    if format_ is not ImageFormat.ICO:
        return 0
    row_bytes = (width + 31) // 32 * 4
    start = _ICON_BITMAP + int.from_bytes(data[_ICON_BITMAP : _ICON_BITMAP + 4], "little") + 4 * width * height
    mask = np.frombuffer(data[start : start + row_bytes * height], np.uint8)
    if mask.size < row_bytes * height:
        return 255
    hidden = np.unpackbits(mask.reshape(height, row_bytes), axis=1)[::-1, :width]
    return np.where(hidden, 0, 255).astype(np.uint8)


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
    except (MemoryError, ImageError):
        raise
    # Pillow's pure-Python readers meet hostile bytes with whatever their arithmetic trips over (struct.error,
    # IndexError, KeyError, OverflowError, SyntaxError, ...), so everything but memory is the file's fault.
    except Exception as error:
        raise DamagedImageError(
            f"the {format_.upper()} picture cannot be read: its file is damaged or cut short"
        ) from error
