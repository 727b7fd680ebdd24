"""`sharp`, as the step that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from render_samples import opened, saved

from pellucid.formats import ImageFormat
from pellucid.image.probe import probe
from pellucid.render.job import make_job
from pellucid.render.output import Choice
from pellucid.render.plan import plan
from pellucid.render.run import render
from pellucid.spec import Effects, OriginRef, Spec

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _sharpened(pixels: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    origin = saved(pixels)
    facts = probe(origin, max_pixels=10**6)
    spec = Spec(origin=OriginRef(host="h.example", path="/"), effects=Effects(sharpen=strength))
    target = plan(spec.geometry, width=facts.width, height=facts.height, max_pixels=10**6)
    return opened(render(origin, None, make_job(spec, facts, target, Choice(format=ImageFormat.PNG))).body)


def _edge() -> NDArray[np.uint8]:
    pixels = np.full((40, 60, 3), 80, np.uint8)
    pixels[:, 30:] = (180, 170, 160)
    return pixels


def test_edges_are_steeper_and_areas_stay() -> None:
    before = _edge()
    steps: list[int] = []
    for strength in (0, 10, 30, 100):
        after = _sharpened(before, strength)
        assert (after[:, :25] == before[:, :25]).all()
        assert (after[:, 35:] == before[:, 35:]).all()
        steps.append(int(after[20, 30, 0]) - int(after[20, 29, 0]))
    assert steps[0] == 100
    assert steps == sorted(steps)
    assert steps[1] > 100


def test_a_picture_of_one_colour_is_not_changed() -> None:
    for level in (0, 1, 127, 254, 255):
        flat = np.full((9, 12, 3), level, np.uint8)
        assert (_sharpened(flat, 100) == flat).all()


def test_hidden_colours_have_no_part_in_it() -> None:
    """A subject of one colour stays it up to its edge, whatever lies under what is transparent; alpha is kept."""
    pixels = np.zeros((30, 30, 4), np.uint8)
    pixels[..., :3] = (255, 0, 255)
    pixels[8:22, 8:22] = (90, 140, 60, 255)
    after = _sharpened(pixels, 100)
    assert (after[..., 3] == pixels[..., 3]).all()
    assert (after[8:22, 8:22, :3] == (90, 140, 60)).all()
