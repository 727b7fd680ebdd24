"""From evidence to probabilities: two kinds of fit, what they say of pictures they have not seen, and how far that is
true. Pure.

Evidence is float64, n x k: a row for each matte, a column for each feature, in [0, 1], more of which is better.
`good` is float64, n, 0 or 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.optimize import lsq_linear, minimize

Floats = npt.NDArray[np.float64]

FOLDS = 10

BINS = 10
"""Of equal width, for the calibration error."""

_PIECES = 8
_PENALTY = 1.0
"""On the squared weights of standardised terms: as much as one matte that is wholly misjudged."""

_NEAR = 0.01
"""Keeps the logarithms of 0 finite."""


class Fitted(Protocol):
    """What says a probability."""

    def __call__(self, evidence: Floats, /) -> Floats:
        """The probability, in [0, 1], that each matte is good."""
        ...

    def constants(self, names: Sequence[str], /) -> str:
        """What a program needs to say the same, features by name."""
        ...


Fit = Callable[[Floats, Floats], Fitted]


@dataclass(frozen=True)
class Curve:
    """A rising broken line over one feature."""

    at: Floats
    value: Floats

    def __call__(self, evidence: Floats, /) -> Floats:
        return np.interp(evidence[:, 0], self.at, self.value)

    def constants(self, names: Sequence[str], /) -> str:
        """Both rows of breakpoints."""
        return f"{names[0]}: {_tuple(self.at)}\nconfidence: {_tuple(self.value)}"


def fit_curve(evidence: Floats, good: Floats) -> Curve:
    """The broken line with the least Brier score that never falls, with breakpoints at quantiles.

    Two mattes are invented, a bad one at 0 and half a one at 1: nothing is certain of what few have shown.
    """
    x = np.clip(np.concatenate((evidence[:, 0], [0.0, 1.0])), 0, 1)
    y = np.concatenate((good, [0.0, 0.5]))
    inner = np.quantile(evidence[:, 0], np.arange(1, _PIECES) / _PIECES)
    at = np.unique(np.round(np.clip(np.concatenate(([0.0], inner, [1.0])), 0, 1), 3))
    # Value at the first breakpoint, then how much it rises to each next one: none of them negative.
    rises = [np.clip((x - low) / (high - low), 0, 1) for low, high in itertools.pairwise(at)]
    steps: Floats = lsq_linear(np.stack([np.ones_like(x), *rises], axis=1), y, bounds=(0, 1)).x
    return Curve(at=at, value=np.clip(np.cumsum(steps), 0, 1))


@dataclass(frozen=True)
class Beta:
    """1 / (1 + exp(-(offset + rise . ln(f + 0.01) - near . ln(1 - f + 0.01)))): logistic regression on the logarithms
    of each feature and of what it lacks to 1.
    """

    offset: float
    rise: Floats
    near: Floats

    def __call__(self, evidence: Floats, /) -> Floats:
        return 1 / (1 + np.exp(-(self.offset + _logarithms(evidence) @ np.concatenate((self.rise, self.near)))))

    def constants(self, names: Sequence[str], /) -> str:
        """The offset, and both weights of each feature."""
        weights = [
            f"{name}: {rise:.3f}, {near:.3f}" for name, rise, near in zip(names, self.rise, self.near, strict=True)
        ]
        return "\n".join([f"offset: {self.offset:.3f}", *weights])


def fit_beta(evidence: Floats, good: Floats) -> Beta:
    """Beta calibration (Kull, Silva Filho and Flach, AISTATS 2017), of several features together: by maximum
    likelihood with a penalty, no weight negative, so that it never falls.
    """
    terms = _logarithms(evidence)
    mean, spread = terms.mean(axis=0), np.maximum(terms.std(axis=0), 1e-9)
    scaled = np.concatenate((np.ones((len(terms), 1)), (terms - mean) / spread), axis=1)

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = scaled @ weights
        penalised = np.concatenate(([0.0], weights[1:]))
        value = np.logaddexp(0, logits).sum() - good @ logits + _PENALTY / 2 * (penalised**2).sum()
        return value, scaled.T @ (1 / (1 + np.exp(-logits)) - good) + _PENALTY * penalised

    bounds = [(None, None)] + [(0, None)] * terms.shape[1]
    found: Floats = minimize(loss, np.zeros(scaled.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = found[1:] / spread
    rise, near = np.split(weights, 2)
    return Beta(offset=float(found[0] - weights @ mean), rise=rise, near=near)


def _logarithms(evidence: Floats) -> Floats:
    known = np.clip(evidence, 0, 1)
    return np.concatenate((np.log(known + _NEAR), -np.log(1 - known + _NEAR)), axis=1)


def held_out(fit: Fit, evidence: Floats, good: Floats, pictures: npt.NDArray[np.intp]) -> Floats:
    """What a fit on nine tenths of the pictures says of the mattes of the others. `pictures`: the number of each
    matte's picture; those of one picture are never apart. Numbers next to each other fall into different tenths.
    """
    said = np.zeros(len(good))
    for fold in range(FOLDS):
        out = pictures % FOLDS == fold
        if out.any():
            said[out] = fit(evidence[~out], good[~out])(evidence[out])
    return said


def brier(said: Floats, good: Floats) -> float:
    """The mean squared difference (Brier, Monthly Weather Review 1950)."""
    return float(((said - good) ** 2).mean())


def reliability(said: Floats, good: Floats) -> list[tuple[float, float, int]]:
    """Said, found and how many, in bins of equal width that are not empty."""
    bins = np.minimum((said * BINS).astype(np.intp), BINS - 1)
    groups = [bins == number for number in range(BINS)]
    return [(float(said[each].mean()), float(good[each].mean()), int(each.sum())) for each in groups if each.any()]


def calibration_error(said: Floats, good: Floats) -> float:
    """The expected calibration error: the mean difference of said and found over bins, by how many are in them (Guo et
    al., ICML 2017).
    """
    return sum(count * abs(told - found) for told, found, count in reliability(said, good)) / len(said)


def unavoidable_error(said: Floats) -> float:
    """The calibration error that is to be expected by chance alone were everything said exactly right: with few mattes
    a bin's share of good ones is seldom its probability. Median of 200 draws.
    """
    random = np.random.default_rng(1)
    drawn = (random.random((200, len(said))) < said).astype(np.float64)
    return float(np.median([calibration_error(said, good) for good in drawn]))


def _tuple(values: Floats) -> str:
    return "(" + ", ".join(f"{value:.3g}" for value in values) + ")"
