"""PURE: everything that a rendition depends on besides the origin and the matte."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.formats import ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.insights.values import NO_INSIGHTS, Insights
from pellucid.render.output import Choice
from pellucid.render.plan import Plan
from pellucid.spec import AutoColour, Background, BlurredCopy, Colour, Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderJob:
    """What is made of an origin. Its `repr` is part of the rendition's key, so every field counts.

    `background` is the colour behind the image, None for none named; with `blurred_copy` the image itself lies between.
    With `opaque` white is behind all of it, also in a format that has alpha. With `or_jpeg` what is written as WebP is
    JPEG where that is smaller and nothing is transparent. `quality` is 1..100, that of a JPEG that looks as good; None
    for the default.
    """

    facts: ImageFacts
    plan: Plan
    background: Colour | None
    blurred_copy: BlurredCopy | None = None
    opaque: bool = False
    format: ImageFormat
    or_jpeg: bool = False
    quality: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlankJob:
    """Nothing: `width` x `height` pixels of `background` (None = transparent); the rest as above."""

    width: int
    height: int
    background: Colour | None
    opaque: bool = False
    format: ImageFormat
    or_jpeg: bool = False
    quality: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The bytes of a rendition and the format that they are in, which may be another than the job's; `damaged` when
    its origin's file turned out to be cut short or corrupt.
    """

    body: bytes
    format: ImageFormat
    damaged: bool = False


def make_job(spec: Spec, facts: ImageFacts, plan: Plan, output: Choice, insights: Insights = NO_INSIGHTS) -> RenderJob:
    """What is to be made of an image for `spec`."""
    shows_copy = spec.background.image_fit and plan.has_gaps
    return RenderJob(
        facts=facts,
        plan=plan,
        background=colour_of(spec.background, insights),
        blurred_copy=spec.background.copy if shows_copy else None,
        opaque=output.opaque,
        format=output.format,
        or_jpeg=output.or_jpeg,
        quality=spec.output.quality,
    )


def make_blank_job(spec: Spec, plan: Plan, output: Choice, insights: Insights = NO_INSIGHTS) -> BlankJob:
    """The empty image that stands for `spec`."""
    return BlankJob(
        width=plan.width,
        height=plan.height,
        background=colour_of(spec.background, insights),
        opaque=output.opaque,
        format=output.format,
        or_jpeg=output.or_jpeg,
        quality=spec.output.quality,
    )


def colour_of(background: Background, insights: Insights) -> Colour | None:
    """The colour behind the image; None where none is named, or the image has none of its own."""
    return insights.main_colour if isinstance(background.colour, AutoColour) else background.colour
