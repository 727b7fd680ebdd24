"""Pure: which format a rendition is written in."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.formats import FORMATS, ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.spec import OutputFormat, Spec

_FORCED = {
    OutputFormat.JPEG: ImageFormat.JPEG,
    OutputFormat.PNG: ImageFormat.PNG,
    OutputFormat.WEBP: ImageFormat.WEBP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputChoice:
    """`negotiable`: for this URL and origin the format could depend on `Accept`, in this state or in another, so the
    answer must say `Vary: Accept`.
    """

    format: ImageFormat
    negotiable: bool


def choose_output(spec: Spec, facts: ImageFacts, *, cut: bool, accepted: frozenset[ImageFormat]) -> OutputChoice:
    """The format of one rendition. `cut` = the matte is applied now; `accepted` = what `Accept` names.

    Opaque results keep the origin's family. A transparent result of a family without alpha becomes WebP where the
    client names it and PNG elsewhere; in its interim states such a URL keeps the family and is negotiable all the same.
    """
    family = FORMATS[facts.format].written_as
    forced = _FORCED.get(spec.output.format)
    if forced is not None:
        return OutputChoice(format=forced, negotiable=False)
    background = spec.render.background
    keeps_alpha = background is None or not background.opaque
    negotiable = (
        spec.output.format is OutputFormat.AUTO
        and keeps_alpha
        and (spec.cutout or facts.has_alpha)
        and not FORMATS[family].alpha
    )
    if not (negotiable and (cut or facts.has_alpha)):
        return OutputChoice(format=family, negotiable=negotiable)
    return OutputChoice(format=ImageFormat.WEBP if ImageFormat.WEBP in accepted else ImageFormat.PNG, negotiable=True)
