"""Flat graphics: told from photographs, and cut by their colours."""

from __future__ import annotations

import graphic_samples as made
import numpy as np
import pytest
from graphic_samples import Drawing
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pellucid.cutout.graphics.colours import Palette
from pellucid.cutout.graphics.recognise import may_be_graphic, recognise
from pellucid.cutout.graphics.unmix import remove_ground
from pellucid.render.steps.matte import apply_matte

DRAWINGS = {
    "words": made.words(),
    "words on navy": made.words(made.NAVY, made.CREAM),
    "page": made.page(),
    "white page on black": made.page(made.BLACK, made.WHITE),
    "logo": made.logo(),
    "logo on white": made.logo(made.WHITE),
}


def palette_of(rgb: NDArray[np.uint8]) -> Palette:
    graphic = recognise(rgb)
    assert graphic is not None
    assert graphic.palette is not None
    return graphic.palette


def iou(matte: NDArray[np.uint8], alpha: NDArray[np.float64]) -> float:
    ours, truth = matte >= 128, alpha >= 0.5
    return float((ours & truth).sum() / (ours | truth).sum())


@pytest.mark.parametrize("drawn", DRAWINGS.values(), ids=DRAWINGS.keys())
def test_the_ground_goes_exactly_inside_letters_too(drawn: Drawing) -> None:
    palette = palette_of(drawn.rgb)
    assert palette.is_exact
    assert (palette.ground == drawn.rgb[0, 0]).all()
    matte = remove_ground(drawn.rgb, palette)
    assert (matte[drawn.alpha == 0] == 0).all()
    # Three colours meet where one ink lies on the border of another: no two of them explain those pixels.
    assert (matte[drawn.alpha == 1] < 255).mean() < 0.001
    assert np.abs(matte / 255 - drawn.alpha).mean() < 0.002


@pytest.mark.parametrize("drawn", DRAWINGS.values(), ids=DRAWINGS.keys())
def test_no_fringe_is_left_over_another_colour(drawn: Drawing) -> None:
    """What is shown over magenta is what would have been drawn on magenta."""
    cutout = apply_matte(drawn.rgb, remove_ground(drawn.rgb, palette_of(drawn.rgb))).astype(np.float64)
    magenta, ground = np.array([255.0, 0, 255]), drawn.rgb[0, 0].astype(np.float64)
    ours = cutout[..., :3] * cutout[..., 3:] / 255 + magenta * (1 - cutout[..., 3:] / 255)
    true = drawn.rgb + (1 - drawn.alpha[..., None]) * (magenta - ground)
    edge = (drawn.alpha > 0) & (drawn.alpha < 1)
    assert np.abs(ours - true)[edge].mean() < 2.5
    # Opaque on that edge, the ground would shine through by some 80 levels.
    assert np.abs(drawn.rgb - true)[edge].mean() > 30


@pytest.mark.parametrize(
    ("name", "format_", "options", "least"),
    [
        ("logo", "GIF", {}, 0.99),
        ("words", "JPEG", {"quality": 90}, 0.95),
        ("logo", "JPEG", {"quality": 90}, 0.97),
        ("logo on white", "JPEG", {"quality": 75}, 0.97),
        ("words on navy", "WEBP", {"quality": 85}, 0.93),
    ],
)
def test_what_lossy_formats_leave_on_the_ground_goes_too(
    name: str, format_: str, options: dict[str, int], least: float
) -> None:
    drawn = DRAWINGS[name]
    rgb = made.saved(drawn.rgb, format_, **options)
    matte = remove_ground(rgb, palette_of(rgb))
    assert iou(matte, drawn.alpha) > least
    assert (matte[:40] == 0).all()  # nothing is drawn there
    assert matte[drawn.alpha == 0].mean() < 2


def test_the_grain_of_paper_is_ground() -> None:
    drawn = made.words((246, 244, 238), (30, 30, 90))
    rgb = made.saved(made.scanned(drawn.rgb), "JPEG", quality=92)
    palette = palette_of(rgb)
    assert not palette.is_exact
    matte = remove_ground(rgb, palette)
    assert iou(matte, drawn.alpha) > 0.95
    assert matte[drawn.alpha == 0].mean() < 1


@pytest.mark.parametrize("rgb", [made.on_gradient(), made.poster()], ids=["gradient", "poster"])
def test_a_drawing_without_one_ground_is_known_as_one(rgb: NDArray[np.uint8]) -> None:
    graphic = recognise(rgb)
    assert graphic is not None
    assert graphic.palette is None
    assert graphic.is_drawn
    assert may_be_graphic(rgb)


def test_a_shadow_is_not_left_standing_as_if_it_were_ink() -> None:
    graphic = recognise(made.shadowed().rgb)
    assert graphic is not None
    assert graphic.palette is None


@pytest.mark.parametrize("name", made.photographs())
def test_no_photograph_is_a_graphic(name: str) -> None:
    rgb = made.photographs()[name]
    for photo in (rgb, made.saved(rgb, "GIF"), made.saved(rgb, "JPEG", quality=97)):
        assert recognise(photo) is None
        assert not may_be_graphic(photo)


@pytest.mark.parametrize("name", made.photographs())
def test_no_subject_on_pure_white_is_one(name: str) -> None:
    rgb = made.on_white(made.photographs()[name])
    for studio in (rgb, made.saved(rgb, "JPEG", quality=85)):
        assert recognise(studio) is None


def test_strips_do_not_show() -> None:
    """The same drawing beside itself many times is worked on in strips of 16 rows, not as one."""
    drawn = made.logo()
    palette = palette_of(drawn.rgb)
    once = remove_ground(drawn.rgb, palette)
    assert (remove_ground(np.tile(drawn.rgb, (1, 40, 1)), palette) == np.tile(once, (1, 40))).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_pictures_of_any_size_are_answered(width: int, height: int, kind: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    rgb = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    rgb = [rgb, rgb // 128 * 255, np.full_like(rgb, seed % 256), np.where(rgb > 250, rgb, 255)][kind].astype(np.uint8)
    may_be_graphic(rgb)
    graphic = recognise(rgb)
    if graphic is not None and graphic.palette is not None:
        assert remove_ground(rgb, graphic.palette).shape == (height, width)
