"""Pixels of a picture on a regular grid, each with what lies around it: what recognition looks at. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.cutout.graphics.colours import Distances, Pixels

Offsets = Sequence[tuple[int, int]]

CROSS: Offsets = ((0, -1), (0, 1), (-1, 0), (1, 0), (0, -2), (0, 2), (-2, 0), (2, 0))
RING: Offsets = tuple((down, across) for down in (-3, 0, 3) for across in (-3, 0, 3) if (down, across) != (0, 0))
REACH = 3
"""Pixels: a sample lies at least that far from the border of its picture."""


SOFT = 40
"""Levels. A `spread` below it that is not flat is no area of one colour and no edge: shading, texture, noise."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Positions in `rgb` (H x W x 3): `rows` and `columns`, n each."""

    rgb: Pixels
    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]

    @classmethod
    def grid(cls, rgb: Pixels, count: int) -> Samples:
        """About `count` of them, evenly over the picture; none where it is smaller than 7 x 7."""
        height, width = rgb.shape[:2]
        step = max(1, math.isqrt(height * width // count))
        down, across = _places(height, step), _places(width, step)
        return cls(rgb, np.repeat(down, across.size), np.tile(across, down.size))

    def __len__(self) -> int:
        return self.rows.size

    def where(self, chosen: npt.NDArray[np.bool_]) -> Samples:
        """Those that are `chosen` (n)."""
        return Samples(self.rgb, self.rows[chosen], self.columns[chosen])

    def colours(self) -> Pixels:
        """N x 3."""
        return self.rgb[self.rows, self.columns]

    def around(self, offsets: Offsets) -> Pixels:
        """The colours at `offsets` (rows down, columns across, at most `REACH`): offsets x n x 3."""
        return np.stack([self.rgb[self.rows + down, self.columns + across] for down, across in offsets])


def _places(length: int, step: int) -> npt.NDArray[np.intp]:
    return np.arange(REACH + step // 2, length - REACH, step, dtype=np.intp)


def spread(colours: Pixels, cross: Pixels) -> Distances:
    """The largest range over the channels among a pixel (n x 3) and its `CROSS` (8 x n x 3): n, levels."""
    lowest = np.minimum(cross.min(axis=0), colours)
    highest = np.maximum(cross.max(axis=0), colours)
    return (highest - lowest).max(axis=-1).astype(np.int16)


def bend(colours: Pixels, cross: Pixels) -> Distances:
    """How far a pixel is from halfway between the two that are two pixels away, twice: 0 on a plane and on a ramp."""
    twice = 2 * colours.astype(np.int16)
    far = cross[4:].astype(np.int16)
    across, down = np.abs(twice - far[0] - far[1]), np.abs(twice - far[2] - far[3])
    return np.maximum(across, down).max(axis=-1)
