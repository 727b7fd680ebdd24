"""Means and maxima over square windows. Pure."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pellucid.inference.runtime import FloatArray


def window_means(planes: FloatArray, radius: int) -> FloatArray:
    """Means over windows of 2 `radius` + 1, cut off at the picture's edge."""
    return _means_along(_means_along(planes, radius, axis=2), radius, axis=1)


def _means_along(planes: FloatArray, radius: int, *, axis: int) -> FloatArray:
    """Sums of 1, 2, 4, ... neighbours are doubled and put together: 4 additions for a window of 9. Exact enough in
    single precision, which differences of running sums are not.
    """
    length: int = planes.shape[axis]
    window = 2 * radius + 1
    powers = np.pad(planes, [(radius, radius) if each == axis else (0, 0) for each in range(3)])
    sums = np.zeros_like(planes)
    size = start = 0
    for bit in range(window.bit_length()):
        size = 1 << bit
        if window & size:
            sums += _part(powers, axis, start, length)
            start += size
        if window >> (bit + 1):
            powers = _part(powers, axis, 0, powers.shape[axis] - size) + _part(powers, axis, size, None)
    at = np.arange(length)
    counts = np.minimum(at + radius, length - 1) - np.maximum(at - radius, 0) + 1
    sums *= (np.float32(1) / counts.astype(np.float32)).reshape((1, -1, 1) if axis == 1 else (1, 1, -1))
    return sums


def _part(planes: FloatArray, axis: int, start: int, length: int | None) -> FloatArray:
    part = slice(start, None if length is None else start + length)
    return planes[:, part] if axis == 1 else planes[:, :, part]


PlaneT = TypeVar("PlaneT", bound=npt.NDArray[np.generic])


def widened(plane: PlaneT, radius: int, *, merge: np.ufunc = np.maximum) -> PlaneT:
    """The largest value within `radius` pixels across and down (h x w); with `np.bitwise_or` all bits."""
    for axis in (0, 1):
        merged = plane.copy()
        for shift in range(1, min(radius, plane.shape[axis] - 1) + 1):
            ahead, behind = (slice(shift, None), slice(None, -shift))
            here, there = (ahead, behind) if axis == 0 else ((slice(None), ahead), (slice(None), behind))
            merge(merged[here], plane[there], out=merged[here])
            merge(merged[there], plane[here], out=merged[there])
        plane = merged
    return plane
