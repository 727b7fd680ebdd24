from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.image import areas
from pellucid.image.areas import shrink_levels


def by_hand(fine: np.ndarray, count: int) -> np.ndarray:
    """Means along the first axis, from sums over a hundredfold enlargement."""
    many = np.repeat(fine.astype(float), 100 * count, axis=0)
    return many.reshape(count, 100 * len(fine), -1).mean(axis=1)


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), seed=st.integers(0, 1000), data=st.data())
@settings(max_examples=60, deadline=None)
def test_each_pixel_is_the_mean_of_what_it_covers(rows: int, columns: int, seed: int, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns))
    fine = np.random.default_rng(seed).integers(0, 256, (rows, columns), dtype=np.uint8)
    exact = by_hand(by_hand(fine, height).T, width).T
    assert np.abs(shrink_levels(fine, width=width, height=height) - exact).max() <= 0.501


@pytest.mark.parametrize("means", [False, True])
def test_what_is_even_stays_even(means: bool) -> None:
    even = np.full((31, 47), 201, np.uint8)
    assert (shrink_levels(even, width=13, height=9, means=means) == 201).all()
    assert (shrink_levels(even, width=13, height=9, extent=(46.25, 30.5), means=means) == 201).all()


def test_a_curve_through_means_is_nearer_to_what_they_are_means_of() -> None:
    y, x = np.mgrid[:400, :600]
    fine = np.clip((90 - np.hypot(y - 200, x - 300)) * 20 + 128, 0, 255).astype(np.uint8)
    blocks = np.rint(fine.reshape(100, 4, 150, 4).mean(axis=(1, 3))).astype(np.uint8)
    exact = shrink_levels(fine, width=61, height=41).astype(int)
    edge = (exact > 0) & (exact < 255)
    errors = [
        np.abs(shrink_levels(blocks, width=61, height=41, means=means) - exact)[edge].mean() for means in (False, True)
    ]
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("means", [False, True])
def test_strips_leave_no_trace(monkeypatch: pytest.MonkeyPatch, means: bool) -> None:
    fine = np.random.default_rng(1).integers(0, 256, (90, 70), dtype=np.uint8)
    whole = shrink_levels(fine, width=31, height=37, means=means)
    monkeypatch.setattr(areas, "_STRIP_PIXELS", 200)
    assert (shrink_levels(fine, width=31, height=37, means=means) == whole).all()
