"""How well the colours around each place tell subject from background. Pure.

The share of alpha's variance that a linear function of the colour explains (R squared) in windows of 1.5 % of the
diagonal to each side: the regression of the guided filter (`cutout.guided`). Near 1 the colours know where the edge is,
down to single hairs; near 0 both sides look alike, and only the model knows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pellucid.cutout.guided import explained
from pellucid.cutout.windows import window_means
from pellucid.image import vips
from pellucid.image.planes import resampled_levels
from pellucid.inference.runtime import FloatArray

_SIDE = 300
"""The longer side, in pixels, that it is found at: it has no details."""

_RADIUS_SHARE = 0.015


def separation(rgb_hwc: npt.NDArray[np.uint8], alpha_hw: FloatArray) -> FloatArray:
    """R squared, [0, 1]: float32, H x W. `rgb_hwc`: uint8, sRGB, H x W x 3; `alpha_hw`: float32, [0, 1], H x W."""
    height, width = alpha_hw.shape
    factor = -(-max(height, width) // _SIDE)
    rgb = vips.reduced(rgb_hwc, factor)
    alpha = vips.to_float_array(vips.from_float_array(alpha_hw).shrink(factor, factor, ceil=True))
    radius = max(3, round(_RADIUS_SHARE * float(np.hypot(*alpha.shape))))
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1), dtype=np.float32) * np.float32(1 / 255)
    share = window_means(explained(planes, alpha, radius=radius)[None], max(1, radius // 2))[0]
    return resampled_levels(share, width=width, height=height).astype(np.float32) * np.float32(1 / 255)
