"""Mattes that need no model, or say what the model's must not lose: pictures cut out already, and flat graphics. Pure.

Decided before the model runs, so that a picture that is cut out already costs no inference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pellucid.cutout.graphics.recognise import recognise
from pellucid.cutout.graphics.unmix import remove_ground
from pellucid.cutout.own_alpha import CUT_CONFIDENCE, OwnCut, read_cut, reduce_layers
from pellucid.cutout.seen_through import see_through
from pellucid.image.planes import resampled_levels

Pixels = npt.NDArray[np.uint8]

_NOISE = (1.0, 5.0, 7.0, 10.0)
_CONFIDENCE = (0.98, 0.97, 0.85, 0.65)
"""Of a graphic cut by its colours, by the noise in levels: 397, 432, 84 and 107 made graphics (PNG, GIF, WebP and JPEG
of 50 to 95, scans) with noise up to 1, from 2, 6 and 8 on had an IoU of at least 0.9 in 99, 98, 85 and 71 %."""

_DRAWN_CONFIDENCE = 0.6
_LIKE_ONE_CONFIDENCE = 0.3
"""Of a graphic that the model cut, at most: 16 of 23 drawn ones without one ground and 6 of 20 that lossy formats left
unclear had that IoU, where the model's own confidence was 0.83 and 0.81."""


@dataclass(frozen=True, slots=True)
class FoundMatte:
    """`matte_hw`: uint8, H x W. `confidence`: the probability, in [0, 1], that its IoU with the truth is at least 0.9.
    `empty`: nothing was recognisable as a foreground.
    """

    matte_hw: Pixels
    confidence: float
    empty: bool


def find_without_model(rgb: Pixels, alpha: Pixels | None, by_model: Callable[[Pixels], FoundMatte]) -> FoundMatte:
    """The matte of a picture (uint8, H x W x 3, sRGB, over white) that may have an alpha of its own (uint8, H x W).

    `by_model` gives the model's matte of pixels. It is called only where the picture does not say by itself what its
    foreground is.
    """
    cut = None if alpha is None else read_cut(*reduce_layers(rgb, alpha))
    if cut is not None and cut.is_whole:
        return FoundMatte(np.full(rgb.shape[:2], 255, np.uint8), CUT_CONFIDENCE, empty=False)
    if cut is None or alpha is None:
        return _of_graphic(rgb, by_model)
    if not cut.window.any():
        return _restored(_of_graphic(rgb, by_model), cut)
    seen, area = see_through(rgb, alpha, cut.window)
    found = _of_graphic(seen, by_model)
    matte = np.zeros(alpha.shape, np.uint8)
    matte[area] = found.matte_hw
    found = replace(found, matte_hw=matte)
    return found if cut.is_window_only else _restored(found, cut)


def _of_graphic(rgb: Pixels, by_model: Callable[[Pixels], FoundMatte]) -> FoundMatte:
    graphic = recognise(rgb)
    if graphic is None:
        return by_model(rgb)
    if graphic.palette is None:
        found = by_model(rgb)
        most = _DRAWN_CONFIDENCE if graphic.is_drawn else _LIKE_ONE_CONFIDENCE
        return replace(found, confidence=min(found.confidence, most))
    confidence = float(np.interp(graphic.palette.noise, _NOISE, _CONFIDENCE))
    return FoundMatte(remove_ground(rgb, graphic.palette), confidence, empty=False)


def _restored(found: FoundMatte, cut: OwnCut) -> FoundMatte:
    """`found` with what the picture's own alpha shows to be foreground."""
    height, width = found.matte_hw.shape
    stays = cut.restored(found.matte_hw).astype(np.float32) * np.float32(1 / 255)
    np.maximum(found.matte_hw, resampled_levels(stays, width=width, height=height), out=found.matte_hw)
    return replace(found, empty=False)
