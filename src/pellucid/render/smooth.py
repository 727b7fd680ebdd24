"""Smooth colours of subject and background: one pair for every pixel that explains what the photo shows.

From a picture of a few pixels up to the finest level, each pixel of the band (0 < alpha < 1) takes the mean F and B of
its four neighbours, F weighted by how much of the neighbour is subject, B by how much is background, and moves both to
where alpha F + (1 - alpha) B is the photo; a few such sweeps a level. Outside the band the photo itself is F or B, and
what is hidden there keeps the coarser level's guess. Coarse levels are what reaches into glass, where nothing is
opaque. The levels and the sweeps follow T. Germer et al., "Fast Multi-Level Foreground Estimation", ICPR 2020. There
neighbours count by the difference of their alphas, whatever they know of F and B; weights by alpha, which are blur
fusion's (M. Forte, ICIP 2021), need no gradients and leave a third less error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Planes = NDArray[np.float32]
    """(planes, height, width); colours in levels, 0..255."""
    Values = NDArray[np.float32]
    """(positions,) or (planes, positions)."""
    Positions = NDArray[np.intp]
    """Indices into a flattened plane."""

_COARSEST = 4
"""Levels are halved while both sides are at least this long."""

_SWEEPS = 4
_FINE_SWEEPS = 2
_FINE = 100
"""Four sweeps a level, two where the shorter side is longer than this: they cost most of the time and change least."""

_DOUBT = np.float32(0.02)
"""Added to every weight: what a neighbour says of a colour that it hardly shows is a guess, but better than none."""

_SLACK = np.float32(0.0125)
"""How far the photo may stay unexplained; 0.0025 to 0.025 differ by less than 1 %, 0.1 errs by 3 % more."""

_ONE = np.float32(1)


def smooth_colours(photo: Planes, alpha: NDArray[np.float32]) -> Planes:
    """F and B, stacked: (6, height, width), 0..255.

    `photo` is (3, height, width) in 0..255, `alpha` (height, width) in [0, 1].
    """
    levels: list[Planes] = [np.concatenate((photo, alpha[None]))]
    while min(levels[-1].shape[1:]) >= _COARSEST:
        levels.append(_halve(levels[-1]))
    both: Planes = np.concatenate((levels[-1][:3], levels[-1][:3]))
    while levels:
        level = levels.pop()
        both = _double(both, level.shape[1:])
        np.copyto(both[:3], level[:3], where=level[3] == 1)
        np.copyto(both[3:], level[:3], where=level[3] == 0)
        _settle(both, level)
    return both


def _halve(planes: Planes) -> Planes:
    """Means of 2 x 2 pixels; an odd last row or column counts twice."""
    height, width = planes.shape[1:]
    if height % 2 or width % 2:
        planes = np.pad(planes, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    rows = planes[:, ::2] + planes[:, 1::2]
    return (rows[..., ::2] + rows[..., 1::2]).astype(np.float32, copy=False) * np.float32(0.25)


def _double(planes: Planes, shape: tuple[int, ...]) -> Planes:
    """Each pixel four times, cut to `shape`; the sweeps that follow smooth the steps."""
    if planes.shape[1:] == shape:
        return planes
    doubled = np.empty((planes.shape[0], *shape), dtype=np.float32)
    for top in (0, 1):
        for left in (0, 1):
            part = doubled[:, top::2, left::2]
            part[...] = planes[:, : part.shape[1], : part.shape[2]]
    return doubled


def _settle(both: Planes, level: Planes) -> None:
    """Jacobi sweeps over the band of `level` (photo and alpha, 4 planes); `both` is changed in place.

    Only positions in the band are touched: a fifth of a usual picture.
    """
    height, width = level.shape[1:]
    alpha = level[3].ravel()
    at = np.flatnonzero((alpha > 0) & (alpha < 1))
    if at.size == 0:
        return
    around = _neighbours(at, height, width)
    trust: Values = np.stack((alpha, _ONE - alpha))
    trust += _DOUBT
    weighted = (both.reshape(2, 3, -1) * trust[:, None]).reshape(6, -1)
    own = trust.take(at, axis=1)
    total = _sum_around(trust, around)
    np.divide(_ONE, total, out=total)
    a = alpha.take(at)
    b = _ONE - a
    # The least change of F and B, each against its weights' sum, that leaves only the slack of the photo unexplained.
    move = np.stack((a, b)) * total
    move /= a * move[0] + b * move[1] + _SLACK
    photo = level[:3].reshape(3, -1).take(at, axis=1)
    means = np.empty((6, at.size), dtype=np.float32)
    for sweep in range(_FINE_SWEEPS if min(height, width) > _FINE else _SWEEPS):
        if sweep:
            for plane in range(6):
                weighted[plane][at] = means[plane] * own[plane // 3]
        means = _sum_around(weighted, around)
        for colour in range(3):
            fg, bg = means[colour], means[colour + 3]
            fg *= total[0]
            bg *= total[1]
            unexplained = photo[colour] - a * fg
            unexplained -= b * bg
            fg += move[0] * unexplained
            bg += move[1] * unexplained
        np.clip(means, 0, 255, out=means)
    flat = both.reshape(6, -1)
    for plane in range(6):
        flat[plane][at] = means[plane]


def _neighbours(at: Positions, height: int, width: int) -> tuple[Positions, ...]:
    """The positions left, right, above and below; at the picture's border the position itself."""
    column = at % width
    return (
        at - (column > 0),
        at + (column < width - 1),
        at - width * (at >= width),
        at + width * (at < (height - 1) * width),
    )


def _sum_around(planes: Values, around: tuple[Positions, ...]) -> Values:
    """Sums over neighbours, for each of the flattened planes."""
    sums = np.empty((planes.shape[0], around[0].size), dtype=np.float32)
    for plane, sum_ in zip(planes, sums, strict=True):
        # Clipping never happens; it spares a buffer that checked indices need.
        plane.take(around[0], out=sum_, mode="clip")
        for neighbour in around[1:]:
            np.add(sum_, plane.take(neighbour, mode="clip"), out=sum_)
    return sums
