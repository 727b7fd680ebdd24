"""Specks and pinholes: the rule for what is too small to be meant. Pure.

A speck is a region with alpha of at least 0.1 that covers less than 0.1 % of the picture (66 of 256 x 256 pixels) and
less than 2 % of the largest region: it goes. A pinhole is a region with alpha below 0.9, enclosed by the subject, of
less than 0.05 % of the picture (33 pixels), in which alpha nowhere falls below 0.25: it is filled. So a ring or a
handle, whose inside the model takes for background, stays open however small it is, and a flock of small birds stays a
flock.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pellucid.cutout.runtime import FloatArray
from pellucid.image import vips

_THERE = 0.1
_SPECK_SHARE = 0.001
_SPECK_OF_LARGEST = 0.02
_SOLID = 0.9
_PINHOLE_SHARE = 0.0005
_OPEN = 0.25


def remove_specks(alpha_hw: FloatArray) -> FloatArray:
    """`alpha_hw` (float32, H x W, [0, 1]) without specks and pinholes; the same array where there are none."""
    alpha = alpha_hw
    there = alpha >= _THERE
    labels, sizes = _regions(there)
    subjects = np.unique(labels[there])
    if subjects.size > 1:
        limit = min(_SPECK_SHARE * alpha.size, _SPECK_OF_LARGEST * int(sizes[subjects].max()))
        alpha = _painted(alpha, labels, subjects[sizes[subjects] < limit], 0)
    doubtful = alpha < _SOLID
    labels, sizes = _regions(doubtful)
    at_edge = np.unique(np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1])))
    holes = np.setdiff1d(np.unique(labels[doubtful]), at_edge, assume_unique=True)
    holes = holes[sizes[holes] < _PINHOLE_SHARE * alpha.size]
    shallow = [hole for hole in holes if float(alpha[labels == hole].min()) >= _OPEN]
    return _painted(alpha, labels, np.array(shallow, np.intp), 1)


def _regions(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """A number for the region of each pixel, and how many pixels each region has."""
    labels = vips.label_regions(mask.astype(np.uint8))
    return labels, np.bincount(labels.ravel())


def _painted(
    alpha: FloatArray, labels: npt.NDArray[np.intp], regions: npt.NDArray[np.intp], value: float
) -> FloatArray:
    return alpha if regions.size == 0 else np.where(np.isin(labels, regions), np.float32(value), alpha)
