"""Whether a picture is a flat graphic on one ground colour: a few thousand of its pixels tell. Pure.

1. The border of the picture has one colour, within the noise of a scan or of a lossy format.
2. That ground covers a fifth of the picture or more.
3. What is not ground is *explained*: flat areas of a dozen ink colours, ramps, and antialiased edges, whose pixels are
   mixtures of ground and ink or have flat colours around them.

No photograph of the 228 that this was chosen on passes 1 and 2. A product on a pure white ground does; its shading and
its texture are what no palette explains. Pictures that are drawn, but not on one ground (a poster, an icon on a
gradient), are told by their pixels lying on planes and ramps. docs/adr/0019 has the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.cutout.graphics.colours import Palette, Pixels, distance
from pellucid.cutout.graphics.evidence import FEW, Border, Evidence, gather, read_border
from pellucid.cutout.graphics.samples import CROSS, SOFT, Samples, bend, spread
from pellucid.image import vips

_FIT = 0.18
"""What `Evidence.against` may be. Of the subjects of the 228 photographs on grounds of one colour, as PNG and JPEG, in
colour and grey (1,824 pictures), none is below it, the nearest at 0.23."""

_DOUBTFUL = 0.5
_REDUCED_SIDE = 300
"""Up to 0.5 a picture is looked at once more, reduced to 300 px at most, where noise and ringing are averaged away. Of
80 made graphics in JPEG 90 that finds 64, not 51; the nearest photograph then has 0.229."""

_LIKE_ONE = 0.28
"""Up to here a picture is more likely a graphic than not, but nothing that can be cut by its colours."""

_MAYBE = 0.6
"""Up to here a picture that was reduced to some hundred pixels is worth decoding whole: 0 of 228 photographs, 33 of
1,824 subjects on grounds of one colour, all but 7 of the 504 made graphics that are then cut by their colours."""

_DRAWN_SAMPLES = 6_000
_DRAWN_PLANE = 0.8
_DRAWN_SOFT = 0.05
"""A drawn picture: of the samples off the border's colour at least 80 % lie on planes and ramps, and 5 % at most are
soft. Photographs enlarged three times come nearest, with 84 % and 15 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graphic:
    """A graphic. `palette`: its colours where it has one ground, else None: it cannot be cut by colours. `is_drawn`:
    it surely is one (drawn on several grounds, or on a gradient), not only likely.
    """

    palette: Palette | None
    is_drawn: bool = True


def recognise(rgb: Pixels) -> Graphic | None:
    """What kind of graphic `rgb` (uint8, H x W x 3, sRGB) is; None for a photograph, and in doubt."""
    border = read_border(rgb)
    evidence = gather(rgb, border)
    if evidence is not None and (evidence.against <= _FIT or _is_clearer_reduced(rgb, evidence)):
        return Graphic(palette=evidence.palette)
    if _is_drawn(rgb, border):
        return Graphic(palette=None)
    if evidence is not None and evidence.against <= _LIKE_ONE:
        return Graphic(palette=None, is_drawn=False)
    return None


def may_be_graphic(small_rgb: Pixels) -> bool:
    """Whether it is worth decoding a picture whole to `recognise` it, by its reduction to some hundred pixels."""
    border = read_border(small_rgb)
    evidence = gather(small_rgb, border)
    return (evidence is not None and evidence.against <= _MAYBE) or _is_drawn(small_rgb, border)


def _is_clearer_reduced(rgb: Pixels, evidence: Evidence) -> bool:
    """Whether a doubtful picture fits once what a lossy format left in it is averaged away."""
    factor = -(-max(rgb.shape[:2]) // _REDUCED_SIDE)
    if factor < 2 or evidence.against > _DOUBTFUL:
        return False
    reduced = vips.reduced(rgb, factor)
    again = gather(reduced, read_border(reduced))
    return again is not None and again.against <= _FIT


def _is_drawn(rgb: Pixels, border: Border) -> bool:
    samples = Samples.grid(rgb, _DRAWN_SAMPLES)
    samples = samples.where(distance(samples.colours(), border.ground) > 3)
    if len(samples) < FEW:
        return False
    colours, cross = samples.colours(), samples.around(CROSS)
    ranges = spread(colours, cross)
    plane = (ranges <= 2) | (bend(colours, cross) <= 2)
    return bool(plane.mean() >= _DRAWN_PLANE and (~plane & (ranges < SOFT)).mean() <= _DRAWN_SOFT)
