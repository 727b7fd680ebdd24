"""Specks and pinholes: the rule for what is too small to be meant. Pure.

A speck is a region with alpha of at least 0.1 that covers less than 0.1 % of the picture (66 of 256 x 256 pixels) and
less than 2 % of the largest region: it goes. A pinhole is a region with alpha below 0.9, enclosed by the subject, of
less than 0.05 % of the picture (33 pixels), in which alpha nowhere falls below 0.25: it is filled. So a ring or a
handle, whose inside the model takes for background, stays open however small it is, and a flock of small birds stays a
flock.
"""

from __future__ import annotations

import numpy as np

from pellucid.cutout.regions import Numbers, Regions, find_regions
from pellucid.inference.runtime import FloatArray

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
    regions = find_regions(there)
    subjects = regions.within(there)
    if subjects.size > 1:
        limit = min(_SPECK_SHARE * alpha.size, _SPECK_OF_LARGEST * int(regions.sizes[subjects].max()))
        alpha = _painted(alpha, regions, subjects[regions.sizes[subjects] < limit], 0)
    doubtful = alpha < _SOLID
    regions = find_regions(doubtful)
    holes = regions.enclosed_within(doubtful)
    holes = holes[regions.sizes[holes] < _PINHOLE_SHARE * alpha.size]
    shallow = [hole for hole in holes if float(alpha[regions.labels_hw == hole].min()) >= _OPEN]
    return _painted(alpha, regions, np.array(shallow, np.intp), 1)


def _painted(alpha: FloatArray, regions: Regions, chosen: Numbers, value: float) -> FloatArray:
    return alpha if chosen.size == 0 else np.where(regions.cover(chosen), np.float32(value), alpha)
