"""Pictures made by code: a card with one colour in each quarter, in every kind of file."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 180, 40), (30, 40, 220), (240, 220, 20)
WIDTH, HEIGHT = 96, 64

TRANSPOSES = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What lays an upright picture down so that the EXIF orientation stands it up again."""


def card(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Red and green above, blue and yellow below."""
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = GREEN
    pixels[height // 2 :, : width // 2] = BLUE
    pixels[height // 2 :, width // 2 :] = YELLOW
    return Image.fromarray(pixels)


def save(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def turned(format_: str, orientation: int) -> bytes:
    """The card stored lying down, with the EXIF tag that turns it upright."""
    transpose = TRANSPOSES[orientation]
    stored = card() if transpose is None else card().transpose(transpose)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if format_ != "PNG" else {}
    return save(stored, format_, exif=exif, **options)


def noise(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> Image.Image:
    """A picture that does not compress, so that cutting a file short hits pixels."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png_16_bit(values: NDArray[np.uint16]) -> bytes:
    """A 16-bit RGB PNG of (height, width, 3); Pillow cannot write one."""
    height, width = values.shape[:2]
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in values)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG whose header promises that size and whose pixels are missing."""
    good = save(Image.new("RGB", (1, 1)), "PNG")
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return good[:12] + header + struct.pack(">I", zlib.crc32(header)) + good[33:]


def svg(body: str = "", *, width: str = "96", height: str = "64") -> bytes:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<rect width="48" height="32" fill="rgb(220,30,30)"/>{body}</svg>'
    ).encode()


def quarters(pixels: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    """The colour in the middle of each quarter: upper left, upper right, lower left, lower right."""
    height, width = pixels.shape[:2]
    return [
        tuple(int(c) for c in pixels[y, x, :3])
        for y in (height // 4, 3 * height // 4)
        for x in (width // 4, 3 * width // 4)
    ]


def close(actual: tuple[int, ...], wanted: tuple[int, ...], tolerance: int) -> bool:
    return all(abs(a - w) <= tolerance for a, w in zip(actual, wanted, strict=True))
