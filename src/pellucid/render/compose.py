"""Porter-Duff "over" on 8-bit pixels: a subject with straight alpha on a backdrop of one colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.spec import Colour

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STRIP_PIXELS = 1 << 16
"""Strips of this size keep the 16-bit temporaries inside a core's cache."""


def with_alpha(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`rgb` (height, width, 3) and `alpha` (height, width) as one (height, width, 4) array, straight."""
    rgba = np.empty((*alpha.shape, 4), dtype=np.uint8)
    strip = max(1, _STRIP_PIXELS // alpha.shape[1])
    for top in range(0, alpha.shape[0], strip):
        part = slice(top, top + strip)
        for colour in range(3):
            # One after the other: three times as fast as all at once, whose innermost loop is three bytes long.
            rgba[part, :, colour] = rgb[part, :, colour]
        rgba[part, :, 3] = alpha[part]
    return rgba


def compose(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], background: Colour | None) -> NDArray[np.uint8]:
    """The subject over `background`, in sRGB values, rounded to the nearest.

    `rgb` is (height, width, 3), `alpha` (height, width), straight, both uint8. An opaque colour gives (height, width,
    3), exactly the colour where alpha is 0 and exactly the subject where it is 255. No colour, or one that is not
    opaque, gives (height, width, 4) with straight alpha.
    """
    if background is None or background.alpha == 0:
        return with_alpha(rgb, alpha)
    over = _over_opaque if background.opaque else _over_translucent
    height, width = alpha.shape
    out = np.empty((height, width, 3 if background.opaque else 4), dtype=np.uint8)
    strip = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, strip):
        part = slice(top, top + strip)
        out[part] = over(rgb[part], alpha[part][..., None], background)
    return out


def _over_opaque(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], background: Colour) -> NDArray[np.uint8]:
    a = alpha.astype(np.uint16)
    mixed = rgb * a + np.array(background.rgb, dtype=np.uint16) * (np.uint16(255) - a)
    # Division by 255, rounded, in 16 bits: at most 65,025 + 128 + 254 = 65,407.
    mixed += np.uint16(128)
    return ((mixed + (mixed >> 8)) >> 8).astype(np.uint8)


def _over_translucent(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], background: Colour) -> NDArray[np.uint8]:
    """alpha_o = a + b (1 - a); C_o = (C a + D b (1 - a)) / alpha_o. `background.alpha` > 0, so alpha_o is, too."""
    a = alpha.astype(np.float32) / np.float32(255)
    under = np.float32(background.alpha / 255) * (1 - a)
    total = a + under
    colour = (rgb * a + np.array(background.rgb, dtype=np.float32) * under) / total
    return np.concatenate((np.rint(colour), np.rint(total * np.float32(255))), axis=2).astype(np.uint8)
