"""Area means of 8-bit pixels at any factor. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Edges = NDArray[np.float64]

_STRIP_PIXELS = 1 << 17
"""Pixels of the source that are added up at a time: temporary arrays of 512 kB, which stay in the cache."""


def shrink_levels(
    levels: NDArray[np.uint8],
    *,
    width: int,
    height: int,
    extent: tuple[float, float] | None = None,
    means: bool = False,
) -> NDArray[np.uint8]:
    """(rows, columns) uint8 shrunk to (height, width): the mean of what each pixel covers, rounded.

    Fractions of pixels count as such. `extent` is how many columns and rows are covered, where that is a little less
    than all of them; `width` and `height` are not larger than it. `means` = the levels are themselves means of finer
    ones: what is cut off a pixel is then taken from a curve through its neighbours, not as if the pixel were even.
    """
    across, down = extent or (levels.shape[1], levels.shape[0])
    rows = _weigh(np.linspace(0, down, height + 1), levels.shape[0], means=means)
    columns = _weigh(np.linspace(0, across, width + 1), levels.shape[1], means=means)
    out = np.empty((height, width), dtype=np.uint8)
    strip = max(1, int(_STRIP_PIXELS * height / (levels.shape[1] * down)))
    for top in range(0, height, strip):
        part = rows.strip(top, top + strip)
        start, end = part.first[0], part.first[-1] + part.weights.shape[1]
        # Rows are added up whole; columns are made rows for it.
        shrunk = _add_rows(levels[start:end].astype(np.float32), Taps(part.first - start, part.weights))
        shrunk = _add_rows(np.ascontiguousarray(shrunk.T), columns)
        shrunk += np.float32(0.5)
        out[top : top + strip] = np.clip(shrunk, 0, 255, out=shrunk).T
    return out


class Taps(NamedTuple):
    """How pixels of one direction become fewer: each is the sum of `weights` (results, taps) times the pixels from
    `first` (results,) on.
    """

    first: NDArray[np.intp]
    weights: NDArray[np.float32]

    def strip(self, start: int, end: int) -> Taps:
        """Some of the results."""
        return Taps(self.first[start:end], self.weights[start:end])


def _weigh(edges: Edges, count: int, *, means: bool) -> Taps:
    """For the means between neighbouring `edges`, of `count` pixels."""
    from_, to = edges[:-1], edges[1:]
    margin = 1 if means else 0
    first = np.maximum(np.floor(from_).astype(np.intp) - margin, 0)
    taken = min(int((np.ceil(to) + margin - first).max()), count)
    first = np.minimum(first, count - taken)
    at = first[:, None] + np.arange(taken)
    weights = np.clip(np.minimum(at + 1, to[:, None]) - np.maximum(at, from_[:, None]), 0, None)
    if means:
        # An edge between two pixels cuts neither; it counts for the one that is covered.
        _bend(weights, first, to, np.ceil(to) - 1, count, sign=1)
        _bend(weights, first, from_, np.floor(from_), count, sign=-1)
    return Taps(first, (weights / (to - from_)[:, None]).astype(np.float32))


def _add_rows(values: NDArray[np.float32], taps: Taps) -> NDArray[np.float32]:
    """(rows, columns) in, (results, columns) out."""
    total = values.take(taps.first, axis=0)
    total *= taps.weights[:, 0, None]
    for tap in range(1, taps.weights.shape[1]):
        part = values.take(taps.first + tap, axis=0)
        part *= taps.weights[:, tap, None]
        total += part
    return total


def _bend(weights: Edges, first: NDArray[np.intp], edges: Edges, cut: Edges, count: int, *, sign: int) -> None:
    """Add to `weights` what the sum of values up to `edges` is more when it follows a curve inside the pixels `cut`.

    At the pixels' edges that sum is known exactly. In between it is a cubic Hermite polynomial, whose slope at each of
    them is the mean of both pixels.
    """
    pixel = np.minimum(cut.astype(np.intp), count - 1)
    t = edges - pixel
    at_start = t * (1 - t) ** 2 / 2 * sign
    at_end = t**2 * (t - 1) / 2 * sign
    straight = (t**2 * (3 - 2 * t) - t) * sign
    row = np.arange(len(edges))
    here = pixel - first
    weights[row, here] += straight + at_start + at_end
    weights[row, np.maximum(pixel - 1, 0) - first] += at_start
    weights[row, np.minimum(pixel + 1, count - 1) - first] += at_end
