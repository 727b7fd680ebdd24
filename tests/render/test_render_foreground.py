from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from render_samples import disc, levels, mixed

from pellucid.render import foreground
from pellucid.render.compose import with_alpha


def estimated(
    photo: NDArray[np.uint8], matte_hw: NDArray[np.uint8], *, working_side: int = foreground.WORKING_SIDE
) -> NDArray[np.uint8]:
    rgba = with_alpha(photo, matte_hw)
    foreground.estimate_foreground(rgba, working_side=working_side)
    assert (rgba[..., 3] == matte_hw).all()
    return rgba[..., :3]


def band_error(estimate: NDArray[np.uint8], truth: NDArray[np.floating], alpha: NDArray[np.float32]) -> float:
    """Mean error of alpha F in 8-bit levels where alpha is neither 0 nor 1: what shows over a new background."""
    band = (alpha > 0) & (alpha < 1)
    return float((np.abs(estimate - truth) * alpha[..., None])[band].mean())


@pytest.mark.parametrize(("height", "width"), [(240, 320), (700, 1000), (1300, 1100), (2300, 900)])
def test_the_old_background_disappears_from_the_edge(height: int, width: int) -> None:
    alpha = disc(height, width)
    subject, green = (200, 60, 40), (0, 220, 30)
    photo = mixed(subject, green, alpha)
    truth = np.broadcast_to(np.array(subject, float), photo.shape)
    assert band_error(photo, truth, alpha) > 15
    assert band_error(estimated(photo, levels(alpha)), truth, alpha) < 5


def test_textured_subjects_and_backgrounds_improve_as_well() -> None:
    y, x = np.mgrid[:300, :400]
    subject = np.stack((150 + 60 * np.sin(x / 40), 90 + 60 * np.cos(y / 33), 60 + 0 * x), axis=-1)
    behind = np.stack((40 + 0 * x, 170 + 50 * np.sin(y / 25), 190 + 40 * np.cos(x / 31)), axis=-1)
    alpha = disc(300, 400, softness=0.12)
    photo = mixed(subject, behind, alpha)
    assert band_error(estimated(photo, levels(alpha)), subject, alpha) < band_error(photo, subject, alpha) / 3


def test_sure_pixels_are_left_alone() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    alpha = disc(90, 70)
    matte_hw = levels(alpha)
    out = estimated(photo, matte_hw)
    assert (out[matte_hw == 255] == photo[matte_hw == 255]).all()
    assert (out[matte_hw == 0] == 0).all()


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_without_a_band_there_is_nothing_to_do(alpha: float) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    out = estimated(photo, np.full((30, 40), round(255 * alpha), np.uint8))
    assert (out == (photo if alpha else 0)).all()


def test_a_subject_that_is_the_whole_picture_keeps_its_colour() -> None:
    photo = np.full((64, 64, 3), (10, 120, 240), np.uint8)
    out = estimated(photo, np.full((64, 64), 128, np.uint8))
    assert np.abs(out.astype(int) - photo).max() <= 1


def test_large_pictures_have_no_seams() -> None:
    # Smooth colours are made at a third of this size and corrected in strips.
    alpha = disc(2100, 1400, softness=0.3)
    photo = mixed((230, 120, 20), (20, 60, 200), alpha)
    out = estimated(photo, levels(alpha)).astype(int)
    inside = (alpha[1:] > 0.1) & (alpha[:-1] > 0.1)
    assert np.abs(np.diff(out, axis=0))[inside].max() <= 4


@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_any_shape_and_any_matte_work(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    matte_hw = levels(np.clip(rng.random((height, width), dtype=np.float32) * 1.6 - 0.3, 0, 1))
    out = estimated(photo, matte_hw)
    assert (out[matte_hw == 255] == photo[matte_hw == 255]).all()
    assert (out[matte_hw == 0] == 0).all()


@pytest.mark.parametrize(("height", "width"), [(50, 70), (900, 1300), (2500, 400)])
def test_a_picture_of_one_colour_keeps_it(height: int, width: int) -> None:
    photo = np.full((height, width, 3), (10, 120, 240), np.uint8)
    matte_hw = levels(disc(height, width, softness=0.2))
    out = estimated(photo, matte_hw)
    assert (out[matte_hw > 0] == photo[0, 0]).all()


def test_glass_without_an_opaque_pixel_gets_its_own_colour() -> None:
    alpha = disc(400, 600) * np.float32(0.6)
    alpha[150:250, 290:310] = 1  # the one place that says what the glass looks like
    photo = mixed((30, 90, 200), (230, 220, 60), alpha)
    truth = np.broadcast_to(np.array((30, 90, 200), float), photo.shape)
    assert band_error(estimated(photo, levels(alpha)), truth, alpha) < 6


@pytest.mark.parametrize("side", [800, 250, 100])
def test_strips_leave_no_trace(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (700, 300, 3), dtype=np.uint8)
    matte_hw = levels(disc(700, 300, softness=0.4))
    # Smaller: cells of 3 x 3 or 7 x 7 pixels do not end where strips do.
    whole = estimated(photo, matte_hw, working_side=side)
    monkeypatch.setattr(foreground, "_STRIP_PIXELS", 300 * 7 + 5)
    monkeypatch.setattr(foreground, "_AT_A_TIME", 400)
    assert (estimated(photo, matte_hw, working_side=side) == whole).all()


def test_faint_specks_in_large_pictures_get_a_colour() -> None:
    # Reduced by 3, a speck of alpha 4 is gone; it must not come out black.
    photo = np.full((1700, 2000, 3), (10, 120, 240), np.uint8)
    matte_hw = np.zeros((1700, 2000), np.uint8)
    matte_hw[400:900, 400:900] = 255
    matte_hw[1200, 1200] = 4
    out = estimated(photo, matte_hw)
    assert (out[1200, 1200] == photo[0, 0]).all()


@pytest.mark.parametrize("usual", [0, 7, 128, 255])
def test_colours_are_rounded_by_less_than_shows(usual: int) -> None:
    exact = np.repeat(np.linspace(0, 255, 1021, dtype=np.float32), 4).reshape(-1, 4)
    rounding = foreground._Rounding(np.full(4, usual, np.float32))
    counts: list[int] = []
    for alpha in range(1, 255):
        rounded = exact.copy()
        rounding.round(rounded, np.full(len(exact), alpha, np.uint8))
        off = np.abs(rounded.clip(0, 255) - exact).max()
        assert off <= 0.5 or off * alpha / 255 <= 0.25
        assert (rounded == np.rint(rounded)).all()
        counts.append(len(np.unique(rounded)))
    assert counts == sorted(counts), "the more it shows, the finer"
    assert counts[0] < 8
    assert counts[-1] == 256


@pytest.mark.parametrize("height", [90, 1700])
def test_hardly_visible_colours_have_few_levels(height: int) -> None:
    """What nobody sees is not worth bytes: noise keeps all others."""
    photo = np.random.default_rng(3).integers(0, 256, (height, 120, 3), dtype=np.uint8)
    matte_hw = np.tile(np.arange(120, dtype=np.uint8) * 2, (height, 1))
    out = estimated(photo, matte_hw)
    for alpha, step in ((2, 32), (8, 8), (30, 4), (62, 2)):
        assert len(np.unique(out[matte_hw == alpha][:, 0])) <= 256 / step + 2
    assert len(np.unique(out[matte_hw == 200][:, 0])) > 130 or height < 100
