"""Round the corners."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.image.vips import VipsImage, from_array, to_array, with_alpha_band
from pellucid.render.job import RenderJob

if TYPE_CHECKING:
    from numpy.typing import NDArray


def round_corners(image: VipsImage, job: RenderJob) -> VipsImage:
    """The image with round corners: 4 bands, straight alpha, transparent outside of them."""
    if job.plan.radii is None:
        return image
    rgba = to_array(with_alpha_band(image)).copy()
    top_left, bottom_left, bottom_right, top_right = job.plan.radii
    for corner, radius in (
        (rgba, top_left),
        (rgba[::-1], bottom_left),
        (rgba[::-1, ::-1], bottom_right),
        (rgba[:, ::-1], top_right),
    ):
        _cut_off(corner[:radius, :radius], _inside(radius))
    return from_array(rgba)


def _inside(radius: int) -> NDArray[np.float32]:
    """How much of each pixel of an upper left corner is inside a circle of `radius` pixels: (radius, radius) float32,
    0..1. The distance of a pixel's middle from the arc stands for the area that this cuts off, as font renderers do:
    off by 0.02 at most from a radius of 4 px on.
    """
    from_middle = radius - np.arange(radius, dtype=np.float32) - np.float32(0.5)
    distance = np.hypot(from_middle[:, None], from_middle[None, :])
    return np.clip(radius - distance + np.float32(0.5), 0, 1).astype(np.float32)


def _cut_off(rgba: NDArray[np.uint8], inside: NDArray[np.float32]) -> None:
    rgba[..., 3] = rgba[..., 3] * inside + np.float32(0.5)
    rgba[rgba[..., 3] == 0] = 0  # hidden colours would be in the file
