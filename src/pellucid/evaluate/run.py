"""Cut every sample, measure it, and sum up."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

from pellucid.engine import Cutout, Engine
from pellucid.evaluate.dataset import Sample
from pellucid.evaluate.measures import Measures, measure

MEASURES = tuple(field.name for field in fields(Measures))


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One measured sample. `seconds` is from encoded bytes to matte and cutout pixels."""

    sample: Sample
    cutout: Cutout
    measures: Measures
    seconds: float


def evaluate(samples: Iterable[Sample], engine: Engine) -> Iterator[Result]:
    """A result for each sample, in order."""
    for sample in samples:
        started = time.perf_counter()
        cutout = engine.cut(sample.picture)
        cutout.rgba()
        seconds = time.perf_counter() - started
        yield Result(
            sample=sample,
            cutout=cutout,
            measures=measure(cutout.matte, sample.truth, sample.valid),
            seconds=seconds,
        )


def mean(results: list[Result]) -> Measures:
    """The mean of every measure over pictures."""
    return Measures(**{name: statistics.fmean(getattr(r.measures, name) for r in results) for name in MEASURES})


def worst_first(results: list[Result]) -> list[Result]:
    """By boundary IoU: what the eye sees first is an edge that is wrong."""
    return sorted(results, key=lambda result: result.measures.boundary_iou)


def peak_memory_mib() -> float:
    """The largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
