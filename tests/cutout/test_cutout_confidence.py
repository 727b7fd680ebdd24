"""Confidence is a probability that grows with how decided a matte is; doubt alone is no subject."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.cutout.confidence import confidence, decidedness, nothing_there
from pellucid.cutout.tiers import TIERS
from pellucid.inference.runtime import FloatArray
from pellucid.spec import Tier


def _matte(alpha: float, *, share: float = 0.25) -> FloatArray:
    matte = np.zeros((100, 100), np.float32)
    matte[: round(100 * share)] = alpha
    return matte


def test_decidedness_orders_mattes() -> None:
    assert decidedness(_matte(1)) == 1
    assert decidedness(_matte(0.5)) == 0
    assert decidedness(_matte(0.6)) == pytest.approx(0.2, abs=1e-6)
    assert decidedness(_matte(0)) == 0
    assert decidedness(_matte(0.05)) == 0, "to see nothing much is no decision for a subject"


@pytest.mark.parametrize("tier", list(Tier))
def test_confidence_is_a_probability_that_never_falls(tier: Tier) -> None:
    calibration = TIERS[tier].calibration
    for agreement in (None, 0.9, 1.0):
        said = [confidence(_matte(float(alpha)), agreement, calibration) for alpha in np.linspace(0.5, 1, 60)]
        assert said == sorted(said)
    assert confidence(_matte(0.5), None, calibration) < 0.05
    assert confidence(_matte(0), 1, calibration) < 0.9
    assert 0.95 < confidence(_matte(1), None, calibration) < 1, "never certain"
    assert 0.95 < confidence(_matte(1), 1.0, calibration) < 1


@pytest.mark.parametrize("tier", list(Tier))
def test_passes_that_disagree_cost_confidence(tier: Tier) -> None:
    said = [confidence(_matte(1), agreement, TIERS[tier].calibration) for agreement in (0, 0.5, 0.8, 0.95, 1)]
    assert said == sorted(said)
    assert said[0] < 0.5 < 0.9 < said[-1]


@pytest.mark.parametrize(
    ("matte", "empty"),
    [
        (_matte(0), True),
        (_matte(0.4), True),  # half of the picture in doubt, nowhere a subject
        (_matte(0.55), True),  # a guess just above one half
        (_matte(0.9), False),
        (_matte(1, share=1), False),
    ],
)
def test_doubt_alone_is_no_subject(matte: FloatArray, *, empty: bool) -> None:
    assert nothing_there(matte) is empty


def test_a_few_pixels_are_noise() -> None:
    matte = np.zeros((256, 256), np.float32)
    matte[5:10, 5:10] = 1
    assert nothing_there(matte)
    matte[5:15, 5:15] = 1
    assert not nothing_there(matte)
