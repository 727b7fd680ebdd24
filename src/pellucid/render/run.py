"""The steps that make a rendition, in their order. The order is the semantics.

1. scale    Decode at the size that is wanted: JPEG shrinks while it decodes, SVG is drawn at that size, and everything
            after it is cheap. The crop belongs to this step, so pixels outside it are never computed.
2. cut      The matte at the same size; it multiplies into the picture's own alpha. Foreground colours are estimated
            here, at the rendered size, before any backdrop exists that could be taken for the old background.
3. backdrop The named colour goes under what is transparent; white where the format cannot be transparent.
4. encode   Pixels only, no metadata.

Without a matte all of it stays inside libvips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pellucid.errors import ImageError, RenderError
from pellucid.formats import FORMATS, ImageFormat
from pellucid.image import vips
from pellucid.image.box import Box
from pellucid.image.decode import Damage, OnDamage, decode_scaled, ignore_damage
from pellucid.image.encode import encode
from pellucid.image.facts import ImageFacts
from pellucid.image.matte_file import matte_at
from pellucid.image.probe import DEFAULT_MAX_DECODE_BYTES
from pellucid.image.vips import VipsImage
from pellucid.render.apply_matte import apply_matte
from pellucid.render.compose import compose
from pellucid.render.plan import Plan
from pellucid.spec import TRANSPARENT, WHITE, Colour

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderJob:
    """Everything a rendition depends on besides the origin and the matte. `background` as in `RenderSpec`, `quality`
    1..100 or None for the format's default.
    """

    facts: ImageFacts
    plan: Plan
    background: Colour | None
    format: ImageFormat
    quality: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlankJob:
    """A picture with nothing in it: `width` x `height` pixels of `background` (None = transparent), quality as
    above.
    """

    width: int
    height: int
    background: Colour | None
    format: ImageFormat
    quality: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The bytes of a rendition; `damaged` when its origin's file turned out to be cut short or corrupt."""

    body: bytes
    damaged: bool = False


Step = Callable[[VipsImage, bytes | None, RenderJob], VipsImage]


def render(
    origin: bytes, matte: bytes | None, job: RenderJob, *, max_bytes: int = DEFAULT_MAX_DECODE_BYTES
) -> Rendered:
    """A rendition of `origin`; with `matte` (a blob of `image.matte_file`) its background is removed.

    Raises `DamagedImageError` when nothing of the origin can be decoded, `ImageError` when the matte cannot be,
    `ImageLimitError` when decoding would take more than `max_bytes` of memory, `RenderError` when the result cannot be
    written.
    """
    damage = Damage()
    image = scale(origin, job, max_bytes=max_bytes, on_damage=damage.note)
    for step in STEPS:
        image = step(image, matte, job)
    return Rendered(body=encode(image, format=job.format, quality=job.quality), damaged=damage.noted)


def render_blank(job: BlankJob) -> bytes:
    """The bytes of an empty picture; white where the format has no alpha and no colour is named. Raises
    `RenderError`.
    """
    colour = backdrop_for(job.format, job.background) or TRANSPARENT
    channels = colour.rgb if colour.opaque else (*colour.rgb, colour.alpha)
    image = vips.uniform(job.width, job.height, channels)
    return encode(image, format=job.format, quality=job.quality)


def scale(
    origin: bytes,
    job: RenderJob,
    *,
    max_bytes: int = DEFAULT_MAX_DECODE_BYTES,
    on_damage: OnDamage = ignore_damage,
) -> VipsImage:
    """The picture at the planned size, cropped: 3 bands, or 4 with straight alpha."""
    plan = job.plan
    return decode_scaled(
        origin,
        job.facts,
        width=plan.scaled_width,
        height=plan.scaled_height,
        crop=_box(plan),
        max_bytes=max_bytes,
        on_damage=on_damage,
    )


def cut(image: VipsImage, matte: bytes | None, job: RenderJob) -> VipsImage:
    """With a matte: the subject in its own colours, 4 bands, straight alpha."""
    if matte is None:
        return image
    return vips.from_array(apply_matte(vips.to_array(image), planned_matte(matte, job.plan)))


def planned_matte(matte: bytes, plan: Plan) -> NDArray[np.uint8]:
    """The stored `matte` at the planned size, cropped: (height, width) uint8. Raises `ImageError`."""
    with vips.failing_as(ImageError, "the stored matte is damaged"):
        scaled = matte_at(matte, width=plan.scaled_width, height=plan.scaled_height)
        return vips.to_array(scaled.crop(plan.left, plan.top, plan.width, plan.height))[..., 0]


def lay_backdrop(image: VipsImage, matte: bytes | None, job: RenderJob) -> VipsImage:
    """The named colour under what is transparent; white, or the colour over white, where the format has no alpha."""
    del matte
    colour = backdrop_for(job.format, job.background)
    if image.bands == 3 or colour is None:
        return image
    if colour.opaque:
        return image.flatten(background=colour.rgb)
    rgba = vips.to_array(image)
    return vips.from_array(compose(rgba[..., :3], rgba[..., 3], colour))


STEPS: tuple[Step, ...] = (cut, lay_backdrop)
"""What happens between decoding and encoding."""


def backdrop_for(format_: ImageFormat, background: Colour | None) -> Colour | None:
    """The colour that goes under the picture, None = it stays transparent."""
    transparent = background is None or background.alpha == 0
    if FORMATS[format_].alpha:
        return None if transparent else background
    if transparent or background is None:
        return WHITE
    if background.opaque:
        return background
    flat = compose(np.array([[background.rgb]], dtype=np.uint8), np.array([[background.alpha]], dtype=np.uint8), WHITE)[
        0, 0
    ]
    return Colour(red=int(flat[0]), green=int(flat[1]), blue=int(flat[2]))


def _box(plan: Plan) -> Box | None:
    if (plan.width, plan.height) == (plan.scaled_width, plan.scaled_height):
        return None
    if plan.left + plan.width > plan.scaled_width or plan.top + plan.height > plan.scaled_height:
        raise RenderError("the crop lies outside the scaled picture")
    return Box(left=plan.left, top=plan.top, width=plan.width, height=plan.height)
