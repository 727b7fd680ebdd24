"""Decode at the size that is wanted."""

from __future__ import annotations

from pellucid.errors import RenderError
from pellucid.image.box import Box
from pellucid.image.decode import OnDamage, decode_scaled
from pellucid.image.vips import VipsImage
from pellucid.render.job import RenderJob
from pellucid.render.plan import Plan


def scale(origin: bytes, job: RenderJob, *, max_bytes: int, on_damage: OnDamage) -> VipsImage:
    """The image at the planned size, cropped: 3 bands, or 4 with straight alpha. Raises what `decode_scaled` does."""
    plan = job.plan
    return decode_scaled(
        origin,
        job.facts,
        width=plan.scaled_width,
        height=plan.scaled_height,
        crop=box_of(plan),
        max_bytes=max_bytes,
        on_damage=on_damage,
    )


def box_of(plan: Plan) -> Box | None:
    """The crop; None where it is the whole scaled image. Raises RenderError for one that is not inside."""
    crop = plan.crop
    if (crop.width, crop.height) == (plan.scaled_width, plan.scaled_height):
        return None
    if crop.left + crop.width > plan.scaled_width or crop.top + crop.height > plan.scaled_height:
        raise RenderError("the crop lies outside the scaled picture")
    return crop
