"""A blurred copy of the image, as large as its canvas, to lie behind it."""

from __future__ import annotations

import math

from pellucid.image import vips
from pellucid.image.vips import VipsImage
from pellucid.render.job import RenderJob
from pellucid.render.plan.gravity import align
from pellucid.render.steps.canvas import backdrop_of
from pellucid.spec import WHITE, BlurredCopy

_DEFAULT_BLUR = 0.04
"""Of the canvas's shorter side: shapes of the image can be told, its lines cannot."""

_REDUCED_BLUR_PX = 4.0
"""An image is reduced until its blur has this standard deviation: nobody sees the difference, and it takes 2 ms in
place of 90 for 1600 x 1200 px."""

_TINT = 0.5
"""How much of an opaque tint is seen; a translucent one says it itself."""


def blurred_copy(image: VipsImage, job: RenderJob, copy: BlurredCopy) -> VipsImage:
    """`image` (turned, with its background) enlarged over the whole canvas of `job`, blurred, tinted:
    3 bands.
    """
    plan = job.plan
    backdrop = backdrop_of(job)
    ground = backdrop if backdrop is not None and backdrop.opaque else WHITE
    if image.bands != 3:
        image = image.flatten(background=ground.rgb)
    blur = _DEFAULT_BLUR * min(plan.width, plan.height) if copy.blur is None else copy.blur
    reduction = max(1.0, blur / _REDUCED_BLUR_PX)
    width, height = max(1, math.ceil(plan.width / reduction)), max(1, math.ceil(plan.height / reduction))
    scale = max(width / image.width, height / image.height)
    across, down = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    filling = vips.resample_in_place(image, width=across, height=down, kernel="lanczos3")
    x, y = align(copy.gravity)
    filling = filling.crop(-x.offset(across, width), -y.offset(down, height), width, height)
    if blur > 0:
        # Whole numbers would make 196 of a level of 200.
        filling = filling.gaussblur(blur / reduction, precision="float").linear(1, 0.5).cast("uchar")
    whole = vips.resample_in_place(filling, width=plan.width, height=plan.height, kernel="lanczos3")
    for colour, share in (
        (ground, 1 - copy.opacity),
        (copy.tint, 0.0 if copy.tint is None else _TINT if copy.tint.opaque else copy.tint.alpha / 255),
    ):
        if colour is not None and share > 0:
            whole = whole.linear([1 - share] * 3, [share * channel + 0.5 for channel in colour.rgb]).cast("uchar")
    return whole.copy(interpretation="srgb")
