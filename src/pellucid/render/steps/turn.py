"""Mirror and rotate."""

from __future__ import annotations

import math

from pellucid.image.vips import VipsImage, rotated, with_alpha_band
from pellucid.render.job import RenderJob
from pellucid.spec import Flip

_QUARTERS = {90: "d270", 180: "d180", 270: "d90"}
"""libvips turns clockwise."""


def turn(image: VipsImage, job: RenderJob) -> VipsImage:
    """Mirror the image, then rotate it counter-clockwise where that is by quarter turns."""
    plan = job.plan
    if plan.flip in (Flip.HORIZONTAL, Flip.BOTH):
        image = image.fliphor()
    if plan.flip in (Flip.VERTICAL, Flip.BOTH):
        image = image.flipver()
    is_quarter = plan.rotated_size is None and plan.rotation != 0
    return image.rot(_QUARTERS[int(plan.rotation)]) if is_quarter else image


def rotate(image: VipsImage, job: RenderJob) -> VipsImage:
    """Rotate the image by anything but quarter turns, and crop it: 4 bands, straight alpha, transparent where the
    corners of its box are exposed.
    """
    plan = job.plan
    if plan.rotated_size is None:
        return image
    image = rotated(with_alpha_band(image), radians=math.radians(plan.rotation), size=plan.rotated_size)
    kept = plan.kept
    return image if kept is None else image.crop(kept.left, kept.top, kept.width, kept.height)
