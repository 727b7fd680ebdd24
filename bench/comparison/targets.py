"""The targets, and whether a run reached them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from comparison.numbers import gain, harmed, images_per_s, mean_quality, median_s, over_sets, ratio, share_of_rembgs
from comparison.results import REMBG, TIERS, Results

MEAN = "mean over sets"

STUDIO = "alphamatting"
"""How the names of sets of studio pictures with measured alpha begin: soft edges, where `best` has most to win."""

Bounds = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityTarget:
    """What is wanted of each set whose name begins with `sets`, and of the mean over all: bounds by tier.
    `measure`: results, name of a set, tier.
    """

    what: str
    measure: Callable[[Results, str, str], float | None]
    at_least: bool
    unit: str
    each: Bounds
    sets: str = ""
    mean: Bounds = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTarget:
    """What is wanted of the whole run: bounds by tier. `measure`: results, tier."""

    what: str
    measure: Callable[[Results, str], float | None]
    at_least: bool
    unit: str
    bounds: Bounds


def _cheaper(results: Results, name: str, tier: str) -> float | None:
    return gain(results, name, tier, "iou", over=TIERS[TIERS.index(tier) - 1])


def _veil(results: Results, name: str, tier: str) -> float | None:
    found = mean_quality(results, name, tier)
    return None if found is None else found.veil


def _time_of_a_cutout(megapixels: str, bounds: Bounds) -> CostTarget:
    return CostTarget(
        what=f"JPEG to PNG, {megapixels} MP",
        measure=lambda results, tier: median_s(results, megapixels, tier),
        at_least=False,
        unit=" s",
        bounds=bounds,
    )


QUALITY = (
    QualityTarget(
        what="IoU",
        measure=lambda results, name, tier: gain(results, name, tier, "iou"),
        at_least=True,
        unit="",
        each={"fast": -0.003, "standard": 0, "best": 0.003},
        mean={"fast": 0.010, "standard": 0.020, "best": 0.030},
    ),
    QualityTarget(
        what="IoU over the cheaper tier's",
        measure=_cheaper,
        at_least=True,
        unit="",
        each={"standard": 0, "best": 0},
    ),
    QualityTarget(
        what="boundary IoU",
        measure=lambda results, name, tier: gain(results, name, tier, "boundary_iou"),
        at_least=True,
        unit="",
        each={"fast": -0.005, "standard": 0.005, "best": 0.010},
        mean={"fast": 0.010, "standard": 0.020, "best": 0.035},
    ),
    QualityTarget(
        what="MAE",
        measure=lambda results, name, tier: share_of_rembgs(results, name, tier, "mae"),
        at_least=False,
        unit=" x",
        each={"fast": 1.05, "standard": 1.00, "best": 0.97},
    ),
    QualityTarget(
        what="gradient error",
        measure=lambda results, name, tier: share_of_rembgs(results, name, tier, "gradient"),
        at_least=False,
        unit=" x",
        each={"fast": 1.00, "standard": 0.95, "best": 0.90},
    ),
    QualityTarget(
        what="gradient error, studio",
        measure=lambda results, name, tier: share_of_rembgs(results, name, tier, "gradient"),
        at_least=False,
        unit=" x",
        each={"best": 0.60},
        sets=STUDIO,
    ),
    QualityTarget(
        what="harmed",
        measure=harmed,
        at_least=False,
        unit="%",
        each={"fast": 0.05, "standard": 0.03, "best": 0.03},
    ),
    QualityTarget(
        what="veil",
        measure=_veil,
        at_least=False,
        unit="%",
        each={"fast": 0.02, "standard": 0.015, "best": 0.01},
    ),
)
"""Against rembg in the same run. "Harmed": pictures whose IoU is more than 0.05 below rembg's."""

COST = (
    CostTarget(
        what="speed, 1 MP",
        measure=lambda results, tier: ratio(median_s(results, "1", REMBG), median_s(results, "1", tier)),
        at_least=True,
        unit=" x",
        bounds={"fast": 3.0, "standard": 2.0},
    ),
    CostTarget(
        what="images per second of a folder",
        measure=lambda results, tier: ratio(images_per_s(results, tier), images_per_s(results, REMBG)),
        at_least=True,
        unit=" x",
        bounds={"fast": 3.5, "standard": 2.2},
    ),
    _time_of_a_cutout("1", {"best": 2.0}),
    _time_of_a_cutout("12", {"standard": 0.8}),
    _time_of_a_cutout("24", {"standard": 1.4}),
    CostTarget(
        what="matte worker's memory, large picture",
        measure=lambda results, tier: results.memory.worker_mb.get(tier) if results.memory else None,
        at_least=False,
        unit=" MB",
        bounds=dict.fromkeys(TIERS, 1200),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One target. `where`: a set, MEAN, or nothing for what costs. `measured`: None if the run did not measure it."""

    what: str
    tier: str
    where: str = ""
    bound: float
    at_least: bool
    measured: float | None
    unit: str

    @property
    def reached(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def judge_quality(results: Results) -> Iterator[Verdict]:
    """Each target for each tier on each set that it is for, then on the mean over sets where that has a bound."""
    for target in QUALITY:
        for tier, bound in target.each.items():

            def number(name: str, target: QualityTarget = target, tier: str = tier) -> float | None:
                return target.measure(results, name, tier)

            for name in results.quality:
                if name.startswith(target.sets):
                    yield _verdict(target, tier, bound, number(name), where=name)
            if tier in target.mean:
                yield _verdict(target, tier, target.mean[tier], over_sets(results.quality, number), where=MEAN)


def judge_cost(results: Results) -> Iterator[Verdict]:
    """Each target for each tier. Speeds are rembg's median divided by the tier's."""
    for target in COST:
        for tier, bound in target.bounds.items():
            yield _verdict(target, tier, bound, target.measure(results, tier))


def _verdict(
    target: QualityTarget | CostTarget, tier: str, bound: float, measured: float | None, *, where: str = ""
) -> Verdict:
    return Verdict(
        what=target.what,
        tier=tier,
        where=where,
        bound=bound,
        at_least=target.at_least,
        measured=measured,
        unit=target.unit,
    )
