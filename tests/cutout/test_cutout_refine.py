"""Refinement: edges follow the picture, nothing else changes, memory does not grow with strips."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pellucid.cutout import refine as module
from pellucid.cutout.refine import reduction, refine
from pellucid.image.planes import resampled_levels
from pellucid.image.vips import reduced
from pellucid.inference.runtime import FloatArray

Pixels = npt.NDArray[np.uint8]


def _disc(side: int, *, centre: float = 0.5, radius: float = 0.3) -> npt.NDArray[np.bool_]:
    at = (np.arange(side) + 0.5) / side
    return (at[:, None] - centre) ** 2 + (at[None, :] - centre) ** 2 < radius**2


def _gear(side: int) -> npt.NDArray[np.bool_]:
    """The disc with 40 teeth, 2 % of the side deep: more than a model at 256 px draws."""
    at = (np.arange(side) + 0.5) / side - 0.5
    angle, distance = np.arctan2(at[:, None], at[None, :]), np.hypot(at[:, None], at[None, :])
    return distance < 0.3 + 0.01 * np.sign(np.sin(40 * angle))


def _photo(side: int) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """A dark textured gear on a light ground, and where the gear is."""
    disc = _gear(side)
    noise = np.random.default_rng(5).integers(-12, 13, (side, side, 3))
    levels = np.where(disc[..., None], (40, 60, 90), (220, 200, 170)) + noise
    return np.clip(levels, 0, 255).astype(np.uint8), disc


def _coarse() -> FloatArray:
    """The disc as a model says it: small and soft."""
    sharp = _disc(200).astype(np.float32)
    padded = np.pad(sharp, 2, mode="edge")
    return np.mean([padded[y : y + 200, x : x + 200] for y in range(5) for x in range(5)], axis=0, dtype=np.float32)


def _steepness(levels: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    return np.hypot(*np.gradient(levels.astype(np.float64)))


def _refined(photo: Pixels, alpha: FloatArray) -> Pixels:
    factor = reduction(photo.shape[1], photo.shape[0])
    small = reduced(photo, factor)
    return refine(photo, small, alpha, factor=factor)


@pytest.mark.parametrize("side", [256, 700, 1500])
def test_edges_follow_the_picture(side: int) -> None:
    photo, gear = _photo(side)
    coarse, refined = resampled_levels(_coarse(), width=side, height=side), _refined(photo, _coarse())
    truth = gear * 255.0
    steep = _steepness(truth)
    before, after = (((_steepness(each) - steep) ** 2).mean() for each in (coarse, refined))
    assert after < 0.85 * before


def test_what_is_decided_stays() -> None:
    photo, _ = _photo(600)
    coarse, refined = resampled_levels(_coarse(), width=600, height=600), _refined(photo, _coarse())
    decided = (coarse == 0) | (coarse == 255)
    changed = refined[decided].astype(int) - coarse[decided]
    assert np.count_nonzero(changed) < 0.01 * changed.size
    assert np.abs(changed).mean() < 0.1
    assert refined[0, 0] == 0
    assert refined[300, 300] == 255


def test_texture_beside_a_hard_edge_does_not_show() -> None:
    side = 600
    disc = _disc(side)
    stripes = np.where(np.arange(side) // 3 % 2, 150, 70)[:, None]
    photo = np.repeat(np.where(disc, 235, stripes).astype(np.uint8)[:, :, None], 3, axis=2)
    coarse, refined = resampled_levels(_coarse(), width=side, height=side), _refined(photo, _coarse())
    beside = (coarse <= 1) & (~disc)
    assert refined[beside].mean() < 0.25
    assert np.percentile(refined[beside & _disc(side, radius=0.34)], 99) < 13


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_a_flat_matte_stays_flat(value: float) -> None:
    photo, _ = _photo(300)
    refined = _refined(photo, np.full((64, 64), value, np.float32))
    assert np.abs(refined.astype(int) - round(value * 255)).max() <= 1


def test_a_flat_picture_gives_no_contour_and_no_nonsense() -> None:
    photo = np.full((300, 400, 3), 77, np.uint8)
    coarse = _coarse()
    refined = _refined(photo, coarse)
    difference = np.abs(refined.astype(int) - resampled_levels(coarse, width=400, height=300).astype(int))
    assert difference.mean() < 2


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 700), (1301, 2), (601, 599), (37, 41)])
def test_odd_sizes(width: int, height: int) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    assert _refined(photo, _coarse()).shape == (height, width)


def test_strips_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, _ = _photo(1300)
    whole = _refined(photo, _coarse())
    monkeypatch.setattr(module, "_STRIP_PIXELS", 1)
    assert np.array_equal(whole, _refined(photo, _coarse()))


def test_statistics_of_the_whole_picture_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the box around what is undecided is fitted: nothing outside has a part in the result."""
    photo, _ = _photo(800)
    alpha = np.zeros((200, 200), np.float32)
    alpha[20:120, 60:160] = _coarse()[50:150, 50:150]
    boxed = _refined(photo, alpha)
    monkeypatch.setattr(module, "_box", lambda mask, margin: (slice(None), slice(None)))
    assert np.array_equal(boxed, _refined(photo, alpha))
