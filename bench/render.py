"""What does one rendition cost? CPU time of each stage, beside libvips alone on the same photo in the same run.

    .venv/bin/python bench/render.py [--photos DIR...] [--count 7] [--megapixels 12] [--repeats 7] [--out FILE]

Each photo is a JPEG of the wished number of pixels; the engine makes its matte once, outside of what is measured. Then
it is rendered as WebP in four ways: 400 px wide as it is, 400 px cut out, 1600 px cut out, cut out at its own size.
User and system time of the whole process, all its threads, libvips on one thread as in a render process, everything
warm; the median of the repeats of one photo, then the median over photos. "libvips alone" is `thumbnail_buffer` and
`webpsave_buffer` at the same size, quality and effort, without a matte. Without --photos the pictures are
the sample photographs. Needs the weights of the default model.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import pyvips
from comparison.machine import busy_share, describe_machine
from comparison.pictures import Pictures

from pellucid.engine import Engine
from pellucid.formats import ImageFormat
from pellucid.image import vips
from pellucid.image.decode import ignore_damage
from pellucid.image.effort import effort_at_most
from pellucid.image.encode import encode
from pellucid.image.probe import DEFAULT_MAX_DECODE_BYTES, probe
from pellucid.image.quality import DEFAULT_QUALITY, own_quality
from pellucid.models.folder import default_models_dir
from pellucid.render.job import RenderJob
from pellucid.render.plan import plan
from pellucid.render.steps.matte import apply_matte, planned_matte
from pellucid.render.steps.scale import scale
from pellucid.spec import Geometry
from pellucid.system.memory import keep_freed

MAX_PIXELS = 100_000_000
SLOW_PIXELS = 4_000_000
"""Larger renditions are made three times only."""

T = TypeVar("T")
VIPS: Any = pyvips


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row. `bound_ms` limits the whole rendition, or all but encoding. `width` None = the photo's own."""

    name: str
    width: int | None
    cut: bool
    bound_ms: float
    with_encoding: bool


CASES = (
    Case(name="400 px", width=400, cut=False, bound_ms=30, with_encoding=True),
    Case(name="400 px, cut out", width=400, cut=True, bound_ms=40, with_encoding=True),
    Case(name="1600 px, cut out", width=1600, cut=True, bound_ms=120, with_encoding=False),
    Case(name="own size, cut out", width=None, cut=True, bound_ms=500, with_encoding=False),
)
STAGES = ("decode", "matte", "colours", "encode")


@dataclass(kw_only=True)
class Found:
    """Milliseconds of CPU by stage, and bytes of the rendition: one value a photo."""

    stages: dict[str, list[float]] = field(default_factory=dict)
    size: list[int] = field(default_factory=list)

    def add(self, times: dict[str, list[float]], size: int) -> None:
        for name, values in times.items():
            self.stages.setdefault(name, []).append(statistics.median(values))
        self.size.append(size)

    def median(self, *stages: str) -> float:
        """The median over photos of the sum of `stages`."""
        return statistics.median(
            map(sum, zip(*(self.stages[name] for name in stages if name in self.stages), strict=True))
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time of one rendition, stage by stage.")
    parser.add_argument("--photos", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--count", type=int, default=7)
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write the tables to this file, too")
    options = parser.parse_args()
    vips.harden()
    keep_freed()
    pictures = Pictures(options.photos)
    photos = pictures.jpegs(options.count, options.megapixels)
    mattes = make_mattes(photos)
    ours = {case.name: Found() for case in CASES}
    alone = {case.name: Found() for case in CASES}
    for photo, matte in zip(photos, mattes, strict=True):
        for case in CASES:
            measure(case, photo, matte, options.repeats, ours=ours[case.name], alone=alone[case.name])
    busy = busy_share()
    text = f"{heading(options, statistics.median(map(len, photos)) / 1e6, busy)}\n\n{table(ours, alone)}\n"
    print(text)
    if options.out:
        options.out.write_text(text)


def make_mattes(photos: list[bytes]) -> list[bytes]:
    """All of them first: the model's threads may not count in what is measured."""
    engine = Engine(compiled_dir=default_models_dir() / "compiled")
    return [engine.make_matte(photo, probe(photo, max_pixels=MAX_PIXELS)) for photo in photos]


def measure(case: Case, photo: bytes, matte: bytes, repeats: int, *, ours: Found, alone: Found) -> None:
    """Render `photo` once to warm up, then `repeats` times, taking turns with libvips alone."""
    job = job_of(case, photo)
    if job.plan.width * job.plan.height > SLOW_PIXELS:
        repeats = min(repeats, 3)
    times: dict[str, list[float]] = {}
    alone_times: dict[str, list[float]] = {}
    size = alone_size = 0
    for turn in range(repeats + 1):
        if turn == 1:
            times, alone_times = {}, {}
        size = render_in_stages(case, photo, matte, job, times)
        alone_size = render_by_vips(photo, job, alone_times)
    ours.add(times, size)
    alone.add(alone_times, alone_size)


def job_of(case: Case, photo: bytes) -> RenderJob:
    facts = probe(photo, max_pixels=MAX_PIXELS)
    resolved = plan(Geometry(width=case.width), width=facts.width, height=facts.height, max_pixels=MAX_PIXELS)
    return RenderJob(facts=facts, plan=resolved, background=None, format=ImageFormat.WEBP)


def render_in_stages(case: Case, photo: bytes, matte: bytes, job: RenderJob, times: dict[str, list[float]]) -> int:
    """What `render.run.render` does, each step timed."""
    image = timed(
        times, "decode", lambda: scale(photo, job, max_bytes=DEFAULT_MAX_DECODE_BYTES, on_damage=ignore_damage)
    )
    if case.cut:
        matte_hw = timed(times, "matte", lambda: planned_matte(matte, job.plan))
        image = timed(times, "colours", lambda: vips.from_array(apply_matte(vips.to_array(image), matte_hw)))
    return len(timed(times, "encode", lambda: encode(image, format=job.format, quality=None)))


def render_by_vips(photo: bytes, job: RenderJob, times: dict[str, list[float]]) -> int:
    width, height = job.plan.width, job.plan.height
    small = timed(
        times,
        "decode",
        lambda: VIPS.Image.thumbnail_buffer(photo, width, height=height, size="force").copy_memory(),
    )
    effort = effort_at_most(ImageFormat.WEBP, pixels=width * height, transparent=False)
    quality = own_quality(DEFAULT_QUALITY, ImageFormat.WEBP)
    saved = timed(times, "encode", lambda: small.webpsave_buffer(Q=quality, effort=effort, keep="none"))
    return len(saved)


def timed(times: dict[str, list[float]], name: str, work: Callable[[], T]) -> T:
    """Append the milliseconds of CPU that `work` takes in this process."""
    started = time.process_time()
    result = work()
    times.setdefault(name, []).append((time.process_time() - started) * 1000)
    return result


def heading(options: argparse.Namespace, megabytes: float, busy: float) -> str:
    machine = describe_machine()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("pyvips-binary", "numpy"))
    note = f" Other work took {busy:.0%} of the cores." if busy > 0.05 else ""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {machine.cores} cores of {machine.cpu}"
        f"{', a virtual machine' if machine.virtual else ''}; Python {platform.python_version()}, {libraries}.{note}\n"
        f"{options.count} photos of {options.megapixels:g} MP ({megabytes:.1f} MB), WebP; ms of CPU, medians"
    )


def table(ours: dict[str, Found], alone: dict[str, Found]) -> str:
    """Ours by stage and together, libvips alone, and how many times as much ours is; then the targets."""
    lines = [
        f"| | {' | '.join(STAGES)} | together | kB "
        "| libvips alone: decode | encode | together | ours / alone | target | |",
        f"|---{'|---:' * (len(STAGES) + 7)}|---|",
    ]
    for case in CASES:
        mine, plain = ours[case.name], alone[case.name]
        judged = mine.median(*(STAGES if case.with_encoding else STAGES[:-1]))
        together, base = mine.median(*STAGES), plain.median(*STAGES)
        cells = [
            *(f"{mine.median(name):.1f}" if name in mine.stages else "" for name in STAGES),
            f"{together:.1f}",
            f"{statistics.median(mine.size) / 1000:.1f}",
            f"{plain.median('decode'):.1f}",
            f"{plain.median('encode'):.1f}",
            f"{base:.1f}",
            f"{together / base:.2f}",
            f"{case.bound_ms:g}{'' if case.with_encoding else ' besides encoding'}",
            f"{judged:.1f}, {'reached' if judged <= case.bound_ms else 'missed'}",
        ]
        lines.append(f"| {case.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
