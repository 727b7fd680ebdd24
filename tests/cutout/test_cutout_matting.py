"""The matting equations: known answers, and what they must not do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pellucid.cutout import edges, matting
from pellucid.cutout.edges import draw
from pellucid.cutout.matting import Band, band, solve
from pellucid.cutout.tiers import Edges
from pellucid.cutout.windows import window_means
from pellucid.inference.runtime import FloatArray

RED, BLUE = np.array([200, 40, 30.0]), np.array([20, 60, 190.0])


def _strands(side: int = 96) -> tuple[np.ndarray, FloatArray, FloatArray]:
    """Red strands on blue, six pixels apart: the picture, its alpha, and the blur that a model makes of it."""
    across = np.arange(side)
    alpha = np.zeros((side, side), np.float32)
    alpha[side // 2 :] = 1
    alpha[side // 4 : side // 2] = (0.5 + 0.5 * np.sin(across * 1.1)) ** 2
    rgb = np.rint(alpha[..., None] * RED + (1 - alpha[..., None]) * BLUE).astype(np.uint8)
    return rgb, alpha, window_means(alpha[None], 4)[0]


def test_strands_are_found() -> None:
    rgb, truth, coarse = _strands()
    where = band(rgb, coarse)
    solved = solve(rgb, coarse, where)
    error = np.abs(solved - truth)[where.unknown].mean()
    assert error < 0.75 * np.abs(coarse - truth)[where.unknown].mean()


def test_where_both_sides_look_alike_the_model_is_believed() -> None:
    """Strands of noise on noise: what the colours seem to say is not heard."""
    _, _, coarse = _strands()
    noise = np.random.default_rng(5).integers(0, 256, (*coarse.shape, 3)).astype(np.uint8)
    where = band(noise, coarse)
    assert where.pull[where.unknown].min() > 0.09
    assert np.abs(solve(noise, coarse, where) - coarse)[where.unknown].mean() < 0.1


def test_outside_of_the_band_all_is_decided() -> None:
    rgb, _, coarse = _strands()
    where = band(rgb, coarse)
    unknown, solved = where.unknown, solve(rgb, coarse, where)
    assert set(np.unique(solved[~unknown])) <= {0.0, 1.0}
    assert unknown.any()
    assert not unknown.all()


def test_the_laplacian_is_what_the_paper_says() -> None:
    """Against a dense matrix, added up window by window with plain loops in double precision."""
    side = 7
    rgb = np.random.default_rng(3).integers(0, 256, (side, side, 3)).astype(np.uint8)
    dense = np.zeros((side**2, side**2))
    for top, left in itertools.product(range(side - 2), repeat=2):
        pixels = [(top + down) * side + left + right for down, right in itertools.product(range(3), repeat=2)]
        colours = rgb.reshape(-1, 3)[pixels] / 255
        centred = colours - colours.mean(axis=0)
        inverse = np.linalg.inv(centred.T @ centred / 9 + np.eye(3) * matting._EPSILON)
        dense[np.ix_(pixels, pixels)] += np.eye(9) - (1 + centred @ inverse @ centred.T) / 9
    coarse = np.full((side, side), 0.5, np.float32)
    coarse[:2], coarse[-2:] = 1, 0
    unknown = (coarse == 0.5).ravel()
    known = coarse.ravel().astype(np.float64)
    pull = np.random.default_rng(4).uniform(0.003, 0.1, side**2).astype(np.float32)
    system = dense[np.ix_(unknown, unknown)] + np.diag(pull[unknown])
    right = pull[unknown] * known[unknown] - dense[np.ix_(unknown, ~unknown)] @ known[~unknown]
    expected = np.clip(np.linalg.solve(system, right), 0, 1)
    found = solve(rgb, coarse, Band(unknown=unknown.reshape(side, side), pull=pull.reshape(side, side)))
    assert np.allclose(found.ravel()[unknown], expected, atol=0.01)


def test_where_nothing_is_undecided_nothing_is_solved() -> None:
    hard = np.zeros((32, 32), np.float32)
    hard[8:24, 8:24] = 1
    rgb = np.full((32, 32, 3), 128, np.uint8)
    assert not band(rgb, hard).unknown.any()
    assert np.array_equal(solve(rgb, hard, band(rgb, hard)), hard)


@pytest.mark.parametrize("shape", [(1, 1), (2, 40), (40, 3), (5, 5)])
def test_small_pictures_are_no_trouble(shape: tuple[int, int]) -> None:
    rgb = np.full((*shape, 3), 90, np.uint8)
    halves = np.full(shape, 0.5, np.float32)
    solved = solve(rgb, halves, band(rgb, halves))
    assert solved.shape == shape
    assert np.isfinite(solved).all()


@pytest.mark.parametrize("rgb", [np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)])
def test_one_colour_throughout_keeps_the_alpha_of_the_model(rgb: np.ndarray) -> None:
    """Without contrast the pull is all there is, and smoothness: values stay between their neighbours."""
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    solved = solve(rgb, ramp, band(rgb, ramp))
    assert np.abs(solved - ramp).max() < 0.12


def test_a_large_band_is_solved_at_a_smaller_size(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb, truth, coarse = _strands(side=240)
    whole = draw(rgb, rgb, coarse, Edges.SOLVED)
    seen: list[tuple[int, int]] = []

    def noted(small: np.ndarray, alpha: FloatArray, where: Band) -> FloatArray:
        seen.append(alpha.shape)
        return solve(small, alpha, where)

    monkeypatch.setattr(edges, "_UNKNOWN_PIXELS", 5000)
    monkeypatch.setattr(edges, "solve", noted)
    reduced = draw(rgb, rgb, coarse, Edges.SOLVED)
    assert seen == [(120, 120)]
    assert reduced.shape == whole.shape == (240, 240)
    for matte in (whole, reduced):
        error = np.abs(matte / 255 - truth).mean()
        assert error < 0.8 * np.abs(coarse - truth).mean()
