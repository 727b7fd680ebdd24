"""One picture in every kind of file that is read, and what can happen to a file on its way."""

from __future__ import annotations

import io
import struct

import numpy as np
import picture_samples as samples
from PIL import Image

from pellucid.image import vips

WIDTH, HEIGHT = 200, 144


def _pixels() -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Slopes under noise: it packs a little, has no two equal rows, and is hurt by whatever is lost."""
    across, down = np.linspace(0, 200, WIDTH)[None, :], np.linspace(0, 200, HEIGHT)[:, None]
    slopes = np.stack(np.broadcast_arrays(across, down, (across + down) / 2), axis=-1)
    return (slopes + np.random.default_rng(5).integers(0, 50, (HEIGHT, WIDTH, 3))).astype(np.uint8)


def _frames() -> list[Image.Image]:
    return [Image.fromarray(np.roll(_pixels(), 40 * each, axis=1)) for each in range(3)]


def _many(format_: str, **options: object) -> bytes:
    first, *others = _frames()
    return samples.save(first, format_, save_all=True, append_images=others, **options)


def _icon(bitmap_format: str) -> bytes:
    out = io.BytesIO()
    square = Image.fromarray(_pixels()).resize((128, 128))
    square.save(out, "ICO", sizes=[(16, 16), (128, 128)], bitmap_format=bitmap_format)
    return out.getvalue()


def _all() -> dict[str, bytes]:
    image, picture = vips.from_array(_pixels()), Image.fromarray(_pixels())
    tiff = {"compression": "deflate", "tile": True, "tile_width": 64, "tile_height": 64}
    return {
        "jpeg": image.jpegsave_buffer(Q=85),
        "jpeg, progressive": image.jpegsave_buffer(Q=85, interlace=True),
        "jpeg, restart markers": image.jpegsave_buffer(Q=85, restart_interval=5),
        "jpeg, grey": image[1].jpegsave_buffer(Q=85),
        "jpeg, preview": samples.save(picture, "JPEG", exif=_exif_with_preview()),
        "png": image.pngsave_buffer(),
        "png, interlaced": image.pngsave_buffer(interlace=True),
        "png, palette": samples.save(picture.quantize(200), "PNG"),
        "png, animated": _many("PNG"),
        "webp": image.webpsave_buffer(Q=80),
        "webp, lossless": image.webpsave_buffer(lossless=True),
        "webp, animated": _many("WEBP"),
        "avif": samples.save(picture, "AVIF", speed=10),
        "gif": samples.save(picture, "GIF"),
        "gif, animated": _many("GIF"),
        "tiff, strips": samples.save(picture, "TIFF"),
        "tiff, packed strips": samples.save(picture, "TIFF", compression="tiff_lzw"),
        "tiff, big": samples.save(picture, "TIFF", compression="tiff_deflate", big_tiff=True),
        "tiff, jpeg": samples.save(picture, "TIFF", compression="jpeg"),
        "tiff, tiles": image.tiffsave_buffer(**tiff),  # type: ignore[attr-defined] - tests only
        "tiff, profile": image.tiffsave_buffer(profile="p3"),  # type: ignore[attr-defined] - tests only
        "tiff, thumbnail first": _thumbnail_first(),
        "tiff, pages": _many("TIFF", compression="tiff_lzw"),
        "bmp": samples.save(picture, "BMP"),
        "bmp, palette": samples.save(picture.quantize(200), "BMP"),
        "ico": _icon("bmp"),
        "ico, png": _icon("png"),
        "jp2": samples.save(picture, "JPEG2000"),
        "jp2, codestream": samples.save(picture, "JPEG2000", no_jp2=True, irreversible=True),
        "svg": samples.svg('<circle cx="48" cy="32" r="20"/>'),
    }


def _thumbnail_first() -> bytes:
    """A grey TIFF as scanners write it: both directories, then the small picture, then the large one."""
    large = _pixels()[..., 1]
    pictures = [(1, large[::8, ::8]), (0, large)]
    directory_bytes = 2 + 9 * 12 + 4
    at = 8 + 2 * directory_bytes
    file = b"II*\0" + struct.pack("<I", 8)
    for number, (subfile_type, levels) in enumerate(pictures):
        (height, width), size = levels.shape, levels.size
        fields = (254, subfile_type), (256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, at), (277, 1)
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in (*fields, (279, size)))
        following = 8 + directory_bytes if number == 0 else 0
        file += struct.pack("<H", 9) + entries + struct.pack("<I", following)
        at += size
    return file + b"".join(levels.tobytes() for _, levels in pictures)


def _exif_with_preview() -> bytes:
    """What a camera writes: a small JPEG, end marker and all, before the picture begins."""
    preview = samples.save(samples.card(32, 24), "JPEG")
    first = struct.pack("<H HHII I", 1, 0x0112, 3, 1, 1, 26)
    second = struct.pack("<H HHII HHII I", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(preview), 0)
    return b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + first + second + preview


FILES = _all()


def zeros_at(data: bytes, share: float, length: int) -> bytes:
    """`data` with a block of zeros in it, as a disk or a broken download leaves behind."""
    at = int(len(data) * share)
    length = min(length, len(data) - at)
    return data[:at] + bytes(length) + data[at + length :]


def flipped(data: bytes, share: float) -> bytes:
    """`data` with one bit turned."""
    at = int(len(data) * share)
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
