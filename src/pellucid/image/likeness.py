"""How much alike two images look, in points of SSIMULACRA2: 90 is no visible difference, 70 high quality, 50 medium.

What a lossy encoder did is measured as SSIMULACRA2 does it: structure that is lost, edges that were added (ringing,
blocks) and detail that is gone, at five sizes, in a colour space of the eye (XYB), as means and as peaks. The weights
are a fit of our own to SSIMULACRA2 2.1: 40 images as JPEG, WebP and AVIF, 664 files between 45 and 93 points, standard
deviation of the difference 0.8 points; the same image has 91.8, not 100. SSIM of the brightness alone would be off by
6, of all of YCbCr by 2.1. `bench/optipress.py` compares.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]


class Error(enum.IntEnum):
    """What is summed up of one plane at one size. A peak is the fourth root of the mean of fourth powers."""

    MEAN_LOSS = 0
    PEAK_LOSS = 1
    MEAN_ADDED = 2
    PEAK_ADDED = 3
    MEAN_REMOVED = 4
    PEAK_REMOVED = 5


_X, _Y, _B = 0, 1, 2
"""Red against green, brightness, blue against brightness."""

_WEIGHTS: Mapping[tuple[int, int], Mapping[Error, float]] = {
    (0, _X): {Error.PEAK_LOSS: 23.99},
    (0, _Y): {Error.PEAK_LOSS: 188.5, Error.PEAK_ADDED: 108.4},
    (1, _X): {Error.PEAK_LOSS: 17.1},
    (1, _Y): {Error.PEAK_LOSS: 188.8},
    (1, _B): {Error.PEAK_ADDED: 113.7},
    (2, _Y): {Error.MEAN_LOSS: 4414, Error.PEAK_LOSS: 51.7, Error.PEAK_ADDED: 149.7, Error.PEAK_REMOVED: 876.2},
    (3, _Y): {Error.MEAN_LOSS: 7277},
    (4, _X): {Error.PEAK_LOSS: 143.3, Error.MEAN_ADDED: 3065},
    (4, _Y): {Error.MEAN_ADDED: 4663, Error.PEAK_ADDED: 2192, Error.PEAK_REMOVED: 821.3},
    (4, _B): {
        Error.MEAN_LOSS: 436.2,
        Error.PEAK_LOSS: 316.8,
        Error.MEAN_ADDED: 3521,
        Error.PEAK_ADDED: 3827,
        Error.MEAN_REMOVED: 1499,
        Error.PEAK_REMOVED: 488.8,
    },
}
"""By the number of halvings and the plane."""

_CONSTANT = 15.44
_EXPONENT = 1 / 1.3
"""The weighted sum, raised to this, is what is missing from 100 points."""

_SIZES = 1 + max(size for size, _ in _WEIGHTS)

_LEAST_SIDE = 8
"""Of a halved picture that is still looked at."""

_BELL = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
_KERNEL = (_BELL / _BELL.sum()).astype(np.float32)

_C2 = np.float32(0.03**2)
"""Keeps the structure of flat parts from counting."""

_LINEAR = np.array(
    [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in np.arange(256) / 255], np.float32
)
"""Light by the level of sRGB (IEC 61966-2-1)."""

_CONES = np.array(
    [[0.30, 0.622, 0.078], [0.23, 0.692, 0.078], [0.243422689, 0.204767444, 0.551809867]], dtype=np.float32
)
"""What the three cones see of red, green and blue light, and `_BIAS` besides (ISO/IEC 18181-1, L.2)."""

_BIAS = np.float32(0.003793073)


_Described = list[dict[int, tuple["Plane", "Plane", "Plane"]]]
"""By size and plane: the plane, its local means and variances."""


class Original:
    """What others are compared with, looked at once. `rgb` is (height, width, 3) uint8 sRGB."""

    def __init__(self, rgb: NDArray[np.uint8]) -> None:
        self._described = _describe(rgb)

    def points(self, rgb: NDArray[np.uint8]) -> float:
        """How much like it an image of the same size looks. 0.25 megapixels take 10 to 20 ms."""
        lost = _CONSTANT
        for size, (known, planes) in enumerate(zip(self._described, _planes(rgb), strict=True)):
            for name, plane in planes.items():
                lost += _errors(known[name], plane, _WEIGHTS[size, name])
        return float(100 - lost**_EXPONENT)


def _describe(rgb: NDArray[np.uint8]) -> _Described:
    described: _Described = []
    for planes in _planes(rgb):
        of_size: dict[int, tuple[Plane, Plane, Plane]] = {}
        for name, plane in planes.items():
            means = _blurred(plane)
            of_size[name] = plane, means, _variances(plane, means)
        described.append(of_size)
    return described


def _errors(known: tuple[Plane, Plane, Plane], plane: Plane, weights: Mapping[Error, float]) -> float:
    """The weighted errors of a plane."""
    before, before_means, before_variances = known
    means = _blurred(plane)
    lost = 0.0
    if Error.MEAN_LOSS in weights or Error.PEAK_LOSS in weights:
        variances = _variances(plane, means)
        together = _blurred(before * plane) - before_means * means
        alike = (2 * together + _C2) / (before_variances + variances + _C2) * (1 - (before_means - means) ** 2)
        lost += _summed(np.maximum(0, 1 - alike), weights, Error.MEAN_LOSS, Error.PEAK_LOSS)
    if any(each in weights for each in list(Error)[2:]):
        edges = (1 + np.abs(plane - means)) / (1 + np.abs(before - before_means)) - 1
        lost += _summed(np.maximum(0, edges), weights, Error.MEAN_ADDED, Error.PEAK_ADDED)
        lost += _summed(np.maximum(0, -edges), weights, Error.MEAN_REMOVED, Error.PEAK_REMOVED)
    return lost


def _summed(errors: Plane, weights: Mapping[Error, float], mean: Error, peak: Error) -> float:
    lost = 0.0
    if mean in weights:
        lost += weights[mean] * float(errors.mean())
    if peak in weights:
        squares = errors * errors
        lost += weights[peak] * float((squares * squares).mean()) ** 0.25
    return lost


def _planes(rgb: NDArray[np.uint8]) -> list[dict[int, Plane]]:
    """The planes that count, by the number of halvings."""
    light = [_LINEAR[rgb[..., channel]] for channel in range(3)]
    planes: list[dict[int, Plane]] = []
    for size in range(_SIZES):
        if size and min(light[0].shape) < 2 * _LEAST_SIDE:
            break
        if size:
            light = [_halved(each) for each in light]
        planes.append(
            {
                name: plane
                for name, plane in _xyb(light, wants_blue=(size, _B) in _WEIGHTS).items()
                if (size, name) in _WEIGHTS
            }
        )
    return planes


def _xyb(light: list[Plane], *, wants_blue: bool) -> dict[int, Plane]:
    zero = np.cbrt(_BIAS)
    cones = [
        np.cbrt(row[0] * light[0] + row[1] * light[1] + row[2] * light[2] + _BIAS) - zero
        for row in _CONES[: 3 if wants_blue else 2]
    ]
    brightness = (cones[0] + cones[1]) / 2
    # Scaled and moved so that all are positive and differences count alike.
    planes = {_X: (cones[0] - cones[1]) * 7 + np.float32(0.42), _Y: brightness + np.float32(0.01)}
    if wants_blue:
        planes[_B] = cones[2] - brightness + np.float32(0.55)
    return cast("dict[int, Plane]", planes)


def _halved(plane: Plane) -> Plane:
    """Means of 2 x 2 pixels; an odd row or column at the end is left out."""
    height, width = plane.shape[0] // 2 * 2, plane.shape[1] // 2 * 2
    even = plane[:height:2] + plane[1:height:2]
    return np.multiply(even[:, :width:2] + even[:, 1:width:2], 0.25, dtype=np.float32)


def _variances(plane: Plane, means: Plane) -> Plane:
    squares: Plane = _blurred(np.square(plane))
    return np.subtract(squares, np.square(means), dtype=np.float32)


def _blurred(plane: Plane) -> Plane:
    """With a Gaussian of 1.5 pixels; what is beyond the edge equals it."""
    return _blurred_down(np.ascontiguousarray(_blurred_down(plane).T)).T


def _blurred_down(plane: Plane) -> Plane:
    height = plane.shape[0]
    padded = np.pad(plane, ((4, 4), (0, 0)), mode="edge")
    blurred = padded[4 : 4 + height] * _KERNEL[4]
    for offset in range(4):
        # The kernel is the same on both sides.
        blurred += (padded[offset : offset + height] + padded[8 - offset : 8 - offset + height]) * _KERNEL[offset]
    return blurred
