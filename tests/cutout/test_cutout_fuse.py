"""Fusing passes: the weighted median, two passes, what colours decide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pellucid.cutout.colours import colour_evidence
from pellucid.cutout.confidence import decidedness
from pellucid.cutout.fuse import Fused, fuse, weighted_median
from pellucid.inference.runtime import FloatArray


def _square(side: int, *, share: float, alpha: float = 1.0) -> FloatArray:
    matte = np.zeros((side, side), np.float32)
    edge = round(side * share**0.5)
    matte[:edge, :edge] = alpha
    return matte


def _fuse(alphas: list[FloatArray]) -> Fused:
    """Without a say of the picture's colours, which are all one."""
    side = max(alpha.shape[0] for alpha in alphas)
    return fuse(alphas, np.full((side, side, 3), 128, np.uint8), colours=False)


def test_one_pass_stays_as_it_is() -> None:
    alpha = _square(64, share=0.3, alpha=0.7)
    fused = _fuse([alpha])
    assert fused.alpha_hw is alpha
    assert fused.agreement is None


def test_what_one_pass_of_three_sees_leaves_no_ghost() -> None:
    subject = _square(256, share=0.25)
    ghost = subject.copy()
    ghost[160:240, 160:240] = 1
    fused = _fuse([subject, ghost, subject]).alpha_hw
    assert fused[200, 200] == 0
    assert fused[60, 60] == 1


@pytest.mark.parametrize("count", [2, 3, 4])
def test_soft_edges_that_passes_agree_on_stay_soft(count: int) -> None:
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (256, 1))
    assert np.allclose(_fuse([ramp] * count).alpha_hw, ramp, atol=1e-6)


def test_of_two_passes_the_surer_one_is_believed() -> None:
    sure, guessing = _square(64, share=0.5), _square(64, share=1, alpha=0.6)
    assert decidedness(guessing) == pytest.approx(0.2, abs=1e-6)
    fused = _fuse([sure, guessing]).alpha_hw
    assert fused[0, 0] > 0.99
    assert fused[60, 60] < 0.01


def test_of_three_passes_a_sure_one_outweighs_two_that_guess() -> None:
    sure, guessing = _square(64, share=0.5), _square(64, share=1, alpha=0.6)
    assert _fuse([guessing, sure, guessing]).alpha_hw[60, 60] < 0.01


@pytest.mark.parametrize("count", [2, 3, 4])
def test_passes_that_know_nothing(count: int) -> None:
    halves = np.full((32, 32), 0.5, np.float32)
    assert np.allclose(_fuse([halves] * count).alpha_hw, 0.5)
    nothing = np.zeros((32, 32), np.float32)
    fused = _fuse([nothing] * count)
    assert not fused.alpha_hw.any()
    assert fused.agreement == 1


@pytest.mark.parametrize("count", [2, 3])
def test_fusing_sizes_does_not_shift(count: int) -> None:
    """An edge in the middle of the picture stays there: half a pixel at 64 would be two at 256."""
    small, large = np.zeros((64, 64), np.float32), np.zeros((256, 256), np.float32)
    small[:, :32], large[:, :128] = 1, 1
    row = _fuse([small] * (count - 1) + [large]).alpha_hw[100]
    assert abs(float(row.sum()) - 128) < 0.5


def test_agreement_is_soft_intersection_over_union() -> None:
    left, all_of_it = _square(64, share=0.25), _square(64, share=1)
    assert _fuse([left, left, all_of_it]).agreement == pytest.approx((1 + 1 + 0.25) / 3, abs=1e-6)


@given(
    planes=hnp.arrays(np.float32, (5, 3, 4), elements=st.floats(0, 1, width=32)),
    count=st.integers(3, 5),
)
def test_equal_weights_give_the_median(planes: FloatArray, count: int) -> None:
    median = weighted_median(planes[:count], np.full(count, 1 / count, np.float32))
    assert np.allclose(median, np.median(planes[:count], axis=0), atol=1e-5)


@given(
    planes=hnp.arrays(np.float32, (4, 2, 2), elements=st.floats(0, 1, width=32)),
    weights=hnp.arrays(np.float32, 4, elements=st.floats(0.0625, 1, width=32)),
)
def test_the_median_lies_among_the_values(planes: FloatArray, weights: FloatArray) -> None:
    median = weighted_median(planes, weights / weights.sum())
    assert (median >= planes.min(axis=0) - 1e-6).all()
    assert (median <= planes.max(axis=0) + 1e-6).all()


def _two_reds_on_blue() -> tuple[np.ndarray, FloatArray, FloatArray]:
    """A picture with two red fields on blue; a pass that sees one field, one that sees both."""
    rgb = np.zeros((160, 160, 3), np.uint8)
    rgb[...] = (30, 40, 200)
    rgb[20:60, 20:140] = rgb[100:140, 20:140] = (200, 30, 30)
    both = np.zeros((160, 160), np.float32)
    both[20:60, 20:140] = both[100:140, 20:140] = 1
    one = both.copy()
    one[100:140] = 0
    return rgb, one, both


def test_colours_decide_where_passes_are_split() -> None:
    rgb, one, both = _two_reds_on_blue()
    alphas = [one, both, one, both]
    assert fuse(alphas, rgb, colours=False).alpha_hw[120, 80] == pytest.approx(0.5, abs=0.1), "a split without colours"
    with_colours = fuse(alphas, rgb, colours=True).alpha_hw
    assert with_colours[120, 80] > 0.9
    assert with_colours[80, 80] < 0.1


@pytest.mark.parametrize(("height", "width"), [(159, 160), (160, 157), (155, 153)])
def test_colours_decide_at_odd_sizes_as_well(height: int, width: int) -> None:
    rgb, one, both = (each[:height, :width] for each in _two_reds_on_blue())
    fused = fuse([one, both, one, both], rgb, colours=True).alpha_hw
    assert fused.shape == (height, width)
    assert (fused[120, 80], fused[40, 80]) == (pytest.approx(1, abs=0.1), 1)
    assert fused[80, 80] < 0.1


def test_colours_of_the_background_decide_as_well() -> None:
    rgb, one, both = _two_reds_on_blue()
    rgb[100:140, 20:140] = (30, 40, 200)
    assert fuse([one, both, one, both], rgb, colours=True).alpha_hw[120, 80] < 0.1


def test_colours_do_not_outvote_passes_that_agree() -> None:
    rgb, one, _ = _two_reds_on_blue()
    assert fuse([one, one, one], rgb, colours=True).alpha_hw[120, 80] == 0


def _ring(inside: tuple[int, int, int]) -> tuple[np.ndarray, FloatArray, FloatArray]:
    """A gold ring on grey with `inside` in its middle; a pass that sees the hole, one that fills it."""
    down, across = np.mgrid[:160, :160] - 79.5
    distance = np.hypot(down, across)
    disc, hole = distance < 60, distance < 45
    rgb = np.where(disc[..., None], (210, 160, 40), (170, 170, 175)).astype(np.uint8)
    rgb[hole] = inside
    return rgb, (disc & ~hole).astype(np.float32), disc.astype(np.float32)


@pytest.mark.parametrize("fills", [1, 3])
def test_a_ring_stays_open(fills: int) -> None:
    rgb, ring, disc = _ring((170, 170, 175))
    fused = fuse([ring, *[disc] * fills], rgb, colours=False).alpha_hw
    assert fused[80, 80] == 0
    assert np.array_equal(fused >= 0.5, ring >= 0.5)


@pytest.mark.parametrize("inside", [(210, 160, 40), (20, 10, 10)])
def test_the_middle_of_a_disc_is_no_hole(inside: tuple[int, int, int]) -> None:
    rgb, ring, disc = _ring(inside)
    assert fuse([ring, disc, disc, disc], rgb, colours=False).alpha_hw[80, 80] == 1


def test_there_is_no_evidence_without_a_subject() -> None:
    rgb, one, _ = _two_reds_on_blue()
    assert colour_evidence(rgb, np.zeros((160, 160), np.float32)) is None
    assert colour_evidence(rgb, np.ones((160, 160), np.float32)) is None
    evidence = colour_evidence(rgb, one)
    assert evidence is not None
    assert evidence[120, 80] > 1
    assert evidence[80, 80] < -1
