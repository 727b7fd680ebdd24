"""How much memory does decoding take? The peak of a fresh process for each kind of file, beside the estimate.

    .venv/bin/python bench/decode_memory.py [--folder DIR] [--side 10000] [--width 400 0] [--only TEXT] [--out FILE]

Each kind is a flat picture of `side` x `side` pixels, made once and kept in `folder`: a few kB to a few MB that decode
to hundreds. Then each is decoded as a render process does, at each `width` (0: its own size), in a process of its own;
what is printed is how much its resident memory grew at the most (`VmHWM`), in MB and in bytes a pixel. HEIC needs
pillow-heif, which is no dependency: without it those kinds are left out.
"""

from __future__ import annotations

import argparse
import io
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import tifffile
from PIL import Image

VIPS: Any = pyvips
Maker = Callable[[int], bytes]
Option = Any
"""Whatever the writers of these libraries take."""

_MEASURE = """
import sys
from pellucid.errors import ImageError
from pellucid.image import footprint, vips
from pellucid.image.decode import decode_scaled
from pellucid.image.probe import probe
from pellucid.system.memory import keep_freed

def resident(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) * 1024

vips.harden()
keep_freed()
data = open(sys.argv[1], "rb").read()
before = resident("VmRSS")
estimates, note = [0], ""
footprint.check_memory = lambda needed_bytes, *, max_bytes: estimates.append(needed_bytes)
try:
    facts = probe(data, max_pixels=1 << 40)
    width = int(sys.argv[2]) or facts.width
    height = max(1, round(facts.height * width / facts.width))
    image = decode_scaled(data, facts, width=width, height=height)
    note = f"{image.width} x {image.height}"
except ImageError as error:
    note = f"{type(error).__name__}: {error}"
print(resident("VmHWM") - before, estimates[-1], note, sep="\\t")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of decoding, by kind of file.")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "pellucid-decode-memory")
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--width", type=int, nargs="+", default=[400, 0])
    parser.add_argument("--only", default="", help="kinds whose name holds this text")
    parser.add_argument("--out", type=Path, help="write the table to this file, too")
    options = parser.parse_args()
    lines = [
        "| kind | file, kB | width | peak, MB | bytes a pixel | estimate, MB | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    print("\n".join(lines))
    for path in samples(options.folder, options.side, options.only):
        for width in options.width:
            peak, estimate, note = measure(path, width)
            lines.append(
                f"| {path.name} | {path.stat().st_size / 1e3:.0f} | {width or 'own'} | {peak / 1e6:.0f} "
                f"| {peak / options.side**2:.1f} | {estimate / 1e6:.0f} | {note} |"
            )
            print(lines[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


def measure(path: Path, width: int) -> tuple[int, int, str]:
    """Bytes that resident memory grew by, the estimate, and what came out."""
    command = [sys.executable, "-c", _MEASURE, str(path), str(width)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return 0, 0, f"takes more than {TIMEOUT_S} s"
    if ran.returncode:
        return 0, 0, f"ended with {ran.returncode}: {ran.stderr.strip().splitlines()[-1:]}"
    peak, estimate, note = ran.stdout.strip().split("\t")
    return int(peak), int(estimate), note


def samples(folder: Path, side: int, only: str) -> Iterator[Path]:
    """The files of all kinds, made where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.MAX_IMAGE_PIXELS = None
    for name, make in KINDS.items():
        path = folder / f"{side}-{name}"
        if only not in name:
            continue
        if not path.exists():
            try:
                path.write_bytes(make(side))
            except (ImportError, KeyError, OSError, VIPS.Error) as error:
                path.unlink(missing_ok=True)
                print(f"{name} could not be made: {error}", file=sys.stderr)
                continue
        yield path


def by_pillow(format_: str, mode: str, colour: Option, **options: Option) -> Maker:
    def make(side: int) -> bytes:
        file = io.BytesIO()
        Image.new(mode, (side, side), colour).save(file, format_, **options)
        return file.getvalue()

    return make


def by_vips(suffix: str, bands: int, format_: str, interpretation: str, **options: Option) -> Maker:
    def make(side: int) -> bytes:
        flat = (VIPS.Image.black(side, side, bands=bands) + [40 * (band + 1) for band in range(bands)]).cast(format_)
        return flat.copy(interpretation=interpretation).write_to_buffer(suffix, **options)

    return make


def by_tifffile(kind: str, *, planar: bool = False, **options: Option) -> Maker:
    def make(side: int) -> bytes:
        file = io.BytesIO()
        options_ = {name: (side if value == "side" else value) for name, value in options.items()}
        if options_.pop("one_tile", False):
            options_["tile"] = (side, side)
        pixel = np.full((1, 1, 1), 7, dtype=kind)
        shape = (3, side, side) if planar else (side, side, 3)
        tifffile.imwrite(
            file,
            np.broadcast_to(pixel, shape),
            photometric="rgb",
            planarconfig="separate" if planar else "contig",
            compression="zlib",
            **options_,
        )
        return file.getvalue()

    return make


def animated(format_: str, mode: str) -> Maker:
    def make(side: int) -> bytes:
        frames = [Image.new(mode, (side, side), colour) for colour in (1, 2, 3)]
        file = io.BytesIO()
        frames[0].save(
            file, format_, save_all=True, append_images=frames[1:], **({"method": 0} if mode == "RGB" else {})
        )
        return file.getvalue()

    return make


def rle_bmp(side: int) -> bytes:
    """Runs of one colour: 100 million pixels in 0.8 MB."""
    row = b"".join(bytes([min(255, side - at), 5]) for at in range(0, side, 255)) + b"\0\0"
    pixels = row * side + b"\0\1"
    palette = b"".join(bytes([level, 255 - level, level // 2, 0]) for level in range(256))
    offset = 14 + 40 + len(palette)
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(pixels), 2835, 2835, 256, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + head + palette + pixels


def icon(side: int) -> bytes:
    png = by_pillow("PNG", "RGBA", (200, 30, 90, 120))(side)
    return b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(png), 22) + png


def svg(body: str) -> Maker:
    def make(side: int) -> bytes:
        head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{side}" height="{side}" viewBox="0 0 100 100">'
        return f"{head}{body}</svg>".encode()

    return make


def heic(mode: str, colour: Option, **options: Option) -> Maker:
    def make(side: int) -> bytes:
        from pillow_heif import register_heif_opener  # noqa: PLC0415 - no dependency

        register_heif_opener()
        return by_pillow("HEIF", mode, colour, **options)(side)

    return make


TIMEOUT_S = 120
"""Filters of an SVG at 100 megapixels take half an hour; a render process gives up after 20 s."""

RED, GLASS, INK = (200, 30, 90), (200, 30, 90, 120), (20, 200, 90, 10)
CIRCLE = '<circle cx="50" cy="50" r="40" fill="red"/>'
FILTER = (
    '<filter id="f" x="0" y="0" width="1" height="1"><feGaussianBlur stdDeviation="9"/>'
    '<feTurbulence baseFrequency=".01" numOctaves="4"/><feMorphology radius="1"/></filter>'
)
KINDS: dict[str, Maker] = {
    "jpeg-baseline.jpg": by_pillow("JPEG", "RGB", RED),
    "jpeg-cmyk.jpg": by_pillow("JPEG", "CMYK", INK),
    "jpeg-progressive-420.jpg": by_pillow("JPEG", "RGB", RED, progressive=True),
    "jpeg-progressive-444.jpg": by_pillow("JPEG", "RGB", RED, progressive=True, subsampling=0),
    "jpeg-progressive-grey.jpg": by_pillow("JPEG", "L", 90, progressive=True),
    "jpeg-progressive-cmyk.jpg": by_pillow("JPEG", "CMYK", INK, progressive=True),
    "png-1-bit.png": by_pillow("PNG", "1", 1),
    "png-palette.png": by_pillow("PNG", "P", 3),
    "png-rgb.png": by_pillow("PNG", "RGB", RED),
    "png-rgb-interlaced.png": by_vips(".png", 3, "uchar", "srgb", interlace=True),
    "png-rgba16.png": by_vips(".png", 4, "ushort", "rgb16"),
    "png-rgba16-interlaced.png": by_vips(".png", 4, "ushort", "rgb16", interlace=True),
    "webp-lossy.webp": by_pillow("WEBP", "RGB", RED, method=0),
    "webp-lossy-alpha.webp": by_pillow("WEBP", "RGBA", GLASS, method=0),
    "webp-lossless.webp": by_pillow("WEBP", "RGB", RED, lossless=True, method=0),
    "webp-animated.webp": animated("WEBP", "RGB"),
    "avif-420.avif": by_pillow("AVIF", "RGB", RED, speed=10),
    "avif-444-alpha.avif": by_pillow("AVIF", "RGBA", GLASS, speed=10, subsampling="4:4:4"),
    "avif-12-bit.avif": by_vips(".avif", 3, "ushort", "rgb16", bitdepth=12, effort=0),
    "heic-420.heic": heic("RGB", RED),
    "heic-alpha.heic": heic("RGBA", GLASS),
    "gif.gif": by_pillow("GIF", "P", 3),
    "gif-animated.gif": animated("GIF", "P"),
    "bmp-1-bit.bmp": by_pillow("BMP", "1", 1),
    "bmp-rle.bmp": rle_bmp,
    "ico-png.ico": icon,
    "tiff-strips.tif": by_tifffile("u1", rowsperstrip=16),
    "tiff-one-strip.tif": by_tifffile("u1", rowsperstrip="side"),
    "tiff-tiles.tif": by_tifffile("u1", tile=(256, 256)),
    "tiff-one-tile.tif": by_tifffile("u1", one_tile=True),
    "tiff-planar-strips.tif": by_tifffile("u1", planar=True, rowsperstrip=16),
    "tiff-planar-one-strip.tif": by_tifffile("u1", planar=True, rowsperstrip="side"),
    "tiff-16-bit-one-strip.tif": by_tifffile("u2", rowsperstrip="side"),
    "tiff-float-strips.tif": by_tifffile("f4", rowsperstrip=16),
    "tiff-float-one-strip.tif": by_tifffile("f4", rowsperstrip="side"),
    "tiff-double-tiles.tif": by_tifffile("f8", tile=(256, 256)),
    "tiff-jpeg-tiles.tif": by_vips(".tif", 3, "uchar", "srgb", compression="jpeg", tile=True),
    "jp2-grey.jp2": by_pillow("JPEG2000", "L", 90),
    "jp2-grey-16-bit.jp2": by_pillow("JPEG2000", "I;16", 30_000),
    "jp2-rgb.jp2": by_pillow("JPEG2000", "RGB", RED),
    "jp2-rgba.jp2": by_pillow("JPEG2000", "RGBA", GLASS),
    "jp2-rgb-lossy.jp2": by_pillow("JPEG2000", "RGB", RED, irreversible=True),
    "jp2-rgb-tiles.jp2": by_pillow("JPEG2000", "RGB", RED, tile_size=(1024, 1024)),
    "jp2-rgb-one-resolution.jp2": by_pillow("JPEG2000", "RGB", RED, num_resolutions=1),
    "svg-plain.svg": svg(CIRCLE),
    "svg-filters.svg": svg(f'{FILTER}<g filter="url(#f)">{CIRCLE}</g>'),
    "svg-groups.svg": svg('<g opacity=".9">' * 40 + CIRCLE + "</g>" * 40),
}


if __name__ == "__main__":
    main()
