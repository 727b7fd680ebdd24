"""What does a URL cost? CPU time of one rendition for each parameter, beside libvips alone in the same run.

    .venv/bin/python bench/urls.py [--photos DIR...] [--count 5] [--megapixels 12] [--repeats 15]

Each photo is a JPEG of the wished number of pixels, rendered as JPEG as a render process does it, from planning to the
last byte, libvips on one thread, everything warm; the median of the repeats of one photo, then the median over photos
of the ratio to `thumbnail_buffer` and `jpegsave_buffer` at 400 px with the same quality and options, measured in turns.
The target is 1.1 for `w=400`: what a URL does not ask for costs nothing. Without --photos the pictures are the sample
photographs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyvips
from comparison.machine import describe_machine
from comparison.pictures import Pictures

from pellucid.formats import ImageFormat
from pellucid.image import vips
from pellucid.image.probe import probe
from pellucid.image.quality import DEFAULT_QUALITY
from pellucid.insights.values import Area, Insights, Salience
from pellucid.render.job import make_job
from pellucid.render.output import Choice
from pellucid.render.plan import plan
from pellucid.render.run import render
from pellucid.system.memory import keep_freed
from pellucid.url.parse import parse_url

VIPS: Any = pyvips
MAX_PIXELS = 10**8
TARGET = 1.1

QUERIES = (
    *("w=400", "w=400&h=300", "w=400&h=300&gravity=north", "w=400&h=300&gravity=auto", "w=400&h=300&func=face"),
    *("w=400&aspect_ratio=16:9", "w=400&tl_px=500,500", "w=400&trim=5", "w=400&flip=h", "w=400&r=90", "w=400&r=15"),
    *("w=400&radius=20", "w=400&h=400&func=fit&bg_color=456", "w=400&h=400&func=fit&bg_img_fit=1"),
)
INSIGHTS = Insights(
    faces=(Area(left=0.4, top=0.2, right=0.5, bottom=0.35),),
    salience=Salience(columns=(0.1, 0.4, 0.4, 0.1), rows=(0.1, 0.4, 0.4, 0.1)),
)
"""Given: what is found in an image is found once."""


def cpu_ms(work: Callable[[], object]) -> float:
    """Milliseconds of CPU that `work` takes in this process."""
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1000


def ours(photo: bytes, query: str) -> bytes:
    facts = probe(photo, max_pixels=MAX_PIXELS)
    spec = parse_url("/h.example/a.jpg", query).spec
    target = plan(spec.geometry, width=facts.width, height=facts.height, max_pixels=MAX_PIXELS, insights=INSIGHTS)
    return render(photo, None, make_job(spec, facts, target, Choice(format=ImageFormat.JPEG), INSIGHTS)).body


def alone(photo: bytes) -> bytes:
    small = VIPS.Image.thumbnail_buffer(photo, 400)
    options = {"quant_table": 3, "optimize_coding": True, "interlace": True, "subsample_mode": "auto", "keep": "none"}
    return small.jpegsave_buffer(Q=DEFAULT_QUALITY, **options)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    vips.harden()
    keep_freed()
    photos = Pictures(options.photos).jpegs(options.count, options.megapixels)
    machine = describe_machine()
    print(f"{machine.cores} cores of {machine.cpu}; {options.count} photos of {options.megapixels:g} MP, JPEG\n")
    print("| query | ms | libvips alone, w=400 | ratio |\n|---|---:|---:|---:|")
    for query in QUERIES:
        pairs: list[tuple[float, float]] = []
        for photo in photos:
            ours(photo, query)
            alone(photo)
            mine_once, base_once = partial(ours, photo, query), partial(alone, photo)
            turns = [(cpu_ms(mine_once), cpu_ms(base_once)) for _ in range(options.repeats)]
            pairs.append((statistics.median(mine for mine, _ in turns), statistics.median(base for _, base in turns)))
        ratio = statistics.median(mine / base for mine, base in pairs)
        verdict = f" ({'reached' if ratio <= TARGET else 'missed'}: {TARGET:g})" if query == "w=400" else ""
        mine, base = (statistics.median(values) for values in zip(*pairs, strict=True))
        print(f"| `{query}` | {mine:.1f} | {base:.1f} | {ratio:.2f}{verdict} |", flush=True)


if __name__ == "__main__":
    main()
