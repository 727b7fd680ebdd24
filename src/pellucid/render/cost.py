"""Pure: about how long a rendition takes, in ms of CPU, from what is known before anything is decoded.

Measured on a shared Zen 4 server, a photograph of 12 megapixels with a little noise, ms a megapixel. Decoding, by the
origin's pixels, for a rendition of 400 / 1600 px:

    JPEG   2.1 / 3.5, progressive 8.3 / 9.7      PNG   11 / 12, with alpha 16 / 20
    WebP   17 / 18, lossless 28 / 29             AVIF  41 / 41
    GIF    9 / 10     BMP  9 / 10                TIFF  12 / 13 (LZW)
    JPEG XL 25, with alpha 48, lossless 45 to 190 whatever the size of the rendition
    JPEG 2000 at full size 49 (0.15 MB a megapixel), 207 (lossless, 1.5 MB), 40 (flat): it is the bytes that cost

What comes after, by the rendition's pixels, at 1 / 4 / 12 / 25 megapixels:

    resampling 38 / 17 / 5 / 32       foreground colours 35 / 28 / 18 / 15
    as PNG     30 / 26 / 20 / 20

and as the other formats what `image.effort` says: large pictures are written with less effort, 4 megapixels of WebP in
152 ms, of AVIF in 220. WebP that may turn out to be JPEG (`RenderJob.or_jpeg`) is written up to three times.

The estimate errs on the heavy side. What it misses, a kind of SVG for one, meets the bound on CPU time of
`render.pool`.
"""

from __future__ import annotations

from pellucid.formats import ImageFormat
from pellucid.image.effort import encoding_ms
from pellucid.image.facts import ImageFacts
from pellucid.image.optipress import SEARCH_MS
from pellucid.render.job import BlankJob, RenderJob

HEAVY_MS = 700.0
"""A rendition estimated above this goes to the heavy lane. Below it are: 1600 px cut out of 24 megapixels of JPEG (460
ms), 400 px of 36 megapixels of PNG (660 ms); above it: 2560 px cut out of 12 megapixels (720 ms), 400 px of 20
megapixels of AVIF (830 ms).
"""

_LIGHT_OUTPUT_MS = 300.0
"""When a rendition whose own part is below this fails, it was its picture that failed: up to 1600 x 1200 px cut out, as
WebP.
"""

_DECODE_MS: dict[ImageFormat, float] = {
    ImageFormat.JPEG: 9,
    ImageFormat.PNG: 18,
    ImageFormat.WEBP: 28,
    ImageFormat.AVIF: 41,
    ImageFormat.HEIC: 41,
    ImageFormat.GIF: 10,
    ImageFormat.TIFF: 13,
    ImageFormat.BMP: 10,
    ImageFormat.ICO: 18,
    ImageFormat.JP2: 40,
    ImageFormat.SVG: 0,
    ImageFormat.PDF: 0,
    ImageFormat.JXL: 60,
}
"""By megapixel of the origin. SVG and PDF are drawn at the rendition's size."""

_DECODE_MS_PER_MEGABYTE = {ImageFormat.JP2: 115.0, ImageFormat.SVG: 100.0, ImageFormat.PDF: 25.0}
"""PDF: of an average page, a scan as JPEG."""

_SCALE_MS, _COLOURS_MS = 30, 30
_DRAW_MS: dict[ImageFormat, float] = {ImageFormat.SVG: 60, ImageFormat.PDF: 10}
"""By megapixel of the rendition, of what is drawn at its size."""

_SHARPEN_MS = 10
_OR_JPEG_MS = 18
"""What a plain and a real JPEG take besides WebP."""


def estimate_ms(job: RenderJob, *, size_bytes: int, cut: bool) -> float:
    """What `job` takes for an origin of `size_bytes`; `cut` = its background is removed."""
    return _decode_ms(job.facts, size_bytes=size_bytes) + _output_ms(job, cut=cut)


def is_heavy_decode(facts: ImageFacts, *, size_bytes: int) -> bool:
    """Whether others are not to wait until an origin is decoded."""
    return _decode_ms(facts, size_bytes=size_bytes) > HEAVY_MS


def _decode_ms(facts: ImageFacts, *, size_bytes: int) -> float:
    pixels_ms = _DECODE_MS[facts.format] * facts.width * facts.height / 1e6
    page_bytes = size_bytes / facts.pages if facts.format is ImageFormat.PDF else size_bytes
    return pixels_ms + _DECODE_MS_PER_MEGABYTE.get(facts.format, 0) * page_bytes / 1e6


def is_heavy(job: RenderJob, *, size_bytes: int, cut: bool) -> bool:
    """Whether others are not to wait for it."""
    return estimate_ms(job, size_bytes=size_bytes, cut=cut) > HEAVY_MS


def is_heavy_blank(job: BlankJob) -> bool:
    """Whether others are not to wait for it. One colour is written in half the time of a photograph."""
    transparent = job.background is None or not job.background.opaque
    return encoding_ms(job.format, pixels=job.width * job.height, transparent=transparent) / 2 > HEAVY_MS


def is_light_output(job: RenderJob, *, cut: bool) -> bool:
    """Whether there is little to do besides decoding the origin."""
    return _output_ms(job, cut=cut) <= _LIGHT_OUTPUT_MS


def _output_ms(job: RenderJob, *, cut: bool) -> float:
    pixels = job.plan.width * job.plan.height
    per_megapixel = _SCALE_MS + (_COLOURS_MS if cut else 0) + (_OR_JPEG_MS if job.or_jpeg else 0)
    per_megapixel += _DRAW_MS.get(job.facts.format, 0) + (_SHARPEN_MS if job.sharpen else 0)
    search_ms = 0.0 if job.optipress is None else SEARCH_MS
    return per_megapixel * pixels / 1e6 + encoding_ms(job.format, pixels=pixels, transparent=cut) + search_ms
