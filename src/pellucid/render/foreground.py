"""Foreground estimation: the subject's own colour where it mixes with its background.

In the band where 0 < alpha < 1 a photo shows I = alpha F + (1 - alpha) B; put over a new background as it is, the old
one shines through as a coloured halo. Blur fusion (M. Forte, "Approximate Fast Foreground Colour Estimation", ICIP
2021) takes F and B as weighted blurs of their surroundings, then moves F to where it explains the photo:
F' = F + alpha (I - alpha F - (1 - alpha) B).

The paper blurs twice, widely and narrowly. Here one 7 x 7 blur runs at each level of an image pyramid, coarse to fine,
which reaches as far (48 px at the finest level) with work that does not grow with the radius. Mean error of alpha F in
the band of a furry 680 x 440 matte over eight pairs of known foreground and background, in 8-bit levels, and time:

    photo as it is                10.5
    paper, radii 90 and 6          4.8                94 ms
    paper, radii 30 and 3          5.5                94 ms
    pyramid of 4 / 5 / 6 levels    5.1 / 4.8 / 4.9    40 ms
    5 levels, two blurs each       4.5                about 80 ms
    5 levels on a halved picture   5.4                31 ms

One core of a shared server, a fifth of the picture in the band: 10 ms at 400 x 300, 95 ms at 1000 x 750, 110 ms at
1600 x 1200, 0.46 s at 12 megapixels.

F and B are smooth, so they are made on a picture of 1000 px at most; only the correction runs at full resolution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.image import vips
from pellucid.image.vips import VipsImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    """(height, width)."""
    Planes = NDArray[np.float32]
    """(planes, height, width); colours in levels, 0..255."""

_WORKING_SIDE = 1000
_LEVELS = 5
_RADIUS = 3
_ONE = np.float32(1)
_EPSILON = np.float32(1e-3)
"""Keeps empty windows from dividing by nothing; far below one opaque pixel's weight."""

_BLUR_ROWS = 32
"""Rows blurred at a time: a strip of all planes stays in the cache, twice as fast as whole planes."""

_STRIP_PIXELS = 1 << 19
"""The correction runs in strips of about this many pixels: its temporary arrays stay below 50 MB."""


def estimate_foreground(rgb: NDArray[np.uint8], alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The foreground's colours, straight, as (height, width, 3) uint8 sRGB.

    `rgb` is the photo, (height, width, 3) uint8; `alpha` its matte, (height, width) float32 in [0, 1]. Where alpha is 1
    the photo comes back bit by bit; where it is 0 the result is black, which compresses to nothing.
    """
    foreground = rgb * (alpha > 0)[..., None]
    band = (alpha > 0) & (alpha < 1)
    if not band.any():
        return foreground
    height, width = alpha.shape
    smooth = _smooth_colours(rgb, alpha, factor=-(-max(height, width) // _WORKING_SIDE))
    strip = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, strip):
        part = slice(top, top + strip)
        # Flat positions and `take`: ten times faster than a boolean index.
        inside = np.flatnonzero(band[part])
        if inside.size == 0:
            continue
        blurred = vips.to_array(smooth.crop(0, top, width, min(strip, height - top)))
        both = _take(blurred, inside).astype(np.float32)
        photo = _take(rgb[part], inside).astype(np.float32)
        a = alpha[part].ravel().take(inside)[:, None]
        fg, bg = both[:, :3], both[:, 3:]
        fg = fg + a * (photo - a * fg - (_ONE - a) * bg)
        foreground[part].reshape(-1, 3)[inside] = _to_8_bits(fg)
    return foreground


def _take(pixels: NDArray[np.uint8], at: NDArray[np.intp]) -> NDArray[np.uint8]:
    """(positions, bands) of a (height, width, bands) array."""
    return pixels.reshape(-1, pixels.shape[2]).take(at, axis=0)


def _to_8_bits(levels: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Rounded and clipped to 0..255."""
    return (np.clip(levels, 0, 255) + np.float32(0.5)).astype(np.uint8)


def _smooth_colours(rgb: NDArray[np.uint8], alpha: NDArray[np.float32], *, factor: int) -> VipsImage:
    """Blurred F and B, made at 1/`factor` of the size: 6 uchar bands, at least as large as `rgb`, on demand."""
    if factor > 1:
        # Averaging keeps the mixing equation true: means of mixtures are mixtures of means where F and B are even.
        rgb = vips.to_array(vips.from_array(rgb).shrink(factor, factor, ceil=True))
        small = vips.from_float_array(alpha).shrink(factor, factor, ceil=True)
        alpha = np.asarray(small.numpy(), dtype=np.float32).reshape(rgb.shape[:2])
    photo = np.ascontiguousarray(rgb.transpose(2, 0, 1), dtype=np.float32)
    both = _to_8_bits(_fuse(photo, np.ascontiguousarray(alpha)))
    smooth = vips.from_array(both.transpose(1, 2, 0))
    return vips.resize_exactly(smooth, width=smooth.width * factor, height=smooth.height * factor, kernel="linear")


def _fuse(photo: Planes, alpha: Plane) -> Planes:
    """Blurred F and B of `photo` (3 planes), stacked (6 planes), from the coarsest level to the finest."""
    levels = [(photo, alpha)]
    while len(levels) < _LEVELS and min(levels[-1][1].shape) > 2 * _RADIUS:
        levels.append((_halve(levels[-1][0]), _halve(levels[-1][1])))
    both = np.concatenate((levels[-1][0], levels[-1][0]))
    while levels:
        photo, alpha = levels.pop()
        both = _blur(_double(both, alpha.shape), alpha)
        if levels:
            fg, bg = both[:3], both[3:]
            both[:3] = np.clip(fg + alpha * (photo - alpha * fg - (_ONE - alpha) * bg), 0, 255)
    return both


def _halve(planes: Planes) -> Planes:
    """Means of 2 x 2 pixels over the last two axes; an odd last row or column counts twice."""
    height, width = planes.shape[-2:]
    around = ((0, 0),) * (planes.ndim - 2)
    even = np.pad(planes, (*around, (0, height % 2), (0, width % 2)), mode="edge")
    quarter = np.float32(0.25)
    left, right = even[..., ::2], even[..., 1::2]
    return (left[..., ::2, :] + left[..., 1::2, :] + right[..., ::2, :] + right[..., 1::2, :]) * quarter


def _double(planes: Planes, shape: tuple[int, ...]) -> Planes:
    """Each pixel four times, cut to `shape`; the blur that follows smooths the steps."""
    if planes.shape[1:] == shape:
        return planes
    doubled = np.empty((planes.shape[0], *shape), dtype=np.float32)
    for top in (0, 1):
        for left in (0, 1):
            part = doubled[:, top::2, left::2]
            part[...] = planes[:, : part.shape[1], : part.shape[2]]
    return doubled


def _blur(both: Planes, alpha: Plane) -> Planes:
    """F (3 planes) blurred with the weights alpha, B (3 planes) with 1 - alpha, over 7 x 7 windows."""
    height, width = alpha.shape
    blurred = np.empty_like(both)
    columns = _window_sizes(width)
    rows = _window_sizes(height)[:, None]
    for top in range(0, height, _BLUR_ROWS):
        bottom = min(top + _BLUR_ROWS, height)
        halo = slice(max(0, top - _RADIUS), min(height, bottom + _RADIUS))
        margin = (halo.start - top + _RADIUS, bottom + _RADIUS - halo.stop)
        a = alpha[halo]
        weight = _box_sums(a, margin)
        rest = rows[top:bottom] * columns - weight + _EPSILON
        weight += _EPSILON
        for plane in range(6):
            source = both[plane, halo]
            sums = _box_sums(source * a if plane < 3 else source - source * a, margin)
            np.divide(sums, weight if plane < 3 else rest, out=blurred[plane, top:bottom])
    return blurred


def _box_sums(plane: Plane, margin: tuple[int, int]) -> Plane:
    """Sums over 7 x 7 windows of a strip with 3 rows above and below; `margin` of them are missing and count as 0."""
    present, width = plane.shape
    padded: Plane = np.zeros((present + sum(margin), width + 2 * _RADIUS), dtype=np.float32)
    padded[margin[0] : margin[0] + present, _RADIUS:-_RADIUS] = plane
    return _sums_of_seven(_sums_of_seven(padded).T).T


def _sums_of_seven(plane: Plane) -> Plane:
    """Sums of seven neighbours along the first axis in four additions; the axis gets shorter by six."""
    length = plane.shape[0] - 6
    two: Plane = plane[:-1] + plane[1:]
    sums: Plane = two[:length] + two[2 : 2 + length]
    sums += two[4 : 4 + length]
    sums += plane[6:]
    return sums


def _window_sizes(length: int) -> NDArray[np.float32]:
    """How many of `length` pixels in a row each window of 7 covers."""
    at = np.arange(length)
    covered = np.minimum(at + _RADIUS, length - 1) - np.maximum(at - _RADIUS, 0) + 1
    return covered.astype(np.float32)
