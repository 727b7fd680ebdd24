"""Smooth colours of subject and background: one pair for every mixed pixel that explains what the photo shows.

From a picture of a few pixels up to the finest level, each pixel of the band (0 < alpha < 1) takes the mean F and B of
its four neighbours, F weighted by how much of the neighbour is subject, B by how much is background, and moves both to
where alpha F + (1 - alpha) B is the photo; a few such sweeps a level. Outside the band the photo itself is F or B, and
what is hidden there keeps the coarser level's guess. Coarse levels are what reaches into glass, where nothing is
opaque. The levels and the sweeps follow T. Germer et al., "Fast Multi-Level Foreground Estimation", ICPR 2020. There
neighbours count by the difference of their alphas, whatever they know of F and B; weights by alpha, which are blur
fusion's (M. Forte, ICIP 2021), need no gradients and leave a third less error.

The band is a twentieth of a usual photo, so work on whole levels is what costs. A pixel is four floats side by side:
16 bytes, which NumPy gathers in one step, as fast as a single float.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]
    """(height, width, 4), 0..255: three colours, and alpha or nothing."""
    Rows = NDArray[np.float32]
    """(positions, 4): pixels of a list of positions, or one value of each, four times."""
    Positions = NDArray[np.intp]
    """Indices into a flattened picture."""

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

_FULL = 255
_PER_LEVEL = np.float32(1 / 255)
_ONE = np.float32(1)
_BOTH = _ONE + 2 * _DOUBT
"""The weights of F and B of one pixel, together."""


class _Band(NamedTuple):
    """The mixed pixels of a level; their neighbours left, right, above and below (at the border the pixel itself); and
    all pixels whose colours are asked for: the mixed ones, with the eight around each.
    """

    at: Positions
    around: tuple[Positions, ...]
    near: Positions


class Smooth(NamedTuple):
    """F and B, (height, width, 4) float32, levels in the first three of the four; not everywhere."""

    fg: Pixels
    bg: Pixels


def smooth_colours(rgba: NDArray[np.uint8], asked: Positions | None = None) -> Smooth:
    """F and B of a photo with its alpha, (height, width, 4) uint8.

    They are there for mixed pixels, for `asked` positions, and for the eight pixels around each of them; what stands
    elsewhere means nothing.
    """
    coarser: list[Pixels] = []
    level: Pixels | NDArray[np.uint8] = rgba
    while min(level.shape[:2]) >= _COARSEST:
        level = _halve(level)
        coarser.append(level)
    coarsest = level.astype(np.float32)
    both = Smooth(coarsest, coarsest)
    for level in reversed(coarser):
        both = _refine_all(both, level)
    return _refine(both, rgba, _find_band(rgba, asked))


def _halve(level: Pixels | NDArray[np.uint8]) -> Pixels:
    """Means of 2 x 2 pixels; an odd last row or column counts twice."""
    height, width = level.shape[:2]
    wide = np.dtype(np.uint16 if level.dtype == np.uint8 else np.float32)
    rows = np.empty(((height + 1) // 2, width, 4), dtype=wide)
    np.add(level[: height - 1 : 2], level[1::2], out=rows[: height // 2], dtype=wide)
    if height % 2:
        np.add(level[-1], level[-1], out=rows[-1], dtype=wide)
    half = np.empty((rows.shape[0], (width + 1) // 2, 4), dtype=np.float32)
    for plane in range(4):
        # One after the other: with four numbers as its innermost loop NumPy takes four times as long.
        np.add(rows[:, : width - 1 : 2, plane], rows[:, 1::2, plane], out=half[:, : width // 2, plane])
    if width % 2:
        np.add(rows[:, -1], rows[:, -1], out=half[:, -1])
    half *= np.float32(0.25)
    return half


def _refine_all(coarse: Smooth, level: Pixels) -> Smooth:
    """As `_refine`, for every pixel."""
    band = _find_band(level, None)
    both = Smooth(_double(coarse.fg, level.shape), _double(coarse.bg, level.shape))
    np.copyto(_packed(both.fg), _packed(level), where=level[..., 3] == _FULL)
    np.copyto(_packed(both.bg), _packed(level), where=level[..., 3] == 0)
    if band.at.size:
        fg, bg = _refine(coarse, level, band)
        _put(both.fg, band.at, _take(fg, band.at))
        _put(both.bg, band.at, _take(bg, band.at))
    return both


def _refine(coarse: Smooth, level: Pixels | NDArray[np.uint8], band: _Band) -> Smooth:
    """F and B of `level` (photo and alpha) from those of the level below, near the band."""
    height, width = level.shape[:2]
    below = _positions_below(band.near, width, coarse.fg.shape[1], halved=coarse.fg.shape != level.shape)
    photo = _take(level, band.near)
    fg, bg = _take(coarse.fg, below), _take(coarse.bg, below)
    np.copyto(_packed(fg), _packed(photo), where=photo[:, 3] == _FULL)
    np.copyto(_packed(bg), _packed(photo), where=photo[:, 3] == 0)
    weight = _four_times(photo[:, 3])
    weight *= _PER_LEVEL
    weight += _DOUBT
    # The fourth number carries the weight itself, so that one sum gives both halves of a mean.
    weighted_fg = fg * weight
    weighted_fg[:, 3] = weight[:, 0]
    planes = Smooth(np.empty((height, width, 4), np.float32), np.empty((height, width, 4), np.float32))
    _put(planes.fg, band.near, weighted_fg)
    np.subtract(_BOTH, weight, out=weight)
    _put(planes.bg, band.near, bg * weight)
    own_fg, own_bg = _sweep(
        planes, band, _take(level, band.at), sweeps=_FINE_SWEEPS if min(height, width) > _FINE else _SWEEPS
    )
    _put(planes.fg, band.near, fg)
    _put(planes.bg, band.near, bg)
    _put(planes.fg, band.at, own_fg)
    _put(planes.bg, band.at, own_bg)
    return planes


def _sweep(weighted: Smooth, band: _Band, photo: Rows, *, sweeps: int) -> tuple[Rows, Rows]:
    """Jacobi sweeps over the band: F and B there. `weighted` is changed; `photo` is the band's."""
    a = _four_times(photo[:, 3])
    a *= _PER_LEVEL
    b = _ONE - a
    own_fg, own_bg = a + _DOUBT, b + _DOUBT
    fg, bg = _sum_around(weighted.fg, band.around), _sum_around(weighted.bg, band.around)
    total = fg[:, 3]
    of_fg, of_bg = _four_times(_ONE / total), _four_times(_ONE / (len(band.around) * _BOTH - total))
    # The least change of F and B, each against its weights' sum, that leaves only the slack of the photo unexplained.
    move_fg, move_bg = a * of_fg, b * of_bg
    size = a * move_fg
    size += b * move_bg
    size += _SLACK
    move_fg /= size
    move_bg /= size
    for sweep in range(sweeps):
        if sweep:
            fg *= own_fg
            bg *= own_bg
            _put(weighted.fg, band.at, fg)
            _put(weighted.bg, band.at, bg)
            fg, bg = _sum_around(weighted.fg, band.around), _sum_around(weighted.bg, band.around)
        fg *= of_fg
        bg *= of_bg
        unexplained = photo - a * fg
        unexplained -= b * bg
        fg += move_fg * unexplained
        unexplained *= move_bg
        bg += unexplained
        np.clip(fg, 0, 255, out=fg)
        np.clip(bg, 0, 255, out=bg)
    return fg, bg


def _find_band(level: Pixels | NDArray[np.uint8], asked: Positions | None) -> _Band:
    height, width = level.shape[:2]
    alpha = np.ascontiguousarray(level[..., 3])
    mixed = (alpha > 0) & (alpha < _FULL)
    at = np.flatnonzero(mixed)
    # Division by one number is fast in 32 bits, ten times slower in 64.
    column = at.astype(np.uint32) % np.uint32(width)
    around = (
        at - (column > 0),
        at + (column < width - 1),
        at - width * (at >= width),
        at + width * (at < (height - 1) * width),
    )
    if asked is not None:
        mixed.reshape(-1)[asked] = True
    down = mixed.copy()
    down[1:] |= mixed[:-1]
    down[:-1] |= mixed[1:]
    near = down.copy()
    near[:, 1:] |= down[:, :-1]
    near[:, :-1] |= down[:, 1:]
    return _Band(at, around, np.flatnonzero(near))


def _positions_below(at: Positions, width: int, width_below: int, *, halved: bool) -> Positions | NDArray[np.uint32]:
    """Where the pixel below each of `at` lies in the next coarser level, or in a level of the same size."""
    if not halved:
        return at
    small = at.astype(np.uint32)
    row = small // np.uint32(width)
    column = small - row * np.uint32(width)
    return (row >> 1) * np.uint32(width_below) + (column >> 1)


def _double(pixels: Pixels, shape: tuple[int, ...]) -> Pixels:
    """Each pixel four times, cut to `shape`; the sweeps that follow smooth the steps."""
    if pixels.shape == shape:
        return pixels.copy()
    doubled = np.empty(shape, dtype=np.float32)
    for top in (0, 1):
        for left in (0, 1):
            part = _packed(doubled)[top::2, left::2]
            part[...] = _packed(pixels)[: part.shape[0], : part.shape[1]]
    return doubled


def _packed(pixels: NDArray[np.float32]) -> NDArray[np.complex128]:
    """Each pixel as one element of 16 bytes, to be moved only."""
    return pixels.view(np.complex128)[..., 0]


def _take(pixels: Pixels | NDArray[np.uint8], at: Positions | NDArray[np.uint32]) -> Rows:
    if pixels.dtype == np.uint8:
        four = pixels.view(np.uint32).reshape(-1).take(at)
        return four.view(np.uint8).astype(np.float32).reshape(-1, 4)
    # Clipping never happens; it spares the check of all indices beforehand.
    packed = _packed(cast("Pixels", pixels)).reshape(-1).take(at, mode="clip")
    return packed.view(np.float32).reshape(-1, 4)


def _put(pixels: Pixels, at: Positions, rows: Rows) -> None:
    _packed(pixels).reshape(-1)[at] = _packed(rows)


def _four_times(values: NDArray[np.float32]) -> Rows:
    rows = np.empty((values.size, 4), dtype=np.float32)
    for plane in range(4):
        rows[:, plane] = values
    return rows


def _sum_around(pixels: Pixels, around: tuple[Positions, ...]) -> Rows:
    """Sums over neighbours."""
    total = _take(pixels, around[0])
    for neighbour in around[1:]:
        total += _take(pixels, neighbour)
    return total
