"""Figures drawn from results: medians, means, ratios. Pure; None where a part was not measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable

from comparison.results import REMBG, Quality, Results

MEASURES = Quality.__struct_fields__

HARM = 0.05
"""IoU below rembg's that counts as harm to a picture."""


def median_s(results: Results, megapixels: str, side: str) -> float | None:
    """Median seconds from JPEG to PNG bytes."""
    timing = results.latency.get(megapixels, {}).get(side)
    return statistics.median(timing.seconds) if timing and timing.seconds else None


def median_png_mb(results: Results, megapixels: str, side: str) -> float | None:
    """Median size of the PNG."""
    timing = results.latency.get(megapixels, {}).get(side)
    return statistics.median(timing.png_bytes) / 1e6 if timing and timing.png_bytes else None


def images_per_s(results: Results, side: str) -> float | None:
    """Of the median folder run, start-up included."""
    runs = results.folder.runs.get(side) if results.folder else None
    if results.folder is None or not runs:
        return None
    return results.folder.pictures / statistics.median(run.seconds for run in runs)


def folder_peak_mb(results: Results, side: str) -> float | None:
    """The largest peak of all folder runs."""
    runs = results.folder.runs.get(side) if results.folder else None
    return max(run.peak_mb for run in runs) if runs else None


def startup_s(results: Results, side: str) -> float | None:
    """Median seconds from process start to the first PNG."""
    seconds = results.startup.seconds.get(side) if results.startup else None
    return statistics.median(seconds) if seconds else None


def mean_quality(results: Results, name: str, side: str) -> Quality | None:
    """Means over the pictures of the set called `name`."""
    scores = _scores(results, name, side)
    if not scores:
        return None
    return Quality(**{field: statistics.fmean(getattr(score, field) for score in scores) for field in MEASURES})


def gain(results: Results, name: str, side: str, measure: str, *, over: str = REMBG) -> float | None:
    """What a side's mean of `measure` is above that of the side `over`."""
    ours, theirs = mean_quality(results, name, side), mean_quality(results, name, over)
    return None if ours is None or theirs is None else getattr(ours, measure) - getattr(theirs, measure)


def share_of_rembgs(results: Results, name: str, side: str, measure: str) -> float | None:
    """A side's mean of `measure` divided by rembg's."""
    ours, theirs = mean_quality(results, name, side), mean_quality(results, name, REMBG)
    return None if ours is None or theirs is None else ratio(getattr(ours, measure), getattr(theirs, measure))


def harmed(results: Results, name: str, side: str) -> float | None:
    """The share of pictures whose IoU is more than 0.05 below rembg's."""
    ours, theirs = _scores(results, name, side), _scores(results, name, REMBG)
    if not ours or not theirs:
        return None
    return statistics.fmean(our.iou < their.iou - HARM for our, their in zip(ours, theirs, strict=True))


def over_sets(names: Iterable[str], number: Callable[[str], float | None]) -> float | None:
    """The mean of a `number` of each set, each set counting the same; None where one has none."""
    numbers = [number(name) for name in names]
    known = [value for value in numbers if value is not None]
    return statistics.fmean(known) if known and len(known) == len(numbers) else None


def _scores(results: Results, name: str, side: str) -> list[Quality]:
    found = results.quality.get(name)
    return found.scores.get(side, []) if found else []


def ratio(above: float | None, below: float | None) -> float | None:
    """`above / below`."""
    return None if above is None or not below else above / below
