"""JPEG, by mozjpeg."""

from __future__ import annotations

from pellucid.formats import ImageFormat
from pellucid.image.effort import effort_at_most
from pellucid.image.vips import VipsImage

_ALL_CHROMA_FROM = 90
"""From this quality on chroma is whole, below it halved ("auto")."""

_TABLE = 3
"""mozjpeg's own quantisation table (N. Robidoux). 38 photographs at quality 80: .936 of the bytes of the standard's
table at 78.6 points of SSIMULACRA2 against 78.5, no more time. From 90 on the standard's is better. Table 5 gives .89
of the bytes at the same points and loses 0.3 dB.
"""

_STANDARD_TABLE = 0


def save_jpeg(image: VipsImage, *, quality: int, effort: int | None = None) -> bytes:
    """`image` (uchar sRGB, 3 bands) as JPEG of `quality` 1..100. `effort`: 0 = plain, 1 = progressive, so that a page
    shows something early, with Huffman tables of its own; None = as `image.effort` says.
    """
    if effort is None:
        effort = effort_at_most(ImageFormat.JPEG, pixels=image.width * image.height, transparent=False)
    return image.jpegsave_buffer(
        Q=quality,
        quant_table=_TABLE if quality < _ALL_CHROMA_FROM else _STANDARD_TABLE,
        subsample_mode="auto",
        optimize_coding=effort > 0,
        interlace=effort > 0,
        keep="none",
    )
