"""Apply the matte: from an image and its matte to the subject alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.errors import ImageError
from pellucid.image import vips
from pellucid.image.matte_file import matte_at
from pellucid.image.vips import VipsImage
from pellucid.render.compose import compose, with_alpha
from pellucid.render.foreground import WORKING_SIDE, estimate_foreground
from pellucid.render.job import RenderJob
from pellucid.render.plan import Plan
from pellucid.spec import WHITE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_STRIP_PIXELS = 1 << 18
"""Temporary arrays of a few MB: over a whole picture of 50 megapixels they would take 700."""


def remove_background(image: VipsImage, job: RenderJob, *, matte: bytes) -> VipsImage:
    """The subject in its own colours, 4 bands, straight alpha. `matte` is a stored blob. Raises `ImageError`."""
    return vips.from_array(apply_matte(vips.to_array(image), planned_matte(matte, job.plan)))


def planned_matte(matte: bytes, plan: Plan) -> NDArray[np.uint8]:
    """The stored `matte` at the planned size, cropped: (height, width) uint8. Raises `ImageError`."""
    crop = plan.crop
    with vips.failing_as(ImageError, "the stored matte is damaged"):
        scaled = matte_at(matte, width=plan.scaled_width, height=plan.scaled_height)
        return vips.to_array(scaled.crop(crop.left, crop.top, crop.width, crop.height))[..., 0]


def apply_matte(
    photo: NDArray[np.uint8], matte_hw: NDArray[np.uint8], *, working_side: int = WORKING_SIDE
) -> NDArray[np.uint8]:
    """The subject in its own colours: (height, width, 4) uint8 sRGB, straight alpha.

    `photo` is (height, width, 3 or 4) uint8 sRGB, straight alpha; `matte_hw` (height, width) uint8. The photo's own
    alpha is multiplied in. `working_side`: as for `foreground.estimate_foreground`.
    """
    if photo.shape[2] == 3:
        cutout = with_alpha(photo, matte_hw)
        estimate_foreground(cutout, working_side=working_side)
        return cutout
    # The model saw the picture over white, so that is what the matte's edges mix with. A pixel that was translucent
    # from the start already says its own colour.
    cutout = np.empty(photo.shape, dtype=np.uint8)
    for part in _strips(matte_hw):
        cutout[part, :, :3] = compose(photo[part, :, :3], photo[part, :, 3], WHITE)
        cutout[part, :, 3] = matte_hw[part]
    estimate_foreground(cutout, working_side=working_side)
    for part in _strips(matte_hw):
        _restore(cutout[part], photo[part], matte_hw[part])
    return cutout


def _restore(cutout: NDArray[np.uint8], photo: NDArray[np.uint8], matte_hw: NDArray[np.uint8]) -> None:
    """Put the `photo`'s own colours where it is translucent, and its alpha times the matte's everywhere."""
    own_alpha = photo[..., 3]
    translucent = (own_alpha < 255) & (matte_hw > 0)
    cutout[..., :3][translucent] = photo[..., :3][translucent]
    cutout[..., 3] = matte_hw * (own_alpha / np.float32(255)) + np.float32(0.5)
    cutout[cutout[..., 3] == 0] = 0


def _strips(matte_hw: NDArray[np.uint8]) -> Iterator[slice]:
    height, width = matte_hw.shape
    rows = max(1, _STRIP_PIXELS // width)
    return (slice(top, top + rows) for top in range(0, height, rows))
