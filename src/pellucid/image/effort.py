"""Pure: how hard an encoder tries, so that no answer takes longer to encode than it must.

ms of CPU a megapixel, one thread of a shared EPYC server, libvips 8.18.7 (libaom 3.15.1, libwebp 1.6, mozjpeg 5.0.0), a
collage of photographs; linear from 0.1 to 12 megapixels. Flat graphics take 0.6 to 1 of it, so nothing need be known of
the content. And the bytes at 1 megapixel, at the same quality:

    AVIF   effort 0   43 to 55 ms, 76 kB    1   131 to 160, 73    2   268 to 290, 74    3   415, 69    4   2300
    WebP   effort 0   21 to 24 ms, 127 kB   2   37, 108   3   82, 103   4   83 to 95, 101   5   183, 98
    JPEG   plain 3 ms, 153 kB   progressive, with tables of its own 14 to 15.5, 149   trellis 44, 137

At the same look AVIF of effort 0, 1, 2 takes .79, .74, .72 of JPEG's bytes. Trellis quantisation takes from the picture
what it saves: at the same look .98 to .99 of the bytes, for three times the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pellucid.formats import ImageFormat

BUDGET_MS = 220.0
"""Three quarters of the 300 ms that no encoding is to take unless it is asked for: another machine may be slower."""


@dataclass(frozen=True, slots=True)
class _Step:
    """ms a megapixel at an effort."""

    effort: int
    opaque_ms: float
    transparent_ms: float

    def ms(self, pixels: int, *, transparent: bool) -> float:
        return (self.transparent_ms if transparent else self.opaque_ms) * pixels / 1e6


_STEPS: Mapping[ImageFormat, tuple[_Step, ...]] = {
    # Up to 0.75, 1.37 and 4.0 megapixels; with alpha 0.64, 1.15 and 3.3.
    ImageFormat.AVIF: (_Step(2, 290, 340), _Step(1, 160, 190), _Step(0, 55, 66)),
    # Up to 2.6, 5.8 and 9.1; with alpha, as `image.webp` writes it, 1.9, 3.2 and 5.5.
    ImageFormat.WEBP: (_Step(4, 83, 115), _Step(2, 38, 68), _Step(0, 24, 40)),
    # 1: progressive, with tables of its own. Up to 14 and 73.
    ImageFormat.JPEG: (_Step(1, 15.5, 15.5), _Step(0, 3, 3)),
    ImageFormat.PNG: (_Step(0, 25, 25),),
    # libimagequant's palette and its dithering are the cost; 140 of a flat graphic.
    ImageFormat.GIF: (_Step(0, 330, 330),),
}
"""By falling effort, which is the encoder's own number where it has one."""

_SMALL_WEBP_PIXELS = 300_000
"""WebP up to this size is written at effort 2. 11 photos, 400 px: it takes 5.0 ms for 23.1 kB with an SSIM of 0.9701,
effort 4 10.4 ms for 22.5 kB and 0.9723.
"""

_SMALL_WEBP_EFFORT = 2


def effort_for(format_: ImageFormat, *, pixels: int, transparent: bool) -> int | None:
    """The most effort that stays within `BUDGET_MS` for `pixels`, None where none does: where the format is the
    server's choice, it chooses another.
    """
    fitting = (step for step in _STEPS[format_] if step.ms(pixels, transparent=transparent) <= BUDGET_MS)
    step = next(fitting, None)
    if step is None:
        return None
    is_small = format_ is ImageFormat.WEBP and pixels <= _SMALL_WEBP_PIXELS
    return _SMALL_WEBP_EFFORT if is_small else step.effort


def effort_at_most(format_: ImageFormat, *, pixels: int, transparent: bool) -> int:
    """The same, the least effort where none stays within the budget: for a format that was asked for."""
    effort = effort_for(format_, pixels=pixels, transparent=transparent)
    return _STEPS[format_][-1].effort if effort is None else effort


def encoding_ms(format_: ImageFormat, *, pixels: int, transparent: bool) -> float:
    """About how long `pixels` take to be written at `effort_at_most`."""
    effort = effort_at_most(format_, pixels=pixels, transparent=transparent)
    return next(step.ms(pixels, transparent=transparent) for step in _STEPS[format_] if step.effort == effort)
