"""The targets, and whether a run reached them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from comparison.machine import BF16_DOT, INT8_DOT
from comparison.numbers import images_per_s, mean_quality, median_s, ratio
from comparison.results import REMBG, TIERS, Machine, Results

FAST_SPEED_INT8 = 3.5
FAST_SPEED_BF16 = 1.8
FAST_IOU = -0.003
STANDARD_SPEED = 2.5
STANDARD_IOU = 0.010
STANDARD_SETS = ("oxford-pets26", "gsc-dev")
STANDARD_SECONDS = {"12": 0.8, "24": 1.4}
STANDARD_BOUNDARY_IOU = 0.03
STANDARD_GRADIENT = -0.15
BEST_SECONDS = 2.0
WORKER_MB = 1200
FOLDER_SPEED = 3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One target. `measured` is None where the run did not measure it."""

    tier: str
    what: str
    bound: float
    at_least: bool
    measured: float | None
    unit: str

    @property
    def reached(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def judge(results: Results) -> list[Verdict]:
    """Every target, in the order of tiers. Speeds are rembg's median divided by the tier's."""
    return [*_fast(results), *_standard(results), *_best(results), *_worker(results)]


def fast_speed(machine: Machine) -> float | None:
    """What is wanted of the fast tier on this CPU; None where it has no arithmetic to be fast with."""
    if INT8_DOT & set(machine.features):
        return FAST_SPEED_INT8
    return FAST_SPEED_BF16 if BF16_DOT & set(machine.features) else None


def _fast(results: Results) -> Iterator[Verdict]:
    if wanted := fast_speed(results.machine):
        yield _at_least("fast", "speed, 1 MP", wanted, _speed(results, "fast"), " x")
    for folder in results.quality:
        yield _at_least("fast", f"IoU, {folder}", FAST_IOU, _gain(results, folder, "fast", "iou"), "")
    per_second = ratio(images_per_s(results, "fast"), images_per_s(results, REMBG))
    yield _at_least("fast", "images per second of a folder", FOLDER_SPEED, per_second, " x")


def _standard(results: Results) -> Iterator[Verdict]:
    yield _at_least("standard", "speed, 1 MP", STANDARD_SPEED, _speed(results, "standard"), " x")
    for megapixels, bound in STANDARD_SECONDS.items():
        measured = median_s(results, megapixels, "standard")
        yield _at_most("standard", f"JPEG to PNG, {megapixels} MP", bound, measured, " s")
    for folder in STANDARD_SETS:
        gains = {name: _gain(results, folder, "standard", name) for name in ("iou", "boundary_iou")}
        yield _at_least("standard", f"IoU, {folder}", STANDARD_IOU, gains["iou"], "")
        yield _at_least("standard", f"boundary IoU, {folder}", STANDARD_BOUNDARY_IOU, gains["boundary_iou"], "")
        ours, theirs = mean_quality(results, folder, "standard"), mean_quality(results, folder, REMBG)
        share = ratio(ours and ours.gradient, theirs and theirs.gradient)
        change = None if share is None else share - 1
        yield _at_most("standard", f"gradient error, {folder}", STANDARD_GRADIENT, change, "%")


def _best(results: Results) -> Iterator[Verdict]:
    yield _at_most("best", "JPEG to PNG, 1 MP", BEST_SECONDS, median_s(results, "1", "best"), " s")


def _worker(results: Results) -> Iterator[Verdict]:
    memory = results.memory
    for tier in TIERS:
        peak = memory.worker_mb.get(tier) if memory else None
        large = f"{memory.large_megapixels:g} MP" if memory else "large picture"
        yield _at_most(tier, f"matte worker's memory, {large}", WORKER_MB, peak, " MB")


def _speed(results: Results, tier: str) -> float | None:
    return ratio(median_s(results, "1", REMBG), median_s(results, "1", tier))


def _gain(results: Results, folder: str, tier: str, measure: str) -> float | None:
    ours, theirs = mean_quality(results, folder, tier), mean_quality(results, folder, REMBG)
    return None if ours is None or theirs is None else getattr(ours, measure) - getattr(theirs, measure)


def _at_least(tier: str, what: str, bound: float, measured: float | None, unit: str) -> Verdict:
    return Verdict(tier=tier, what=what, bound=bound, at_least=True, measured=measured, unit=unit)


def _at_most(tier: str, what: str, bound: float, measured: float | None, unit: str) -> Verdict:
    return Verdict(tier=tier, what=what, bound=bound, at_least=False, measured=measured, unit=unit)
