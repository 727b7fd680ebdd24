"""How well `optipress` meets its targets, measured by SSIMULACRA2 itself, on photographs of your own.

    python bench/optipress.py --photos FOLDER... [--count 34] [--side 1600]

Takes the program `ssimulacra2` from PATH (libjxl's tools, or `--program FILE`; github.com/cloudinary/ssimulacra2 builds
in 15 s), else the Python package of that name, which is ten times as slow and agrees to 0.1 to 1.3 points.
"""

from __future__ import annotations

import argparse
import importlib
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pellucid.formats import ImageFormat
from pellucid.image import vips
from pellucid.image.decode import decode_full
from pellucid.image.encode import encode, write
from pellucid.image.optipress import CHOOSING, TARGETS, choose_quality
from pellucid.image.probe import probe
from pellucid.image.vips import VipsImage

Measure = Callable[[Path, Path], float]

MAX_PIXELS = 10**8
ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp"})
REFERENCE_QUALITY = 80


def find_measure(program: str | None) -> Measure | None:
    """SSIMULACRA2 of two PNG files; None where it is not installed."""
    found = program or shutil.which("ssimulacra2")
    if found is not None:

        def run(before: Path, after: Path) -> float:
            done = subprocess.run([found, str(before), str(after)], capture_output=True, text=True, check=True)
            return float(done.stdout.split()[0])

        return run
    try:
        package: Any = importlib.import_module("ssimulacra2")
    except ImportError:
        return None
    return lambda before, after: float(package.compute_ssimulacra2(str(before), str(after)))


def opened(path: Path, side: int) -> VipsImage:
    """A photograph, made smaller: the traces of its own encoder are no part of what is measured."""
    data = path.read_bytes()
    image = decode_full(data, probe(data, max_pixels=MAX_PIXELS))
    longest = max(image.width, image.height)
    scale = min(0.85, side / longest)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = vips.resize_exactly(image, width=width, height=height, kernel="lanczos3")
    return small.extract_band(0, n=3).cast("uchar").copy_memory()


def photographs(folders: Sequence[Path], count: int) -> list[Path]:
    """`count` files, spread evenly over all."""
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    return files[:: max(1, len(files) // count)][:count]


def points_of(data: bytes, before: Path, measure: Measure) -> float:
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        image = decode_full(data, probe(data, max_pixels=MAX_PIXELS))
        Image.fromarray(vips.to_array(image)).save(file.name, compress_level=1)
        return measure(before, Path(file.name))


def line(name: str, rows: Sequence[tuple[int, float, float, float]]) -> str:
    """Quality, bytes against the reference, points, ms of CPU for the search."""
    qualities, shares, points, ms = zip(*rows, strict=True)
    mean_bytes = math.exp(statistics.fmean(map(math.log, shares)))
    spread = (
        f"{statistics.fmean(points):.1f} | {statistics.pstdev(points):.2f} | {min(points):.1f} to {max(points):.1f}"
    )
    cells = f"{min(qualities)} to {max(qualities)} | {mean_bytes:.3f} | {spread}"
    return f"| {name} | {cells} | {statistics.fmean(ms):.0f}, at most {max(ms):.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--count", type=int, default=34)
    parser.add_argument("--side", type=int, default=1600)
    parser.add_argument("--program")
    options = parser.parse_args()
    measure = find_measure(options.program)
    if measure is None:
        sys.exit("ssimulacra2 is not installed: neither the program nor the Python package")
    vips.harden()
    rows: dict[str, list[tuple[int, float, float, float]]] = {}
    for path in photographs(options.photos, options.count):
        image = opened(path, options.side)
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            before = Path(file.name)
            Image.fromarray(vips.to_array(image)).save(before, compress_level=1)
            jpeg = encode(image, format=ImageFormat.JPEG, quality=REFERENCE_QUALITY)
            fixed = REFERENCE_QUALITY, 1.0, points_of(jpeg, before, measure), 0.0
            rows.setdefault(f"JPEG {REFERENCE_QUALITY}", []).append(fixed)
            for format_ in sorted(CHOOSING):
                for level in TARGETS:
                    started = time.process_time()
                    quality = choose_quality(image, format_, level=level).quality
                    ms = 1000 * (time.process_time() - started)
                    body = write(image, format=format_, quality=None, optipress=level).body
                    found = quality, len(body) / len(jpeg), points_of(body, before, measure), ms
                    rows.setdefault(f"{format_.upper()} {level}, {TARGETS[level]:g} points", []).append(found)
    print(f"| {len(next(iter(rows.values())))} photographs | quality | bytes | points | sd | from, to | ms |")
    print("|---|---|---|---|---|---|---|")
    for name, found in rows.items():
        print(line(name, found))


if __name__ == "__main__":
    main()
