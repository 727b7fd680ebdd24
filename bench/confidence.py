"""How often a matte is as good as its confidence says, and how often `no-subject` is wrong.

    .venv/bin/python bench/confidence.py DIR... [--quality standard] [--plot FILE]

DIR holds images/, masks/ and perhaps ignore/, as for `pellucid eval`. Besides the photographs, their subjects are put
small (0.15, 0.25, 0.4 and 0.6 of the frame's side) on backgrounds made from the photographs by painting the subject
over; the painted backgrounds alone are the pictures without a subject. A matte counts as good when its IoU with the
truth is at least 0.9. Needs the extra `[eval]`, and `[bench]` for the plot.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pellucid.cutout.refine import enlarge
from pellucid.engine import Engine
from pellucid.evaluate.dataset import Sample, read_samples
from pellucid.evaluate.measures import iou
from pellucid.folders import default_models_dir
from pellucid.image.decode import decode_rgb_array
from pellucid.image.probe import probe
from pellucid.image.vips import from_array, to_array, to_srgb_size

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

SIDES = (0.15, 0.25, 0.4, 0.6)
FRAME = (900, 700)
GOOD_IOU = 0.9
GROUPS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.94, 1.01)


@dataclass(frozen=True, kw_only=True)
class Judged:
    confidence: float
    empty: bool
    good: bool


def main() -> None:
    parser = argparse.ArgumentParser(description="Reliability of the confidence.")
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    parser.add_argument("--quality", default="standard")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    engine = Engine(quality=options.quality, compiled_dir=default_models_dir() / "compiled")
    samples = [sample for folder in options.folders for sample in read_samples(folder)]
    photos = [decoded(sample) for sample in samples]
    rng = np.random.default_rng(1)
    grounds = [paint_over(photo, sample.truth >= 0.5, rng) for photo, sample in zip(photos, samples, strict=True)]
    real = [judge(engine, photo, sample.truth, sample.valid) for photo, sample in zip(photos, samples, strict=True)]
    made = [
        judge(engine, scene, truth, np.ones(truth.shape, np.bool_))
        for scene, truth in small_scenes(photos, samples, grounds, rng)
    ]
    without = [engine.segment(ground).empty for ground in grounds]
    report("photographs", real)
    groups = report("photographs and small subjects", real + made)
    wrong = sum(each.empty for each in real + made)
    print(
        f"\nno-subject: {wrong} of {len(real + made)} pictures with a subject, {sum(without)} of {len(without)} without"
    )
    if options.plot:
        draw(groups, options.plot)


def decoded(sample: Sample) -> Pixels:
    facts = probe(sample.picture, max_pixels=100_000_000)
    return decode_rgb_array(sample.picture, facts, width=facts.width, height=facts.height)


def judge(engine: Engine, photo: Pixels, truth: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> Judged:
    coarse = engine.segment(photo)
    matte = enlarge(coarse.alpha_hw, width=photo.shape[1], height=photo.shape[0])
    good = iou(matte >= 128, truth >= 0.5, valid) >= GOOD_IOU
    return Judged(confidence=coarse.confidence, empty=coarse.empty, good=good)


def paint_over(photo: Pixels, subject: npt.NDArray[np.bool_], rng: np.random.Generator) -> Pixels:
    """The background alone: the subject's place takes blurs of what is around it, wider ones further in, and grain."""
    hole = ndimage.binary_dilation(subject, iterations=8)
    known = (~hole).astype(np.float64)
    filled: Floats = photo.astype(np.float64)
    open_ = hole.copy()
    for sigma in (4, 16, 64, 160):
        weight = ndimage.gaussian_filter(known, sigma)
        near = open_ & (weight > 0.02)
        for colour in range(3):
            blurred = ndimage.gaussian_filter(photo[..., colour] * known, sigma)
            filled[near, colour] = blurred[near] / weight[near]
        open_ &= ~near
    return np.clip(filled + rng.normal(0, 3, filled.shape), 0, 255).astype(np.uint8)


def small_scenes(
    photos: list[Pixels], samples: list[Sample], grounds: list[Pixels], rng: np.random.Generator
) -> Iterator[tuple[Pixels, npt.NDArray[np.float32]]]:
    """Subjects that fill less than half of their photograph, small on the ground of another one; and their alpha."""
    width, height = FRAME
    for side, (number, sample) in itertools.product(SIDES, enumerate(samples)):
        subject = sample.truth >= 0.5
        if not 0 < subject.mean() < 0.5:
            continue
        ground = scaled(grounds[(number * 7 + 3) % len(grounds)], width, height).astype(np.float64)
        rows, columns = np.nonzero(subject)
        scale = side * np.sqrt(width * height / (np.ptp(rows) + 1) / (np.ptp(columns) + 1))
        w, h = (max(8, int(length * scale)) for length in reversed(subject.shape))
        photo = scaled(photos[number], w, h)
        soft = (ndimage.gaussian_filter(sample.truth, 0.7) * 255).astype(np.uint8)
        alpha = scaled(np.repeat(soft[..., None], 3, axis=2), w, h)[..., 0] / 255
        left = int(rng.uniform(0.3, 0.7) * width - columns.mean() * scale)
        top = int(rng.uniform(0.4, 0.7) * height - rows.mean() * scale)
        inside = slice(max(0, top), min(height, top + h)), slice(max(0, left), min(width, left + w))
        source = tuple(slice(part.start - at, part.stop - at) for part, at in zip(inside, (top, left), strict=True))
        truth = np.zeros((height, width), np.float32)
        truth[inside] = alpha[source]
        a = truth[inside][..., None]
        ground[inside] = photo[source] * a + ground[inside] * (1 - a)
        yield ground.astype(np.uint8), truth


def scaled(picture: Pixels, width: int, height: int) -> Pixels:
    return to_array(to_srgb_size(from_array(picture), width=width, height=height))


def report(name: str, judged: list[Judged]) -> list[tuple[float, float, int]]:
    """Prints said, found and how many for each group; returns them."""
    said = np.array([each.confidence for each in judged])
    good = np.array([each.good for each in judged], np.float64)
    groups: list[tuple[float, float, int]] = []
    for low, high in itertools.pairwise(GROUPS):
        chosen = (said >= low) & (said < high)
        if chosen.any():
            groups.append((float(said[chosen].mean()), float(good[chosen].mean()), int(chosen.sum())))
    error = sum(count * abs(told - found) for told, found, count in groups) / len(judged)
    print(f"\n{name}: {len(judged)}, calibration error {error:.3f}, Brier score {((said - good) ** 2).mean():.3f}")
    for told, found, count in groups:
        print(f"  said {told:.2f}  found {found:.2f}  mattes {count}")
    return groups


def draw(groups: list[tuple[float, float, int]], target: Path) -> None:
    style: dict[str, Any] = {"svg.hashsalt": "pellucid", "svg.fonttype": "none", "font.size": 9}
    with import_module("matplotlib").rc_context(style):
        figure: Any = import_module("matplotlib.figure").Figure(figsize=(4, 4))
        import_module("matplotlib.backends.backend_svg").FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1)
        axes.plot([each[0] for each in groups], [each[1] for each in groups], marker="o", color="#1f6f8b")
        for told, found, count in groups:
            axes.annotate(str(count), (told, found), textcoords="offset points", xytext=(6, -10))
        axes.set(xlabel="confidence", ylabel="share of mattes with IoU of at least 0.9", xlim=(0, 1), ylim=(0, 1.03))
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, format="svg", metadata={"Date": None}, bbox_inches="tight")


if __name__ == "__main__":
    main()
