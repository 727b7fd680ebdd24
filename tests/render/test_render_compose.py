from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.render.compose import compose
from pellucid.spec import TRANSPARENT, Colour

RAMP = np.stack(np.meshgrid(np.arange(256), np.arange(256)), axis=-1).astype(np.uint8)
RGB = np.dstack((RAMP, RAMP[..., :1]))
ALPHA = RAMP[..., 1]

channels = st.integers(0, 255)
colours = st.builds(Colour, red=channels, green=channels, blue=channels)


@given(colours)
@settings(max_examples=30, deadline=None)
def test_an_opaque_colour_leaves_no_alpha_and_rounds_to_the_nearest(colour: Colour) -> None:
    out = compose(RGB, ALPHA, colour)
    assert out.shape == (256, 256, 3)
    share = ALPHA[..., None] / 255
    exact = RGB * share + np.array(colour.rgb) * (1 - share)
    assert np.abs(out - exact).max() <= 0.5 + 1e-9
    assert (out[0] == colour.rgb).all()
    assert (out[255] == RGB[255]).all()


@given(colours, st.integers(1, 254))
@settings(max_examples=30, deadline=None)
def test_a_translucent_colour_is_laid_under(colour: Colour, alpha: int) -> None:
    backdrop = Colour(red=colour.red, green=colour.green, blue=colour.blue, alpha=alpha)
    out = compose(RGB, ALPHA, backdrop)
    assert out.shape == (256, 256, 4)
    over, under = ALPHA / 255, alpha / 255 * (1 - ALPHA / 255)
    total = over + under
    assert np.abs(out[..., 3] - total * 255).max() <= 0.51
    exact = (RGB * over[..., None] + np.array(colour.rgb) * under[..., None]) / total[..., None]
    assert np.abs(out[..., :3] - exact).max() <= 0.51
    assert (out[0] == (*colour.rgb, alpha)).all()


def test_no_colour_keeps_everything() -> None:
    for background in (None, TRANSPARENT):
        out = compose(RGB, ALPHA, background)
        assert (out[..., :3] == RGB).all()
        assert (out[..., 3] == ALPHA).all()


def test_strips_meet() -> None:
    tall = np.tile(RGB, (5, 2, 1)), np.tile(ALPHA, (5, 2))
    out = compose(*tall, Colour(red=9, green=8, blue=7))
    assert (out == np.tile(compose(RGB, ALPHA, Colour(red=9, green=8, blue=7)), (5, 2, 1))).all()
