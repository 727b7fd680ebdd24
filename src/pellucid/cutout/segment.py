"""From pixels at the model's size to a coarse alpha. Pure but for the session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.cutout.runtime import FloatArray, Session
from pellucid.models.cards import ModelCard

_SURE = 0.5
"""Alpha from which a pixel counts as subject."""

_EMPTY_SHARE = 0.0005
"""A subject below this share of the picture (51 of 320 x 320 pixels) is taken for noise: nothing recognisable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoarseMatte:
    """`alpha_hw`: float32 in [0, 1] at the model's size. `confidence` in [0, 1]: how far the model was from guessing.
    `empty`: nothing recognisable as a foreground.
    """

    alpha_hw: FloatArray
    confidence: float
    empty: bool


def prepare(rgb_hwc: npt.NDArray[np.uint8], card: ModelCard) -> FloatArray:
    """Normalised input, 1 x 3 x H x W, from uint8 RGB at the model's size."""
    scaled = rgb_hwc.astype(np.float32) * np.float32(1 / 255)
    scaled = (scaled - np.asarray(card.mean, np.float32)) / np.asarray(card.std, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis])


def segment(rgb_hwc: npt.NDArray[np.uint8], *, session: Session, card: ModelCard) -> CoarseMatte:
    """Run the model on one picture at its input size (uint8, H x W x 3, sRGB).

    The output is clipped, not stretched: an empty matte stays empty. Stretching it to full contrast, as is common,
    turns faint noise into a subject.
    """
    output = session.run(prepare(rgb_hwc, card))
    alpha = np.clip(np.nan_to_num(output[0, 0], nan=0.0), 0.0, 1.0)
    return CoarseMatte(alpha_hw=alpha, confidence=confidence(alpha), empty=bool((alpha >= _SURE).mean() < _EMPTY_SHARE))


def confidence(alpha_hw: FloatArray) -> float:
    """How decided the matte is where it sees a subject at all: 1 = every such pixel is 0 or 1, 0 = all are halves.

    The mean of |2a - 1| weighted by how much each pixel says 'subject' (a, at least 0.02 so that faint doubt counts).
    Uncalibrated: it orders pictures, it is no probability.
    """
    weight = np.where(alpha_hw > 0.02, np.maximum(alpha_hw, 0.02), 0.0)
    total = float(weight.sum())
    return float((np.abs(2 * alpha_hw - 1) * weight).sum() / total) if total > 0 else 0.0
