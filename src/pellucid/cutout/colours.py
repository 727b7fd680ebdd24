"""What a picture's colours say of its foreground: histograms of what is surely subject and surely background. Pure.

As in the colour models of GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004), by counting instead of mixtures of
Gaussians: no iterations, 4 ms at 160 x 160.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pellucid.cutout.windows import window_means
from pellucid.inference.runtime import FloatArray

_BINS = 16
"""Of each channel. 12 and 24 change IoU by less than 0.001."""

_ROUNDS = 2
"""Of smoothing by [1, 2, 1] / 4 along each channel: neighbouring colours vouch for each other."""

_UNSEEN = 3e-4
"""Added to both shares: a colour that neither side has says nothing, one of a thousandth on one side says 1.5."""

_SUBJECT = 0.8
_BACKGROUND = 0.1
"""Alpha from which a pixel counts as subject, growing to all at 1, and below which as background, all at 0."""

_LEAST_SHARE = 0.001
"""Each side needs this share of the picture; below it there is no evidence."""


def colour_evidence(rgb_hwc: npt.NDArray[np.uint8], alpha_hw: FloatArray) -> FloatArray | None:
    """Log-odds of foreground from the colour of each pixel, means of 3 x 3: float32, H x W. `rgb_hwc`: uint8, sRGB, of
    the same height and width as `alpha_hw` (float32, [0, 1]). None where subject or background is hardly seen.
    """
    levels = rgb_hwc.astype(np.intp) * _BINS >> 8
    colours = (levels[..., 0] * _BINS + levels[..., 1]) * _BINS + levels[..., 2]
    subject = np.clip((alpha_hw - _SUBJECT) / (1 - _SUBJECT), 0, 1)
    background = np.clip((_BACKGROUND - alpha_hw) / _BACKGROUND, 0, 1)
    if min(float(subject.mean()), float(background.mean())) < _LEAST_SHARE:
        return None
    odds = np.log((_shares(colours, subject) + _UNSEEN) / (_shares(colours, background) + _UNSEEN))
    return window_means(odds.astype(np.float32)[colours][None], 1)[0]


def _shares(colours: npt.NDArray[np.intp], weights: FloatArray) -> npt.NDArray[np.float64]:
    """The share of each colour, _BINS ** 3 of them, smoothed."""
    counts = np.bincount(colours.ravel(), weights.ravel(), _BINS**3).reshape(_BINS, _BINS, _BINS)
    for _ in range(_ROUNDS):
        for axis in range(3):
            padded = np.pad(counts, [(1, 1) if each == axis else (0, 0) for each in range(3)])
            before, here, after = (padded.take(np.arange(start, start + _BINS), axis=axis) for start in range(3))
            counts = (before + 2 * here + after) / 4
    return counts.ravel() / counts.sum()
