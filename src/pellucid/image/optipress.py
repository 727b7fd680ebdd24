"""`optipress`: a quality for each image, so that all of them look equally good, instead of one number for all.

A sample of the image is encoded and decoded at one to four qualities, and what that did to it is measured
(`image.likeness`). Of a large image it is tiles, spread evenly, at its own pixels: a smaller copy would hide what
encoders do.

34 photographs of 0.08 to 4 megapixels, none of them used for the fit; bytes against JPEG 80 with the standard's table,
points of SSIMULACRA2 with their standard deviation:

    level            1                2                3
    JPEG    q        69 to 86         56 to 76         38 to 64
            bytes    .87              .67              .54
            points   78.0 (1.15)      71.4 (1.14)      64.7 (1.54)      one quality for all: 2.6 to 3.4
    WebP    points   78.4 (1.08)      71.8 (1.26)      64.8 (1.35)                           3.5
    AVIF    bytes    .72              .54              .41
            points   78.1 (.82)       71.7 (.88)       64.8 (1.06)                           3.5 to 4.9

2.4 tries in the mean, 40 to 85 ms before the real encoding, 110 at most, whatever the size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pellucid.formats import ImageFormat
from pellucid.image import vips
from pellucid.image.jpeg_save import ALL_CHROMA_FROM, save_jpeg
from pellucid.image.likeness import Original
from pellucid.image.probe import LOADERS
from pellucid.image.vips import VipsImage

TARGETS: Mapping[int, float] = {1: 78.0, 2: 72.0, 3: 65.0}
"""Points by level: what JPEG of quality 80, 70 and 57 has in the mean."""

SEARCH_MS = 110.0
"""At most, before the real encoding."""

_SAMPLE_PIXELS = 250_000
_WHOLE_PIXELS = 330_000
"""An image up to this size is looked at as a whole."""

_TILE = 128
"""A multiple of 16, so that tiles lie as JPEG's blocks of halved chroma do."""

_NEAR_ENOUGH = 0.7
"""Points: less than what the measure itself is off by."""

_MOST_TRIES = 4

_GREY = (128, 128, 128)
"""Under what is transparent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Codec:
    """`save` takes an image and a quality from `lowest` to `highest`. `usual` is the quality that has 78.5 points in
    the mean, from which the search begins; a step of quality is worth about `points`.
    """

    save: Callable[[VipsImage, int], bytes]
    lowest: int
    highest: int
    usual: int
    points: float


def _save_jpeg(image: VipsImage, quality: int) -> bytes:
    return save_jpeg(image, quality=quality, effort=0)  # the same pixels as with any effort


def _save_webp(image: VipsImage, quality: int) -> bytes:
    return image.webpsave_buffer(Q=quality, effort=2, keep="none")


def _save_avif(image: VipsImage, quality: int) -> bytes:
    return image.heifsave_buffer(compression="av1", Q=quality, effort=0, subsample_mode="auto", keep="none")


_CODECS: Mapping[ImageFormat, _Codec] = {
    ImageFormat.JPEG: _Codec(save=_save_jpeg, lowest=30, highest=ALL_CHROMA_FROM - 1, usual=80, points=0.55),
    ImageFormat.WEBP: _Codec(save=_save_webp, lowest=30, highest=94, usual=85, points=0.65),
    ImageFormat.AVIF: _Codec(save=_save_avif, lowest=30, highest=88, usual=68, points=0.8),
}

_USUAL_POINTS = 78.5

CHOOSING = frozenset(_CODECS)
"""The formats that have a quality to choose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """`quality` is the format's own; `points` are those of the sample at it; `tries` counts its encodings."""

    quality: int
    points: float
    tries: int


def choose_quality(image: VipsImage, format_: ImageFormat, *, level: int) -> Choice:
    """The quality of `image` (uchar sRGB, 3 bands or 4) in a format of `CHOOSING` for `level` 1 (light) to 3 (strong).
    The same image has the same each time. 25 to 40 ms a try.
    """
    codec, target = _CODECS[format_], TARGETS[level]
    sample = _sample(image)
    original = Original(vips.to_array(sample))
    measured: dict[int, float] = {}
    quality = _within(codec, codec.usual + (target - _USUAL_POINTS) / codec.points)
    while quality not in measured and len(measured) < _MOST_TRIES:
        decoded = vips.load(LOADERS[format_], codec.save(sample, quality))
        measured[quality] = original.points(vips.to_array(decoded.extract_band(0, n=3)))
        if abs(measured[quality] - target) <= _NEAR_ENOUGH:
            break
        quality = _within(codec, _expected(measured, target, codec.points))
    best = min(measured, key=lambda each: abs(measured[each] - target))
    return Choice(quality=best, points=measured[best], tries=len(measured))


def _within(codec: _Codec, quality: float) -> int:
    return max(codec.lowest, min(codec.highest, round(quality)))


def _expected(measured: Mapping[int, float], target: float, slope: float) -> float:
    """The quality that gives `target`, by the two nearest that were measured, or by the usual `slope`."""
    nearest = sorted(measured, key=lambda each: abs(measured[each] - target))[:2]
    if len(nearest) == 2:
        first, second = nearest
        slope = max(0.25, min(2.0, (measured[first] - measured[second]) / (first - second)))
    return nearest[0] + (target - measured[nearest[0]]) / slope


def _sample(image: VipsImage) -> VipsImage:
    """`image` without transparency, or tiles of it side by side."""
    if image.bands == 4:
        image = image.flatten(background=_GREY)
    width, height = image.width, image.height
    if width * height <= _WHOLE_PIXELS:
        return image.copy_memory()
    tile_width, tile_height = min(_TILE, width), min(_TILE, height)
    rows, columns = height // tile_height, width // tile_width
    tiles = _SAMPLE_PIXELS / (tile_width * tile_height)
    down = max(1, min(rows, round((tiles * rows / columns) ** 0.5)))
    across = max(1, min(columns, round(tiles / down)))
    down = max(1, min(rows, round(tiles / across)))
    pixels = vips.to_array(image)
    lefts = [int((each + 0.5) * columns / across) * tile_width for each in range(across)]
    tops = [int((each + 0.5) * rows / down) * tile_height for each in range(down)]
    taken = [[pixels[top : top + tile_height, left : left + tile_width] for left in lefts] for top in tops]
    return vips.from_array(np.concatenate([np.concatenate(row, axis=1) for row in taken]))
