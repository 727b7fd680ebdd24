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


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Higher is better for iou, boundary_iou, s_measure, max_f (all in [0, 1]); lower for the others. `mae` and `mse`
    are means over the valid pixels, `sad` and `gradient` sums divided by 1000 as in the matting literature.
    """

    iou: float
    boundary_iou: float
    mae: float
    mse: float
    sad: float
    gradient: float
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


def _gradient(values: FloatArray) -> npt.NDArray[np.float64]:
    across: npt.NDArray[np.float64] = _ndimage.gaussian_filter(values.astype(np.float64), _GRADIENT_SIGMA, order=(0, 1))
    down: npt.NDArray[np.float64] = _ndimage.gaussian_filter(values.astype(np.float64), _GRADIENT_SIGMA, order=(1, 0))
    return np.hypot(across, down)
