"""Figures drawn from results: medians, means, ratios. Pure; None where a part was not measured."""

from __future__ import annotations

import statistics

from comparison.results import Quality, Results


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


def mean_quality(results: Results, folder: str, side: str) -> Quality | None:
    """Means over the folder's pictures."""
    scores = results.quality.get(folder, {}).get(side)
    if not scores:
        return None
    return Quality(
        iou=statistics.fmean(score.iou for score in scores),
        boundary_iou=statistics.fmean(score.boundary_iou for score in scores),
        mae=statistics.fmean(score.mae for score in scores),
        gradient=statistics.fmean(score.gradient for score in scores),
    )


def ratio(above: float | None, below: float | None) -> float | None:
    """`above / below`."""
    return None if above is None or not below else above / below
