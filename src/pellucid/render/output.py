"""Pure: which format a rendition is written in."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from pellucid.errors import SpecError
from pellucid.formats import FORMATS, NEGOTIATED, ImageFormat
from pellucid.image.effort import effort_for
from pellucid.image.facts import ImageFacts
from pellucid.render.plan import Plan
from pellucid.spec import Colour, OutputFormat, Spec

_FORMATS = {
    OutputFormat.JPEG: ImageFormat.JPEG,
    OutputFormat.PNG: ImageFormat.PNG,
    OutputFormat.WEBP: ImageFormat.WEBP,
    OutputFormat.STRICT_WEBP: ImageFormat.WEBP,
    OutputFormat.AVIF: ImageFormat.AVIF,
    OutputFormat.GIF: ImageFormat.GIF,
}

DEFAULT_MEMORY_BYTES = 1 << 30

NOTHING: frozenset[ImageFormat] = frozenset()
_ACCEPTS = [
    frozenset(each) for count in range(len(NEGOTIATED) + 1) for each in itertools.combinations(NEGOTIATED, count)
]
"""All that `Accept` can say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How a rendition is written. `opaque`: with white under all of it. `or_jpeg`: as JPEG where that is smaller than
    WebP and nothing is transparent.
    """

    format: ImageFormat
    opaque: bool = False
    or_jpeg: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """`quick`: it is taken only if it is encoded within `effort.BUDGET_MS`."""

    choice: Choice
    quick: bool = False


def is_negotiable(spec: Spec, facts: ImageFacts, *, negotiate: frozenset[ImageFormat] = NEGOTIATED) -> bool:
    """Whether for this URL and origin the format could depend on `Accept`, in this state or in another: every answer,
    problems included, must then say `Vary: Accept`. The size does not matter here: it may differ from state to state.
    """
    return any(
        len({_candidates(spec, facts, cut=cut, accepted=each, negotiate=negotiate) for each in _ACCEPTS}) > 1
        for cut in {False, spec.removal.remove}
    )


def choose_output(
    spec: Spec,
    facts: ImageFacts,
    target: Plan,
    *,
    cut: bool,
    accepted: frozenset[ImageFormat],
    negotiate: frozenset[ImageFormat] = NEGOTIATED,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> Choice:
    """The format of one rendition of the size of `target`: the first of its candidates that can hold it. `cut` = the
    matte is applied now; `accepted` = what `Accept` names of `NEGOTIATED`; `negotiate` = what opaque results may be
    sent as in place of their family; `memory_bytes` = what a render process may have. docs/formats.md has the rules.

    Raises SpecError when the URL forces a format that cannot hold what it asks for, in whichever state. What the server
    chooses itself can, and of a list of formats one or the server's own choice.
    """
    forced = len(spec.output.formats) == 1 and OutputFormat.ORIGINAL not in spec.output.formats
    transparent = _is_transparent(spec, facts, cut=spec.removal.remove if forced else cut)
    # A blurred copy covers the whole canvas.
    has_gaps = _keeps_alpha(spec) and target.has_gaps and not spec.background.image_fit
    candidates = _candidates(spec, facts, cut=cut, accepted=accepted, negotiate=negotiate)
    for candidate in candidates:
        needs_alpha = not candidate.choice.opaque and (transparent or has_gaps)
        format_, pixels = candidate.choice.format, target.width * target.height
        if candidate.quick and effort_for(format_, pixels=pixels, transparent=needs_alpha) is None:
            continue
        if FORMATS[format_].holds(target.width, target.height, transparent=needs_alpha, memory_bytes=memory_bytes):
            return candidate.choice
    last = candidates[-1].choice
    raise SpecError(_explain(last, target, transparent=transparent or has_gaps, memory_bytes=memory_bytes))


def _candidates(
    spec: Spec,
    facts: ImageFacts,
    *,
    cut: bool,
    accepted: frozenset[ImageFormat],
    negotiate: frozenset[ImageFormat],
) -> tuple[_Candidate, ...]:
    """What is tried, in this order. But for a forced format the last one holds whatever can be planned."""
    formats = spec.output.formats
    if not formats:
        return _of_the_server(spec, facts, cut=cut, accepted=accepted, negotiate=negotiate)
    if len(formats) == 1 and formats[0] is not OutputFormat.ORIGINAL:
        return (_named(formats[0], facts),)
    named: list[_Candidate] = []
    for word in formats:
        is_for_all = _FORMATS.get(word) not in NEGOTIATED
        if is_for_all or _FORMATS[word] in accepted:
            named.append(_named(word, facts))
        if is_for_all:
            # What comes after it is for nobody.
            break
    named += _of_the_server(spec, facts, cut=cut, accepted=NOTHING, negotiate=NOTHING)
    return tuple(dict.fromkeys(named))


def _named(word: OutputFormat, facts: ImageFacts) -> _Candidate:
    """What a URL names."""
    format_ = _FORMATS.get(word, FORMATS[facts.format].written_as)
    choice = Choice(format=format_, opaque=not FORMATS[format_].alpha, or_jpeg=word is OutputFormat.WEBP)
    return _Candidate(choice=choice)


def _of_the_server(
    spec: Spec,
    facts: ImageFacts,
    *,
    cut: bool,
    accepted: frozenset[ImageFormat],
    negotiate: frozenset[ImageFormat],
) -> tuple[_Candidate, ...]:
    """What the server writes where the URL does not say it."""
    family = FORMATS[facts.format].written_as
    has_alpha = FORMATS[family].alpha
    if _is_transparent(spec, facts, cut=cut):
        if has_alpha:
            return _plain(family), _plain(ImageFormat.PNG)
        return *((_plain(ImageFormat.WEBP),) if ImageFormat.WEBP in accepted else ()), _plain(ImageFormat.PNG)
    candidates: list[_Candidate] = []
    # An interim lives for seconds: what is quickest to write is right.
    offered = accepted & negotiate if cut or not spec.removal.remove else NOTHING
    if ImageFormat.AVIF in offered and family is not ImageFormat.PNG:
        # What comes as PNG is a graphic more often than not: WebP writes those without loss, and smaller.
        candidates.append(_Candidate(choice=Choice(format=ImageFormat.AVIF, opaque=not has_alpha), quick=True))
    if ImageFormat.WEBP in offered and family is not ImageFormat.WEBP:
        choice = Choice(format=ImageFormat.WEBP, opaque=not has_alpha, or_jpeg=True)
        candidates.append(_Candidate(choice=choice, quick=True))
    # What is too long for WebP is more often a photograph than a drawing; longer than JPEG is PNG alone.
    last = _plain(ImageFormat.PNG) if has_alpha else _opaque(ImageFormat.PNG)
    own = _plain(family) if has_alpha else _opaque(family)
    return *candidates, own, _opaque(ImageFormat.JPEG), last


def _plain(format_: ImageFormat) -> _Candidate:
    return _Candidate(choice=Choice(format=format_))


def _opaque(format_: ImageFormat) -> _Candidate:
    return _Candidate(choice=Choice(format=format_, opaque=True))


def _explain(choice: Choice, target: Plan, *, transparent: bool, memory_bytes: int) -> str:
    """Why the format does not hold a picture of that size."""
    traits, transparent = FORMATS[choice.format], transparent and not choice.opaque
    size = f"the result would be {target.width} x {target.height} pixels, {choice.format.upper()} holds"
    if max(target.width, target.height) > traits.largest_side:
        return f"{size} {traits.largest_side} a side"
    most = traits.most_pixels(transparent=transparent, memory_bytes=memory_bytes)
    return f"{size} {most} {'with transparency ' if transparent else ''}here"


def _is_transparent(spec: Spec, facts: ImageFacts, *, cut: bool) -> bool:
    return _keeps_alpha(spec) and (cut or facts.has_alpha)


def _keeps_alpha(spec: Spec) -> bool:
    colour = spec.background.colour
    return colour is None or (isinstance(colour, Colour) and not colour.opaque)
