"""The colour guided filter: alpha as a linear function of the colour, alpha = slope . rgb + offset, in small windows.

K. He, J. Sun, X. Tang, "Guided Image Filtering", PAMI 35(6), 2013; the statistics are made on a reduced picture and the
coefficients applied at full resolution: K. He, J. Sun, "Fast Guided Filter", 2015. Pure.
"""

from __future__ import annotations

import numpy as np

from pellucid.cutout.windows import window_means
from pellucid.image.strips import for_each_strip
from pellucid.inference.runtime import FloatArray

_EPSILON = np.float32(1e-3)
"""Regularises the windows' colour covariance, colours in [0, 1]: contrast below about 3 % is no contour."""

_ROWS = 64
"""Rows fitted at a time: 13 planes of a strip stay in the cache."""


def fit(rgb: FloatArray, alpha: FloatArray, *, radius: int) -> FloatArray:
    """Ridge regression of `alpha` (float32, h x w, [0, 1]) on `rgb` (float32, 3 x h x w, [0, 1]) in every window of
    2 `radius` + 1 pixels, then the mean over the windows that hold each pixel. Returns 4 x h x w: slope (3), offset.
    """
    height = alpha.shape[0]
    raw = np.empty((4, *alpha.shape), np.float32)

    def solve_rows(top: int) -> None:
        bottom = min(height, top + _ROWS)
        around = slice(max(0, top - radius), min(height, bottom + radius))
        inside = slice(top - around.start, bottom - around.start)
        raw[:, top:bottom] = _solve(window_means(_products(rgb[:, around], alpha[around]), radius)[:, inside])

    for_each_strip(solve_rows, range(0, height, _ROWS))
    return window_means(raw, radius)


def explained(rgb: FloatArray, alpha: FloatArray, *, radius: int) -> FloatArray:
    """The share of the variance of `alpha` in the window about each pixel that the regression explains: float32, h x w,
    [0, 1]; 0 where alpha hardly varies. Arguments as for `fit`.
    """
    means = window_means(_products(rgb, alpha), radius)
    by_colour = means[6:9] - means[9:12] * means[12]
    variance = window_means((alpha * alpha)[None], radius)[0] - means[12] ** 2
    slope = _solve(means)[:3]
    return np.clip((slope * by_colour).sum(axis=0) / np.maximum(variance, _EPSILON), 0, 1)


def _products(rgb: FloatArray, alpha: FloatArray) -> FloatArray:
    red, green, blue = rgb
    products = np.empty((13, *alpha.shape), np.float32)
    for plane, (one, other) in enumerate(
        ((red, red), (red, green), (red, blue), (green, green), (green, blue), (blue, blue))
    ):
        np.multiply(one, other, out=products[plane])
    np.multiply(rgb, alpha, out=products[6:9])
    products[9:12] = rgb
    products[12] = alpha
    return products


def _solve(means: FloatArray) -> FloatArray:
    mean_rgb, mean_alpha = means[9:12], means[12]
    mean_red, mean_green, mean_blue = mean_rgb
    # Rounding can make a variance slightly negative; epsilon alone would not hold the inverse then.
    rr = np.maximum(means[0] - mean_red * mean_red, 0) + _EPSILON
    rg = means[1] - mean_red * mean_green
    rb = means[2] - mean_red * mean_blue
    gg = np.maximum(means[3] - mean_green * mean_green, 0) + _EPSILON
    gb = means[4] - mean_green * mean_blue
    bb = np.maximum(means[5] - mean_blue * mean_blue, 0) + _EPSILON
    by_red, by_green, by_blue = means[6:9] - mean_rgb * mean_alpha
    # The inverse of the symmetric 3 x 3 matrix by cofactors: a general solver takes ten times as long.
    c_rr, c_rg, c_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    solved = np.empty((4, *mean_alpha.shape), np.float32)
    solved[0] = c_rr * by_red + c_rg * by_green + c_rb * by_blue
    solved[1] = c_rg * by_red + c_gg * by_green + c_gb * by_blue
    solved[2] = c_rb * by_red + c_gb * by_green + c_bb * by_blue
    # The determinant is at least epsilon cubed in exact arithmetic.
    solved[:3] /= np.maximum(rr * c_rr + rg * c_rg + rb * c_rb, _EPSILON**3)
    solved[3] = mean_alpha - (solved[:3] * mean_rgb).sum(0)
    return solved
