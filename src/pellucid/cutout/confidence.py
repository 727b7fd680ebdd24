"""How far a matte can be trusted, and when there is no subject at all. Pure.

Calibrated with 228 photographs of seven sets and 214 scenes in which their subjects lie small on other backgrounds
(`bench/confidence.py`): beta calibration (Kull, Silva Filho and Flach, AISTATS 2017) over decidedness and the agreement
of the passes. The expected calibration error on the photographs is 0.036 in fast (by ten folds over pictures), 0.029 in
standard and 0.043 in best, where a perfect one would have 0.05 by chance; the Brier score is 0.131, 0.136 and 0.127.
docs/benchmarks.md has them set by set. For a model of one pass, decidedness alone.

On the mattes of standard `nothing_there` was wrong 2 times in 442; of 228 pictures without a subject (backgrounds with
the subject painted over) it found 32. In the others the model sees something: a blot, a shelf, a bench.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pellucid.inference.runtime import FloatArray

_SURE = 0.5
"""Alpha from which a pixel counts as subject."""

_FAINT = 0.1

_EMPTY_SHARE = 0.0005
"""A subject below this share of the picture (51 of 320 x 320 pixels) is taken for noise."""

_UNDECIDED = 0.3
"""Decidedness below which there is nothing but doubt."""

_NEAR = 0.01
"""Added to what is missing to 1, so that nothing is certain: 0.99 at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Constants of a beta calibration: the log-odds are `offset` and, for each feature f in [0, 1] with its two
    weights (rise, near), rise * ln(f + 0.01) - near * ln(1 - f + 0.01).
    """

    offset: float
    decidedness: tuple[float, float]
    agreement: tuple[float, float] = (0, 0)


_ONE_PASS = Calibration(offset=-3.841, decidedness=(0, 1.786))


def decidedness(alpha_hw: FloatArray) -> float:
    """How decided the matte is where it sees a subject: 1 = every such pixel is 0 or 1, 0 = all are halves, or none is
    more than faint.

    The mean of |2a - 1| over pixels above 0.02, weighted by a. Where less than half of what is above 0.1 is above one
    half, it is reduced in proportion: a matte that is faint throughout has not decided that there is a subject.
    """
    weight = np.where(alpha_hw > 0.02, alpha_hw, 0.0)
    total = float(weight.sum())
    if total == 0:
        return 0.0
    firm, seen = float((alpha_hw >= _SURE).sum()), float((alpha_hw >= _FAINT).sum())
    firmness = min(1.0, 2 * firm / seen) if seen else 0.0
    return firmness * float((np.abs(2 * alpha_hw - 1) * weight).sum() / total)


def confidence(alpha_hw: FloatArray, agreement: float | None, calibration: Calibration) -> float:
    """The probability, in [0, 1], that the matte's IoU with the truth is at least 0.9. `agreement` of the passes it
    was made of, in [0, 1] (`cutout.fuse`), to which `calibration` belongs; None for one pass.
    """
    if agreement is None:
        return _probability(_ONE_PASS, decidedness(alpha_hw), 0)
    return _probability(calibration, decidedness(alpha_hw), agreement)


def _probability(calibration: Calibration, *features: float) -> float:
    odds = calibration.offset
    for feature, (rise, near) in zip(features, (calibration.decidedness, calibration.agreement), strict=True):
        odds += rise * math.log(feature + _NEAR) - near * math.log(1 - feature + _NEAR)
    return 1 / (1 + math.exp(-odds))


def nothing_there(alpha_hw: FloatArray) -> bool:
    """Whether nothing in the picture is recognisable as a foreground."""
    return bool((alpha_hw >= _SURE).mean() < _EMPTY_SHARE) or decidedness(alpha_hw) < _UNDECIDED
