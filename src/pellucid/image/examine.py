"""A picture's facts, and whether its file is damaged: to be known before it is cut, charged or kept for long."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pellucid.formats import ImageFormat
from pellucid.image import jpeg
from pellucid.image.decode import Damage, decode_scaled
from pellucid.image.facts import ImageFacts
from pellucid.image.probe import DEFAULT_MAX_DECODE_BYTES, probe
from pellucid.image.sniff import sniff
from pellucid.image.structure import Wholeness, look
from pellucid.image.vips import to_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHRINK = 16
_LEAST_SIDE = 64
"""A large picture is looked at so much smaller: a JPEG shrinks eight times then while it is decoded, to its end."""

_FILLER = b"\x5a\xc3" * 64
"""Pixels of no picture."""


def examine(data: bytes, *, max_pixels: int, max_bytes: int = DEFAULT_MAX_DECODE_BYTES, page: int = 1) -> ImageFacts:
    """The facts of the picture in `data`, `damaged` among them; of a document those of its `page`, from 1. A file that
    is whole by its structure is believed, in microseconds; another one is decoded once, which settles it.

    Raises what `probe` raises, and DamagedImageError for a file of which nothing can be shown.
    """
    wholeness = look(data, sniff(data))
    facts = probe(data, max_pixels=max_pixels, max_bytes=max_bytes, page=page)
    if wholeness is Wholeness.WHOLE:
        return replace(facts, damaged=False)
    return _decoded_once(data, replace(facts, damaged=wholeness is Wholeness.CUT), max_bytes=max_bytes)


def _decoded_once(data: bytes, facts: ImageFacts, *, max_bytes: int) -> ImageFacts:
    """`facts` with what the decoder says; damaged ones stay damaged."""
    damage = Damage()
    width, height = (max(side // _SHRINK, min(side, _LEAST_SIDE)) for side in (facts.width, facts.height))

    def pixels(data: bytes) -> NDArray[np.uint8]:
        return to_array(
            decode_scaled(data, facts, width=width, height=height, max_bytes=max_bytes, on_damage=damage.note)
        )

    first = pixels(data)
    if facts.format is ImageFormat.JPEG and not damage.noted:
        # libjpeg goes on with grey; what it says of that is lost where several threads decode (`vips.listening`).
        damage.noted = not np.array_equal(first, pixels(jpeg.completed(data, filler=_FILLER)))
    return replace(facts, damaged=damage.noted)
