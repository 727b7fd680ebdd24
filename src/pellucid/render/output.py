"""Pure: which format a rendition is written in."""

from __future__ import annotations

from pellucid.errors import SpecError
from pellucid.formats import FORMATS, ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.render.plan import Plan
from pellucid.spec import Colour, OutputFormat, Spec

_FORCED = {
    OutputFormat.JPEG: ImageFormat.JPEG,
    OutputFormat.PNG: ImageFormat.PNG,
    OutputFormat.WEBP: ImageFormat.WEBP,
}

DEFAULT_MEMORY_BYTES = 1 << 30


def is_negotiable(spec: Spec, facts: ImageFacts) -> bool:
    """Whether for this URL and origin the format could depend on `Accept`, in this state or in another: every answer,
    problems included, must then say `Vary: Accept`. The size does not matter here: it may differ from state to state.
    """
    return (
        spec.output.format is OutputFormat.AUTO
        and _is_transparent(spec, facts, cut=spec.removal.remove)
        and not FORMATS[FORMATS[facts.format].written_as].alpha
    )


def choose_output(
    spec: Spec,
    facts: ImageFacts,
    target: Plan,
    *,
    cut: bool,
    accepted: frozenset[ImageFormat],
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> ImageFormat:
    """The format of one rendition of the size of `target`: the first of its candidates that can hold it. `cut` = the
    matte is applied now; `accepted` = what `Accept` names; `memory_bytes` = what a render process may have.

    Opaque results keep the origin's family. A transparent result of a family without alpha becomes WebP where the
    client names it and PNG elsewhere; in its interim states such a URL keeps the family and is negotiable all the same.
    Raises SpecError when the URL forces a format that cannot hold what it asks for, in whichever state. What the server
    chooses itself can.
    """
    forced = _FORCED.get(spec.output.format)
    transparent = _is_transparent(spec, facts, cut=spec.removal.remove if forced is not None else cut)
    # A blurred copy covers the whole canvas.
    has_gaps = _keeps_alpha(spec) and target.has_gaps and not spec.background.image_fit
    candidates = _candidates(spec, facts, transparent=transparent, accepted=accepted) if forced is None else (forced,)
    for candidate in candidates:
        traits = FORMATS[candidate]
        needs_alpha = (transparent or has_gaps) and traits.alpha
        if traits.holds(target.width, target.height, transparent=needs_alpha, memory_bytes=memory_bytes):
            return candidate
    raise SpecError(_explain(candidates[-1], target, memory_bytes=memory_bytes))


def _candidates(
    spec: Spec, facts: ImageFacts, *, transparent: bool, accepted: frozenset[ImageFormat]
) -> tuple[ImageFormat, ...]:
    """What the server writes, in the order in which it is tried. The last one holds whatever can be planned."""
    family = FORMATS[facts.format].written_as
    if FORMATS[family].alpha and transparent:
        return family, ImageFormat.PNG
    if transparent and spec.output.format is OutputFormat.AUTO:
        return *((ImageFormat.WEBP,) if ImageFormat.WEBP in accepted else ()), ImageFormat.PNG
    # What is too long for WebP is more often a photograph than a drawing; longer than JPEG is PNG alone.
    return family, ImageFormat.JPEG, ImageFormat.PNG


def _explain(format_: ImageFormat, target: Plan, *, memory_bytes: int) -> str:
    """Why the format does not hold a picture of that size."""
    traits = FORMATS[format_]
    size = f"the result would be {target.width} x {target.height} pixels, {format_.upper()} holds"
    if max(target.width, target.height) > traits.largest_side:
        return f"{size} {traits.largest_side} a side"
    return f"{size} {traits.most_pixels(transparent=True, memory_bytes=memory_bytes)} with transparency here"


def _is_transparent(spec: Spec, facts: ImageFacts, *, cut: bool) -> bool:
    return _keeps_alpha(spec) and (cut or facts.has_alpha)


def _keeps_alpha(spec: Spec) -> bool:
    colour = spec.background.colour
    return colour is None or (isinstance(colour, Colour) and not colour.opaque)
