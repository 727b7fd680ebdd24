"""Mirror and rotate."""

from __future__ import annotations

import math

from pellucid.image.box import Box
from pellucid.image.vips import VipsImage, rotated, with_alpha_band
from pellucid.render.job import RenderJob
from pellucid.spec import Flip

_QUARTERS = {90: "d270", 180: "d180", 270: "d90"}
"""libvips turns clockwise."""


def turn(image: VipsImage, job: RenderJob) -> VipsImage:
    """The image as it is seen: mirrored, then rotated counter-clockwise. A rotation by anything but quarter turns gives
    4 bands, straight alpha, transparent where the corners were.
    """
    plan = job.plan
    if plan.flip in (Flip.HORIZONTAL, Flip.BOTH):
        image = image.fliphor()
    if plan.flip in (Flip.VERTICAL, Flip.BOTH):
        image = image.flipver()
    if plan.rotated_size is None:
        return image.rot(_QUARTERS[int(plan.rotation)]) if plan.rotation else image
    turned = rotated(with_alpha_band(image), radians=math.radians(plan.rotation), size=plan.rotated_size)
    return _cropped(turned, plan.kept)


def _cropped(image: VipsImage, box: Box | None) -> VipsImage:
    return image if box is None else image.crop(box.left, box.top, box.width, box.height)
