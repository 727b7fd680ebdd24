"""How large and how slow are cutouts as PNG? Beside libvips' encoder and Pillow's, which rembg uses, in the same run.

    .venv/bin/python bench/png.py --data DIR... [--megapixels 0.2 1 4] [--count 10] [--repeats 3] [--out FILE]

DIR has `images/` and `masks/`. Each photo is brought to the wished number of pixels (with grain, where that enlarges)
and written as JPEG; its true mask is its matte. The cutout is made by the steps of a rendition, then written:

    ours        `image.png`
    libvips     its encoder as it was used before, filter "up" at level 2, on the colours as they were before: not
                rounded to what alpha lets through
    Pillow      its defaults, on those same colours
    rembg       its defaults, on what rembg makes of the same photo and mask: `Image.composite` with nothing, so that
                colours are darkened by alpha

and the photo itself in three of these ways. CPU time of the process, the best of the repeats, mean of a set; bytes of
a set, as shares of rembg's, of photos as shares of Pillow's.
"""

from __future__ import annotations

import argparse
import io
import platform
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyvips
from comparison.machine import describe_machine
from comparison.pictures import add_grain
from PIL import Image, ImageOps

from pellucid.evaluate.dataset import find_pairs
from pellucid.formats import ImageFormat
from pellucid.image import vips
from pellucid.image.decode import ignore_damage
from pellucid.image.matte_file import pack_matte
from pellucid.image.png import save_png
from pellucid.image.probe import DEFAULT_MAX_DECODE_BYTES, probe
from pellucid.render import foreground
from pellucid.render.job import RenderJob
from pellucid.render.plan import plan
from pellucid.render.steps.matte import apply_matte, planned_matte
from pellucid.render.steps.scale import scale
from pellucid.spec import Geometry
from pellucid.system.memory import keep_freed

MAX_PIXELS = 100_000_000
QUALITY = 92
WAYS = ("ours", "libvips", "Pillow", "rembg", "photo: ours", "photo: libvips", "photo: Pillow")

Pixels = npt.NDArray[np.uint8]
VIPS: Any = pyvips


def main() -> None:
    parser = argparse.ArgumentParser(description="Size and CPU time of PNG files.")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.2, 1.0, 4.0])
    parser.add_argument("--count", type=int, default=10, help="pictures of each set at most")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the table to this file, too")
    options = parser.parse_args()
    vips.harden()
    keep_freed()
    lines = [heading(), "", "| MP | set (pictures) | " + " | ".join(WAYS) + " |", "|---" * (len(WAYS) + 2) + "|"]
    for megapixels in options.megapixels:
        together: dict[str, list[tuple[float, int]]] = {way: [] for way in WAYS}
        for folder in options.data:
            found = measure_set(folder, megapixels, count=options.count, repeats=options.repeats)
            lines.append(row(f"{megapixels:g}", folder.name, found))
            print(lines[-1], flush=True)
            for way in WAYS:
                together[way] += found[way]
        lines.append(row(f"{megapixels:g}", "**all**", together))
        print(lines[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


def measure_set(folder: Path, megapixels: float, *, count: int, repeats: int) -> dict[str, list[tuple[float, int]]]:
    """Seconds of CPU and bytes of each picture, by way."""
    found: dict[str, list[tuple[float, int]]] = {way: [] for way in WAYS}
    for photo, mask in pictures(folder, megapixels, count):
        for way, write in ways(photo, mask).items():
            found[way].append(best_of(write, repeats))
    return found


def pictures(folder: Path, megapixels: float, count: int) -> Iterator[tuple[bytes, Pixels]]:
    """JPEGs and mattes of the wished size, spread evenly over the set."""
    pairs = find_pairs(folder)
    for number, (picture, mask_path, _) in enumerate(pairs[:: max(1, len(pairs) // count)][:count]):
        image = ImageOps.exif_transpose(Image.open(picture)).convert("RGB")
        share = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
        size = round(image.width * share), round(image.height * share)
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
        image = add_grain(image, np.random.default_rng(number)) if share > 1 else image
        out = io.BytesIO()
        image.save(out, "JPEG", quality=QUALITY)
        yield out.getvalue(), np.asarray(Image.open(mask_path).convert("L").resize(size, Image.Resampling.BICUBIC))


def ways(data: bytes, mask: Pixels) -> dict[str, Callable[[], bytes]]:
    """What is measured: encoders with their pixels at hand."""
    height, width = mask.shape
    facts = probe(data, max_pixels=MAX_PIXELS)
    target = plan(Geometry(), width=facts.width, height=facts.height, max_pixels=MAX_PIXELS)
    job = RenderJob(facts=facts, plan=target, background=None, format=ImageFormat.PNG)
    photo = vips.to_array(scale(data, job, max_bytes=DEFAULT_MAX_DECODE_BYTES, on_damage=ignore_damage))
    matte = planned_matte(
        pack_matte(mask, width=width, height=height, confidence=1, empty=False, recipe_id="truth"), target
    )
    cutout = apply_matte(photo, matte)
    exact = unrounded(photo, matte)
    naive = composite(photo, matte)
    return {
        "ours": lambda: save_png(vips.from_array(cutout)),
        "libvips": lambda: by_libvips(exact),
        "Pillow": lambda: by_pillow(exact),
        "rembg": lambda: by_pillow(naive),
        "photo: ours": lambda: save_png(vips.from_array(photo)),
        "photo: libvips": lambda: by_libvips(photo),
        "photo: Pillow": lambda: by_pillow(photo),
    }


def unrounded(photo: Pixels, matte: Pixels) -> Pixels:
    """The cutout with colours in steps of one level, whatever alpha is."""
    rounding: Any = foreground
    kept = rounding.LEAST_SHOWN
    rounding.LEAST_SHOWN = 0.0
    try:
        return apply_matte(photo, matte)
    finally:
        rounding.LEAST_SHOWN = kept


def composite(photo: Pixels, matte: Pixels) -> Pixels:
    """As rembg's `naive_cutout` does it."""
    image = Image.fromarray(photo)
    return np.asarray(Image.composite(image.convert("RGBA"), Image.new("RGBA", image.size, 0), Image.fromarray(matte)))


def by_libvips(pixels: Pixels) -> bytes:
    return vips.from_array(pixels).pngsave_buffer(compression=2, filter="up", keep="none")


def by_pillow(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def best_of(write: Callable[[], bytes], repeats: int) -> tuple[float, int]:
    """The least seconds of CPU, and the bytes."""
    best, size = float("inf"), 0
    for _ in range(repeats):
        started = time.process_time()
        size = len(write())
        best = min(best, time.process_time() - started)
    return best, size


def row(megapixels: str, name: str, found: dict[str, list[tuple[float, int]]]) -> str:
    """Mean milliseconds; bytes as a share of rembg's, of photos as a share of Pillow's."""
    count = len(found["ours"])
    cells: list[str] = []
    for way, values in found.items():
        base = sum(size for _, size in found["photo: Pillow" if way.startswith("photo") else "rembg"])
        ms = 1000 * sum(seconds for seconds, _ in values) / count
        cells.append(f"{ms:.1f} ms, {sum(size for _, size in values) / base:.3f}")
    return f"| {megapixels} | {name} ({count}) | {' | '.join(cells)} |"


def heading() -> str:
    machine = describe_machine()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("pyvips-binary", "pillow", "zlib-ng", "numpy"))
    return f"{machine.cores} cores of {machine.cpu}; Python {platform.python_version()}, {libraries}."


if __name__ == "__main__":
    main()
