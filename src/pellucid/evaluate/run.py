"""Cut every sample, measure it, and sum up."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, fields

from pellucid.engine import Cutout, Engine
from pellucid.evaluate.dataset import Sample
from pellucid.evaluate.measures import Measures, measure

MEASURES = tuple(field.name for field in fields(Measures))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What was measured of one picture. `confidence`: what the cutout says of itself, [0, 1]. `seconds`: from encoded
    bytes to matte and cutout pixels.
    """

    name: str
    measures: Measures
    confidence: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A score with the pixels it was found on: some 20 bytes for each of the picture's."""

    sample: Sample
    cutout: Cutout
    score: Score


def evaluate(samples: Iterable[Sample], engine: Engine) -> Iterator[Result]:
    """A result for each sample, in order."""
    for sample in samples:
        started = time.perf_counter()
        cutout = engine.cut(sample.picture)
        cutout.rgba()
        seconds = time.perf_counter() - started
        score = Score(
            name=sample.name,
            measures=measure(cutout.matte, sample.truth, sample.valid),
            confidence=cutout.confidence,
            seconds=seconds,
        )
        yield Result(sample=sample, cutout=cutout, score=score)


def mean(measures: Collection[Measures]) -> Measures:
    """The mean of every measure."""
    return Measures(**{name: statistics.fmean(getattr(each, name) for each in measures) for name in MEASURES})


def worst_first(scores: Iterable[Score]) -> list[Score]:
    """By boundary IoU: what the eye sees first is an edge that is wrong."""
    return sorted(scores, key=lambda score: score.measures.boundary_iou)


def peak_memory_mib() -> float:
    """The largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
