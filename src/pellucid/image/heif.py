"""HEIC by way of pi_heif: the libvips wheel opens such files but has no HEVC decoder.

The compiled half of pi_heif is called directly. Its Python half reads every picture's metadata on opening, and that
crashes the process on files with bent metadata boxes (version 1.4.0: within seconds of random mutation; 120,000
mutated files went through the calls used here without a crash).
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import _pi_heif as _untyped
import numpy as np

from pellucid.errors import DamagedImageError
from pellucid.image import vips
from pellucid.image.footprint import of_heif
from pellucid.image.header import Header
from pellucid.image.vips import VipsImage

_compiled: Any = _untyped

_THREADS = 1


def read_header(data: bytes) -> Header:
    """Size and alpha of the primary picture, irot/imir applied. Raises `DamagedImageError`."""
    with _readable("the HEIC file's header cannot be read"):
        pictures = _open(data)
        (width, height), mode = _primary(pictures).size_mode
        has_alpha = _has_alpha(mode)
        return Header(
            width=width,
            height=height,
            has_alpha=has_alpha,
            pages=len(pictures),
            least_decode_bytes=of_heif(width=width, height=height, has_alpha=has_alpha, result_bytes=0),
        )


def read_pixels(data: bytes, *, all_bits: bool = False) -> VipsImage:
    """The primary picture, upright, straight alpha, its ICC profile attached. 8 bits a channel, or 16 if `all_bits` and
    the file has more than 8. Raises `DamagedImageError`.
    """
    with _readable("the HEIC picture cannot be decoded"):
        picture = _primary(_open(data, all_bits=all_bits))
        # A copy: `data` looks into memory that goes away with the picture. After it, `size_mode` is the decoder's word.
        raw = bytes(picture.data)
        (width, height), mode = picture.size_mode
        bands = 1 if mode.startswith("I") else len(mode.partition(";")[0])
        # Grey of 10 or 12 bits always comes widened to 16.
        deep = len(raw) == 2 * width * height * bands
        pixels = np.frombuffer(raw, dtype="<u2" if deep else np.uint8).reshape(height, width, bands)
        profile: dict[str, Any] = picture.color_profile or {}
    if deep and all_bits:
        image = vips.from_deep_array(pixels.astype(np.uint16))
    else:
        image = vips.from_array((pixels >> 8).astype(np.uint8) if deep else pixels)
    if mode.partition(";")[0].endswith("a"):
        # Premultiplied, in Pillow's spelling of modes.
        image = vips.unpremultiplied(image)
    return vips.attach_icc(image, bytes(profile["data"])) if profile.get("type") in ("rICC", "prof") else image


def _open(data: bytes, *, all_bits: bool = False) -> list[Any]:
    """All pictures of the file, not yet decoded: to 8 or 16 bits, RGB order, rows without padding, limits on."""
    hdr_to_8_bits, bgr, remove_stride, hdr_to_16_bits, decoder, no_limits = not all_bits, False, True, True, "", False
    pictures = _compiled.load_file(
        data, _THREADS, hdr_to_8_bits, bgr, remove_stride, hdr_to_16_bits, decoder, no_limits
    )
    return [picture for picture in pictures if picture is not None]


def _primary(pictures: list[Any]) -> Any:  # noqa: ANN401 - a class of the compiled module
    return next((picture for picture in pictures if picture.primary), pictures[0])


def _has_alpha(mode: str) -> bool:
    return mode.partition(";")[0][-1] in "Aa"


@contextmanager
def _readable(message: str) -> Generator[None]:
    try:
        yield
    except MemoryError:
        raise
    # The compiled module raises five documented classes, numpy and the indexing above add theirs: whatever is tripped
    # over is the file's fault.
    except Exception as error:
        raise DamagedImageError(f"{message}: it is damaged or cut short") from error
