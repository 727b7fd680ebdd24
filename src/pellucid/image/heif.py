"""HEIC by way of pi_heif: the libvips wheel opens such files but has no HEVC decoder."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pi_heif as _untyped

from pellucid.errors import ImageError
from pellucid.image import vips
from pellucid.image.header import Header
from pellucid.image.vips import VipsImage

_pi_heif: Any = _untyped


def read_header(data: bytes) -> Header:
    """Size and alpha of the primary picture, irot/imir applied. Raises `ImageError`."""
    with _readable("the HEIC file's header cannot be read"):
        file = _pi_heif.open_heif(data)
        return Header(
            width=int(file.size[0]), height=int(file.size[1]), has_alpha=bool(file.has_alpha), pages=max(1, len(file))
        )


def read_pixels(data: bytes) -> VipsImage:
    """The primary picture, upright, 8 bits a channel, straight alpha, its ICC profile attached. Raises `ImageError`."""
    with _readable("the HEIC picture cannot be decoded"):
        file = _pi_heif.open_heif(data)
        width = int(file.size[0])
        # A copy: the array that pi_heif gives looks into memory that goes away with the file. Its rows may be padded.
        pixels = np.array(file)[:, :width]
        profile = file.info.get("icc_profile")
        premultiplied = bool(file.premultiplied_alpha)
    if pixels.dtype != np.uint8:
        # Grey of 10 or 12 bits comes widened to 16; colours come as 8.
        pixels = (pixels >> 8).astype(np.uint8)
    image = vips.from_array(pixels)
    if premultiplied:
        image = image.unpremultiply().cast("uchar")
    return vips.attach_icc(image, bytes(profile)) if profile else image


@contextmanager
def _readable(message: str) -> Generator[None]:
    try:
        yield
    except MemoryError:
        raise
    # pi_heif documents five classes and raises others (IndexError when no picture is left after parsing): whatever it
    # trips over is the file's fault.
    except Exception as error:
        raise ImageError(message) from error
