"""How far a matte can be trusted, and when there is no subject at all. Pure.

Calibrated on the standard tier with 39 photographs that have true masks and 148 scenes in which their subjects lie
small (2 to 40 % of the area) on other backgrounds (`bench/confidence.py`). Said and found, in groups of what was said:

    said      0.11   0.43   0.73   0.87   0.93   0.95
    found     0.00   0.53   0.68   0.84   0.96   0.87
    mattes       7     15     22     49     55     39

Expected calibration error 0.053, on the photographs alone 0.045; Brier score 0.114 and 0.095. On the same mattes
`nothing_there` was never wrong (0 of 187: below 1.6 % with 95 % confidence); of 39 pictures without a subject
(backgrounds with the subject painted over) it found 11. In the others the model sees something: a blot, a shelf,
a bench.
"""

from __future__ import annotations

import numpy as np

from pellucid.cutout.runtime import FloatArray

_SURE = 0.5
"""Alpha from which a pixel counts as subject."""

_FAINT = 0.1

_EMPTY_SHARE = 0.0005
"""A subject below this share of the picture (51 of 320 x 320 pixels) is taken for noise."""

_UNDECIDED = 0.3
"""Decidedness below which there is nothing but doubt."""

_DECIDEDNESS = (0.0, 0.6, 0.75, 0.85, 0.9, 0.94, 0.97, 1.0)
_CONFIDENCE = (0.0, 0.05, 0.1, 0.4, 0.65, 0.85, 0.93, 0.97)


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


def confidence(alpha_hw: FloatArray) -> float:
    """The probability, in [0, 1], that the matte's IoU with the truth is at least 0.9."""
    return float(np.interp(decidedness(alpha_hw), _DECIDEDNESS, _CONFIDENCE))


def nothing_there(alpha_hw: FloatArray) -> bool:
    """Whether nothing in the picture is recognisable as a foreground."""
    return bool((alpha_hw >= _SURE).mean() < _EMPTY_SHARE) or decidedness(alpha_hw) < _UNDECIDED
