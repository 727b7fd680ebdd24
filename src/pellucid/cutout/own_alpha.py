"""Pictures that bring an alpha of their own: what it says about the foreground. Pure.

Somebody who made everything around a subject transparent has cut it out already. The rules, on the alpha reduced to
512 px, of which the parts that hang together are *islands*:

1. Where less than 1 % is clear, the alpha says nothing.
2. A large island that is a rectangle, a rounded rectangle or an ellipse with a picture in it is a *window*: rounded
   corners, a vignette, bars beside a photograph, a round portrait. Its outline follows nothing in the picture.
3. An island along most of the picture's border, in a picture of which less than 30 % is clear, is a photograph out of
   which something was erased.
4. All other islands are cut out, and stay as they are.

docs/adr/0018 has the reasons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.cutout.graphics.recognise import recognise
from pellucid.cutout.regions import along_border, find_regions
from pellucid.cutout.windows import widened
from pellucid.image import vips

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

CUT_CONFIDENCE = 0.98
"""Of a picture that is cut out already: whoever cut it may have cut badly, which nobody can see from here."""

_SIDE = 512

_CLEAR = 13
"""Alpha below 5 % is clear."""

_SOLID = 128

_LITTLE = 0.01
_MUCH = 0.3
_LARGE = 0.25
"""Islands below this share of all that is solid are no windows: letters, dots, sprites."""

_OFF_SHAPE = 0.03
"""What of a window's area may differ from the shape, both ways."""

_RADII = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Of rounded corners, in shorter sides."""

_FULL_BLEED = 0.97
_CORNERS = 0.1
"""A window as large as the picture of which less than 10 % is clear has rounded corners, whatever is in it."""

_RIM = 3
"""Pixels of the reduced alpha around an island that count as its own."""


@dataclass(frozen=True, slots=True)
class OwnCut:
    """What an alpha says, at its reduced size (masks, h x w). `doubtful`: where a model has to say what is foreground;
    all else is cut out already. `window`: the part of it whose outline says nothing. `clear`: what is transparent.
    `is_window_only`: nothing solid is outside windows, so that nothing is known to be foreground.
    """

    doubtful: Mask
    window: Mask
    clear: Mask
    is_window_only: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left for a model to say."""
        return not self.doubtful.any()

    def restored(self, matte_hw: Pixels) -> Pixels:
        """What stays although the model's matte (uint8, H x W, any size) has it not: uint8, h x w, 255 or 0.

        That is all that is not doubtful, and what the matte leaves out beside the clear without reaching the picture's
        border: a white sleeve of a figure cut out against white, as the model sees it.
        """
        rows, columns = self.doubtful.shape
        small = vips.resize_exactly(vips.from_array(matte_hw), width=columns, height=rows, kernel="linear")
        lost = self.doubtful & ~self.window & ~self.clear & (vips.to_array(small)[..., 0] < _SOLID)
        regions = find_regions(lost)
        back = regions.cover(regions.enclosed_within(lost & widened(self.clear, 2)))
        stays = ~self.doubtful | back | (widened(back, _RIM) & (self.clear | lost))
        return stays.astype(np.uint8) * np.uint8(255)


def reduce_layers(rgb: Pixels, alpha: Pixels) -> tuple[Pixels, Pixels]:
    """A picture (uint8, H x W x 3, over white) and its alpha (uint8, H x W) by area means, as `read_cut` takes them."""
    factor = max(1, -(-max(alpha.shape) // _SIDE))
    return vips.reduced(rgb, factor), vips.reduced(alpha[..., None], factor)[..., 0]


def read_cut(rgb: Pixels, alpha: Pixels) -> OwnCut | None:
    """What the alpha (uint8, h x w) of a picture (uint8, h x w x 3, over white) says about its foreground, if it says
    anything.
    """
    clear, solid = alpha < _CLEAR, alpha >= _SOLID
    share = float(clear.mean())
    if share < _LITTLE or not solid.any():
        return None
    labels = find_regions(~clear).labels_hw
    sizes = np.bincount(labels[solid])
    doubtful, window = np.zeros_like(solid), np.zeros_like(solid)
    for label in np.flatnonzero(sizes >= _LARGE * sizes.sum()):
        island = labels == label
        if _is_window(rgb, solid & island, clear_share=share):
            window |= island
        elif share < _MUCH and along_border(solid & island).mean() > 0.5:
            doubtful |= island
    window, doubtful = widened(window, _RIM), widened(doubtful | window, _RIM)
    return OwnCut(doubtful=doubtful, window=window, clear=clear, is_window_only=not (solid & ~window).any())


def _is_window(rgb: Pixels, island: Mask, *, clear_share: float) -> bool:
    rows, columns = (np.flatnonzero(island.any(axis=axis)) for axis in (1, 0))
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    shape = island[box]
    off = min(int((shape ^ each).sum()) for each in _shapes(*shape.shape))
    if off > _OFF_SHAPE * shape.sum():
        return False
    full_bleed = all(own >= _FULL_BLEED * all_ for own, all_ in zip(shape.shape, island.shape, strict=True))
    if full_bleed and clear_share < _CORNERS:
        return True
    return recognise(np.ascontiguousarray(rgb[box])) is None


def _shapes(height: int, width: int) -> list[Mask]:
    """Rounded rectangles and the ellipse that fill `height` x `width`."""
    down, across = _from_centre(height)[:, None], _from_centre(width)[None]
    shapes = [(2 * down / height) ** 2 + (2 * across / width) ** 2 <= 1]
    for share in _RADII:
        radius = share * min(height, width)
        beyond = np.maximum(down - (height / 2 - radius), 0), np.maximum(across - (width / 2 - radius), 0)
        shapes.append(np.hypot(*beyond) <= max(radius, math.ulp(1.0)))
    return shapes


def _from_centre(length: int) -> npt.NDArray[np.float64]:
    return np.abs(np.arange(length, dtype=np.float64) + 0.5 - length / 2)
