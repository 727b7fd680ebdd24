"""Colours by which a flat graphic is described, and distances between them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from pellucid.inference.runtime import FloatArray

Pixels = npt.NDArray[np.uint8]
"""H x W x 3, or positions x 3: sRGB."""

Distances = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """`ground`: (3,) float32, the one colour behind everything, sRGB levels. `inks`: K x 3 float32, the colours that
    lie on it. `noise`: by how many levels a colour of the file differs from what was drawn (0 = a lossless file).
    """

    ground: FloatArray
    inks: FloatArray
    noise: float

    @property
    def is_exact(self) -> bool:
        """Whether pixels hold what was drawn, without noise of a scan or a lossy format."""
        return self.noise <= EXACT


EXACT = 1.0
"""Levels of noise up to which a picture counts as lossless."""


def distance(colours: npt.NDArray[np.generic], colour: FloatArray) -> Distances:
    """The largest difference over the channels (Chebyshev distance) of ... x 3 levels to one colour: int16."""
    to = np.rint(colour).astype(np.int16)
    differences = np.abs(colours.astype(np.int16) - to)
    return cast("Distances", differences.max(axis=-1))


def nearest(colours: npt.NDArray[np.generic], palette: FloatArray) -> Distances:
    """The `distance` to the nearest colour of `palette` (K x 3); beyond every distance where it is empty."""
    least = np.full(colours.shape[:-1], np.iinfo(np.int16).max, np.int16)
    for colour in palette:
        np.minimum(least, distance(colours, colour), out=least)
    return least


def most_frequent(colours: Pixels, *, bits: int) -> FloatArray:
    """The median of those colours (n x 3, n > 0) that share the fullest cell of a grid of 2 ** `bits` a channel."""
    cells = (colours >> (8 - bits)).astype(np.int32)
    keys = (cells[:, 0] << (2 * bits)) | (cells[:, 1] << bits) | cells[:, 2]
    return np.median(colours[keys == np.bincount(keys).argmax()], axis=0).astype(np.float32)


def clusters(colours: Pixels, *, least: float, most: int, radius: float) -> FloatArray:
    """Up to `most` colours, the most frequent first, that have at least `least` of `colours` (n x 3) within `radius`
    levels, each colour counted once: K x 3.
    """
    found: list[FloatArray] = []
    left = colours
    while len(left) >= max(1.0, least) and len(found) < most:
        centre = most_frequent(left, bits=6)
        near = distance(left, centre) <= radius
        if near.any():
            centre = np.median(left[near], axis=0).astype(np.float32)
            near = distance(left, centre) <= radius
        if near.sum() < max(1.0, least):
            break
        found.append(centre)
        left = left[~near]
    return np.array(found, np.float32).reshape(-1, 3)
