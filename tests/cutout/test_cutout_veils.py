"""Veils: what is faint over an area goes, what is nearly firm over an area is firm; edges, hair and glass stay."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pellucid.cutout.veils import lift_veils

Plane = npt.NDArray[np.float32]


def _disc(side: int = 320, *, radius: float = 100, soft: float = 3) -> Plane:
    """A disc with an edge of 2 `soft` pixels."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    return np.clip((radius - np.hypot(x - side / 2, y - side / 2)) / (2 * soft) + 0.5, 0, 1).astype(np.float32)


def test_a_ghost_goes_and_a_hazy_coat_is_whole() -> None:
    clean = _disc()
    hazy = np.where(clean == 1, np.float32(0.93), clean)
    hazy[10:40, 10:200] = 0.08
    lifted = lift_veils(hazy)
    assert lifted[10:40, 10:200].max() == 0
    assert lifted[160, 160] == 1
    assert lifted.dtype == np.float32


def test_edges_stay_as_they_are() -> None:
    clean = _disc()
    np.testing.assert_array_equal(lift_veils(clean), clean)


def test_hair_near_the_subject_stays() -> None:
    alpha = _disc()
    alpha[60:160, 160:162] = 0.3
    np.testing.assert_array_equal(lift_veils(alpha), alpha)


@pytest.mark.parametrize("glass", [0.3, 0.5, 0.7])
def test_glass_stays(glass: float) -> None:
    alpha = _disc() * np.float32(glass)
    assert lift_veils(alpha)[160, 160] == pytest.approx(glass)


def test_between_faint_and_plain_there_is_no_step() -> None:
    found = [float(lift_veils(np.full((40, 40), level / 100, np.float32))[20, 20]) for level in range(101)]
    steps = np.diff(found)
    assert (steps >= 0).all()
    assert steps.max() < 0.05
    assert (found[0], found[10], found[30], found[50], found[70], found[90], found[100]) == pytest.approx(
        (0, 0, 0.3, 0.5, 0.7, 1, 1)
    )


@given(
    arrays.arrays(
        np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=50), elements=st.floats(0, 1, width=32)
    )
)
def test_nobody_changes_sides(alpha: Plane) -> None:
    lifted = lift_veils(alpha)
    assert lifted.shape == alpha.shape
    assert ((lifted >= 0) & (lifted <= 1)).all()
    assert ((lifted > 0.5) == (alpha > 0.5)).all()
    assert (np.abs(lifted - 0.5) >= np.abs(alpha - 0.5) - 1e-6).all()
