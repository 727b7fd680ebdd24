"""Pure: one scale of quality for all lossy formats: that of the JPEGs written here.

The same SSIMULACRA2 (2.1) in the mean of 38 photographs; points at JPEG 30, 40, ... 95, and what AVIF of the same look
takes of that JPEG's bytes:

    JPEG     30   40    50   60   70    75    80    85    90    95
    points   48   57.5  64   68   73    75.6  78.5  81.4  88    91.6
    WebP     32   48    59   71   79    82    85    88    97    100     .93 to 1.07 of the bytes
    AVIF     38   44    50   54   59    63    68    73    88    94      .74 to .80

From the 10th to the 90th percentile of pictures JPEG 80 is WebP 79 to 89 and AVIF 66 to 70. JPEG keeps all of its
chroma from 90 on, which lossy WebP cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pellucid.formats import ImageFormat

DEFAULT_QUALITY = 82
"""1..100."""

DEFAULT_TRANSPARENT_QUALITY = 75
"""Of WebP and AVIF with transparency: WebP's own 82. A subject alone is looked at less closely than a photograph."""

_JPEG = (1, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 100)
_LOOKS_LIKE: Mapping[ImageFormat, Sequence[float]] = {
    ImageFormat.WEBP: (1, 32, 48, 59, 71, 79, 82, 85, 88, 97, 99, 100),
    ImageFormat.AVIF: (1, 38, 44, 50, 54, 59, 63, 68, 73, 88, 94, 100),
}
"""The formats' own qualities."""


def own_quality(quality: int, format_: ImageFormat) -> int:
    """What `format_` calls the `quality` (1..100) that JPEG calls so; the same number for formats not measured."""
    own = _LOOKS_LIKE.get(format_)
    return quality if own is None else round(float(np.interp(quality, _JPEG, own)))


def jpeg_quality(own: int, format_: ImageFormat) -> int:
    """The inverse of `own_quality`, as near as whole numbers allow."""
    measured = _LOOKS_LIKE.get(format_)
    return own if measured is None else round(float(np.interp(own, measured, _JPEG)))
