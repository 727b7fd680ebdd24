"""Lay the image on its canvas, and what is behind it under both."""

from __future__ import annotations

import numpy as np

from pellucid.formats import FORMATS
from pellucid.image import vips
from pellucid.image.vips import VipsImage
from pellucid.render.compose import compose
from pellucid.render.job import BlankJob, RenderJob
from pellucid.spec import WHITE, Colour


def lay_on_canvas(image: VipsImage, job: RenderJob, *, behind: VipsImage | None = None) -> VipsImage:
    """The image on the planned canvas, over the named colour; over white, or the colour over white, where the
    result is to be opaque or its format has no alpha. What no colour covers stays transparent. An opaque image of the
    canvas's size may lie `behind` it.
    """
    plan = job.plan
    if behind is not None:
        image = vips.with_alpha_band(image).embed(plan.left, plan.top, plan.width, plan.height, extend="black")
        return vips.over(image, behind)
    colour = backdrop_of(job)
    if colour is not None and colour.opaque:
        flat = image if image.bands == 3 else image.flatten(background=colour.rgb)
        if not plan.is_padded:
            return flat
        return flat.embed(plan.left, plan.top, plan.width, plan.height, extend="background", background=colour.rgb)
    if plan.is_padded:
        image = vips.with_alpha_band(image)
        image = image.embed(plan.left, plan.top, plan.width, plan.height, extend="black")
    if colour is None or image.bands == 3:
        return image
    rgba = vips.to_array(image)
    return vips.from_array(compose(rgba[..., :3], rgba[..., 3], colour))


def backdrop_of(job: RenderJob | BlankJob) -> Colour | None:
    """The colour that goes under the image, None = it stays transparent."""
    background = job.background
    transparent = background is None or background.alpha == 0
    if FORMATS[job.format].alpha and not job.opaque:
        return None if transparent else background
    if transparent or background is None:
        return WHITE
    if background.opaque:
        return background
    flat = compose(np.array([[background.rgb]], dtype=np.uint8), np.array([[background.alpha]], dtype=np.uint8), WHITE)[
        0, 0
    ]
    return Colour(red=int(flat[0]), green=int(flat[1]), blue=int(flat[2]))
