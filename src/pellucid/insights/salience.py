"""PURE: where the most prominent object is, from a small map of it.

The largest crop of a given shape slides along one axis only, so what it keeps of the object depends on the sums of the
map's columns, or of its rows, alone. Those two short lists are all that a plan needs, for every shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.insights.values import Salience

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 160
"""What U2-Netp sees of the image, squeezed to a square of so many pixels. Crops to 1:1, 2:1 and 1:2 of 228 photographs
keep .863 of the true subject in the mean (the best possible crops .876, the middle .827); at 128 px .859."""

_BINS = 64
_FAINT = 0.1
"""Less in the map is noise."""

_LEAST = 0.002
"""A map whose mean is less shows nothing: the middle is as good a guess as any."""


def salience_of(map_hw: NDArray[np.float32]) -> Salience | None:
    """The profiles of a (height, width) map in [0, 1]; None where it shows nothing."""
    clear = np.where(map_hw >= _FAINT, np.clip(map_hw, 0, 1), 0).astype(np.float64)
    if clear.mean() < _LEAST:
        return None
    return Salience(columns=_shares(clear.sum(axis=0)), rows=_shares(clear.sum(axis=1)))


def _shares(sums: NDArray[np.float64]) -> tuple[float, ...]:
    """`sums`, regrouped to `_BINS` and scaled to add up to 1; to four decimals, which are stored."""
    edges = np.concatenate([[0.0], np.cumsum(sums)])
    places = np.interp(np.linspace(0, len(sums), _BINS + 1), np.arange(len(sums) + 1), edges)
    return tuple(round(float(share), 4) for share in np.diff(places) / edges[-1])
