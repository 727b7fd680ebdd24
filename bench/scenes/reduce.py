"""To a smaller size by area means: of alpha F and of alpha, never of straight colours. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scenes.textures import FloatArray

Pixels = npt.NDArray[np.uint8]


def area_means(values: FloatArray, factor: int) -> FloatArray:
    """Means of `factor` x `factor` pixels over the first two axes; rows and columns left over are dropped."""
    height, width = (side // factor * factor for side in values.shape[:2])
    means = np.zeros((height // factor, width // factor, *values.shape[2:]), np.float32)
    for down in range(factor):
        for right in range(factor):
            means += values[down:height:factor, right:width:factor]
    return means / np.float32(factor**2)


def reduce_cutout(rgba: Pixels, width: int) -> Pixels:
    """A cutout (height, width, 4; straight alpha) at a `width` that divides its own, by premultiplied area means."""
    factor = whole_factor(rgba, width)
    alpha = area_means(rgba[..., 3].astype(np.float32), factor)[..., None]
    colour = area_means(rgba[..., :3] * (rgba[..., 3:].astype(np.float32)), factor)
    straight = colour / np.maximum(alpha, np.float32(1e-6))
    return np.rint(np.concatenate((np.clip(straight, 0, 255), alpha), axis=2)).astype(np.uint8)


def whole_factor(pixels: npt.NDArray[np.generic], width: int) -> int:
    """How many times wider `pixels` are than `width`. Raises ValueError when a side does not divide evenly."""
    factor, rest = divmod(pixels.shape[1], width)
    if factor == 0 or rest or pixels.shape[0] % factor:
        raise ValueError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels do not divide evenly to {width} across")
    return factor
