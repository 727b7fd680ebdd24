"""Measures on mattes whose scores are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.evaluate.measures import BoolArray, FloatArray, boundary_iou, gradient_error, iou, measure, veil

SIDE = 100
ALL: BoolArray = np.ones((SIDE, SIDE), np.bool_)


def _square(left: int, right: int, value: float = 1) -> FloatArray:
    alpha = np.zeros((SIDE, SIDE), np.float32)
    alpha[20:80, left:right] = value
    return alpha


def test_a_perfect_matte() -> None:
    truth = _square(20, 80)
    found = measure(truth.copy(), truth, ALL)
    assert (found.iou, found.boundary_iou, found.mae, found.mse, found.sad, found.gradient) == (1, 1, 0, 0, 0, 0)
    assert found.veil == 0
    assert found.s_measure == pytest.approx(1, abs=1e-6)
    assert found.max_f == pytest.approx(1, abs=1e-6)


def test_iou_counts_pixels() -> None:
    assert iou(_square(20, 50) > 0, _square(20, 80) > 0, ALL) == pytest.approx(0.5)
    assert iou(_square(0, 0) > 0, _square(0, 0) > 0, ALL) == 1
    assert iou(_square(0, 0) > 0, _square(20, 80) > 0, ALL) == 0


def test_boundary_iou_is_harder_on_the_edge_than_iou() -> None:
    mask, truth = _square(22, 82) > 0, _square(20, 80) > 0
    assert iou(mask, truth, ALL) > 0.9
    assert boundary_iou(mask, truth, ALL) < 0.75


def test_means_and_sums() -> None:
    truth = _square(20, 80)
    found = measure(_square(20, 80, 0.75), truth, ALL)
    share = 60 * 60 / SIDE**2
    assert found.mae == pytest.approx(0.25 * share)
    assert found.mse == pytest.approx(0.0625 * share)
    assert found.sad == pytest.approx(0.25 * 3600 / 1000)
    assert found.iou == 1, "a mask at one half"


def test_the_gradient_error_sees_blur_that_iou_does_not() -> None:
    truth = _square(20, 80)
    soft = truth.copy()
    soft[20:80, 19], soft[20:80, 20] = 0.3, 0.7
    assert iou(soft >= 0.5, truth >= 0.5, ALL) == 1
    assert gradient_error(soft, truth, ALL) > 0


def test_a_veil_is_what_is_faint_far_from_the_edge() -> None:
    # The diagonal is 141.4 px, the band so 1.414: pixels that touch the contour, and none behind them.
    truth = _square(20, 80)
    haze = np.maximum(truth, 0.2).astype(np.float32)
    outside = SIDE**2 - 60 * 60
    band = 4 * 60  # one row along each side; the corners' neighbours are 1.414 away
    assert veil(haze, truth, ALL) == pytest.approx((outside - band - 4) / SIDE**2)
    hollow = truth.copy()
    hollow[40:50, 40:50] = 0.3
    assert veil(hollow, truth, ALL) == pytest.approx(100 / SIDE**2), "inside the subject, too"


@pytest.mark.parametrize(("level", "counts"), [(2, False), (3, True), (100, True), (101, False)])
def test_levels_of_a_veil(level: int, counts: bool) -> None:
    truth = _square(20, 80)
    alpha = truth.copy()
    alpha[0:5, 0:5] = np.float32(level) / np.float32(255)
    assert veil(alpha, truth, ALL) == (pytest.approx(25 / SIDE**2) if counts else 0)


def test_what_is_truly_half_transparent_is_no_veil() -> None:
    truth = _square(20, 80)
    truth[0:10] = 0.2
    alpha = truth.copy()
    alpha[0:12] = 0.3
    assert veil(alpha, truth, ALL) == pytest.approx(2 * SIDE / SIDE**2), "the two rows that are truly empty"


def test_a_veil_without_any_true_edge_counts_whole() -> None:
    empty = np.zeros((SIDE, SIDE), np.float32)
    assert veil(empty + np.float32(0.2), empty, ALL) == 1
    assert veil(empty + np.float32(0.2), empty + np.float32(1), ALL) == 1


def test_ignored_pixels_are_left_out_of_the_veil() -> None:
    truth, alpha = _square(20, 80), _square(20, 80)
    alpha[:10] = 0.2
    valid = ALL.copy()
    valid[:5] = False
    assert veil(alpha, truth, valid) == pytest.approx(500 / 9500)


def test_ignored_pixels_do_not_count() -> None:
    truth, wrong = _square(20, 80), _square(20, 80)
    wrong[:10] = 1
    valid = ALL.copy()
    valid[:14] = False
    assert measure(wrong, truth, ALL).mae > 0.05
    found = measure(wrong, truth, valid)
    assert (found.iou, found.mae, found.gradient) == (1, 0, 0)
    assert found.max_f == pytest.approx(1, abs=1e-6)


def test_a_faint_matte_is_not_stretched() -> None:
    truth = _square(20, 80)
    assert measure(_square(20, 80, 0.02), truth, ALL).s_measure < 0.7


@given(st.integers(0, 2**32 - 1))
def test_bounds(seed: int) -> None:
    random = np.random.default_rng(seed)
    alpha = random.random((24, 30), np.float32)
    truth = np.clip(random.random((24, 30), np.float32) * 2 - 0.5, 0, 1)
    found = measure(alpha, truth, np.ones((24, 30), np.bool_))
    for value in (found.iou, found.boundary_iou, found.mae, found.mse, found.veil, found.s_measure, found.max_f):
        assert 0 <= value <= 1
    assert found.mse <= found.mae
