"""Measures of one matte against its truth. Pure.

All take `alpha` and `truth` as float32 H x W in [0, 1] and `valid` as bool H x W: pixels outside it are left out. Where
a measure needs whole pictures (windows, filters), the left-out pixels take the truth's value in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as _untyped

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

# Its annotations are partial; what is used of it is wrapped below.
_ndimage: Any = _untyped

_HALF = 0.5
_GRADIENT_SIGMA = 1.4
"""Of the Gaussian derivative in the gradient error (Rhemann et al., CVPR 2009)."""

_BOUNDARY_SHARE = 0.02
"""The boundary's width as a share of the diagonal (Cheng et al., Boundary IoU, CVPR 2021)."""

_VEIL_LEVELS = (3, 100)
"""Of 255. Below, the eye sees nothing; above, it sees a wrong subject more than a veil, which IoU counts."""

_VEIL_BAND_SHARE = 0.01
"""Of the diagonal: that far from the true edge a soft matte is a soft edge, no veil."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Higher is better for iou, boundary_iou, s_measure, max_f (all in [0, 1]); lower for the others. `mae` and `mse`
    are means over the valid pixels, `veil` is a share of them; `sad` and `gradient` are sums divided by 1000 as in the
    matting literature.
    """

    iou: float
    boundary_iou: float
    mae: float
    mse: float
    sad: float
    gradient: float
    veil: float
    s_measure: float
    max_f: float


def measure(alpha: FloatArray, truth: FloatArray, valid: BoolArray) -> Measures:
    """All measures of one picture."""
    alpha = np.where(valid, alpha, truth).astype(np.float32)
    difference = np.abs(alpha - truth)[valid].astype(np.float64)
    s_measure, max_f = saliency(alpha, truth)
    return Measures(
        iou=iou(alpha >= _HALF, truth >= _HALF, valid),
        boundary_iou=boundary_iou(alpha >= _HALF, truth >= _HALF, valid),
        mae=float(difference.mean()),
        mse=float((difference**2).mean()),
        sad=float(difference.sum() / 1000),
        gradient=gradient_error(alpha, truth, valid),
        veil=veil(alpha, truth, valid),
        s_measure=s_measure,
        max_f=max_f,
    )


def iou(mask: BoolArray, truth: BoolArray, valid: BoolArray) -> float:
    """Intersection over union of two masks; 1 when both are empty."""
    union = int((valid & (mask | truth)).sum())
    return float((valid & mask & truth).sum() / union) if union else 1.0


def boundary_iou(mask: BoolArray, truth: BoolArray, valid: BoolArray) -> float:
    """IoU of the parts of both masks that lie within 2 % of the diagonal of their own contours."""
    width = max(1.0, _BOUNDARY_SHARE * float(np.hypot(*mask.shape)))
    return iou(_rim(mask, width), _rim(truth, width), valid)


def gradient_error(alpha: FloatArray, truth: FloatArray, valid: BoolArray) -> float:
    """Sum of squared differences of the gradient magnitudes (Gaussian derivatives, sigma 1.4), divided by 1000."""
    difference = _gradient(alpha) - _gradient(truth)
    return float((difference[valid] ** 2).sum() / 1000)


def veil(alpha: FloatArray, truth: FloatArray, valid: BoolArray) -> float:
    """Share of the valid pixels that have an alpha of 3 to 100 of 255 without cause: they lie further than 1 % of the
    diagonal (at least a pixel) from where the truth crosses one half, and the truth itself is no such alpha there:
    within 2 levels of 0 or 1.
    """
    low, high = _VEIL_LEVELS
    levels, true_levels = np.rint(alpha * 255), np.rint(truth * 255)
    faint = valid & (levels >= low) & (levels <= high)
    faint &= (true_levels < low) | (true_levels > 255 - low)
    mask = truth >= _HALF
    if faint.any() and mask.any() and not mask.all():
        width = max(1.0, _VEIL_BAND_SHARE * float(np.hypot(*mask.shape)))
        faint &= _to_other_side(mask) > width
    return float(faint.sum() / max(1, int(valid.sum())))


def saliency(alpha: FloatArray, truth: FloatArray) -> tuple[float, float]:
    """S-measure (Fan et al., ICCV 2017) and the largest F-measure over all thresholds, beta squared 0.3."""
    from py_sod_metrics import FmeasureHandler, FmeasureV2, Smeasure  # noqa: PLC0415 - takes a second

    structure: Any = Smeasure()
    threshold: Any = FmeasureV2({"fm": FmeasureHandler(with_dynamic=True, with_adaptive=False, beta=0.3)})
    for metric in (structure, threshold):
        # Its own min-max stretch off: a faint matte must not be scored as a strong one.
        metric.step(np.clip(alpha.astype(np.float64), 0, 1), truth >= _HALF, normalize=False)
    return float(structure.get_results()["sm"]), float(threshold.get_results()["fm"]["dynamic"].max())


def _rim(mask: BoolArray, width: float) -> BoolArray:
    inside: npt.NDArray[np.float64] = _ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return mask & (inside <= width)


def _to_other_side(mask: BoolArray) -> npt.NDArray[np.float64]:
    """The distance of each pixel, in pixels, to the nearest one that `mask` has on the other side of its contour."""
    inside, outside = (_ndimage.distance_transform_edt(side) for side in (mask, ~mask))
    return np.where(mask, inside, outside)


def _gradient(values: FloatArray) -> npt.NDArray[np.float64]:
    across: npt.NDArray[np.float64] = _ndimage.gaussian_filter(values.astype(np.float64), _GRADIENT_SIGMA, order=(0, 1))
    down: npt.NDArray[np.float64] = _ndimage.gaussian_filter(values.astype(np.float64), _GRADIENT_SIGMA, order=(1, 0))
    return np.hypot(across, down)
