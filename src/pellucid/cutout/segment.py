"""From a picture to a coarse alpha: the passes of a tier, put together (`cutout.fuse`). Pure but for the sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pellucid.cutout.confidence import confidence, nothing_there
from pellucid.cutout.fuse import fuse
from pellucid.cutout.specks import remove_specks
from pellucid.cutout.tiers import TIERS
from pellucid.cutout.veils import lift_veils
from pellucid.inference.runtime import FloatArray, Session
from pellucid.models.cards import Flip, ModelCard, Pass
from pellucid.spec import Tier

_Sample = TypeVar("_Sample", np.uint8, np.float32)

Scaled = Callable[[int, int], npt.NDArray[np.uint8]]
"""The picture at (width, height): uint8, height x width x 3, sRGB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that can be run, and its card."""

    card: ModelCard
    session: Session


@dataclass(frozen=True, slots=True, kw_only=True)
class CoarseMatte:
    """`alpha_hw`: float32 in [0, 1] at the size of the largest pass. `confidence` in [0, 1]: the probability that
    its IoU with the truth is at least 0.9. `empty`: nothing recognisable as a foreground. `agreement` of the passes, in
    [0, 1] (`cutout.fuse`); None for one pass.
    """

    alpha_hw: FloatArray
    confidence: float
    empty: bool
    agreement: float | None = None


def prepare(rgb_hwc: npt.NDArray[np.uint8], card: ModelCard) -> FloatArray:
    """Normalised input, 1 x 3 x H x W, from uint8 RGB at the model's size."""
    scaled = rgb_hwc.astype(np.float32) * np.float32(1 / 255)
    scaled = (scaled - np.asarray(card.mean, np.float32)) / np.asarray(card.std, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis])


def segment(scaled: Scaled, *, models: Mapping[str, Model], card: ModelCard, tier: Tier) -> CoarseMatte:
    """Run the passes that `card` has for `tier` on one picture. `models`: by name, the card's and those it takes along.

    The output is clipped, not stretched: an empty matte stays empty. Stretching it to full contrast, as is common,
    turns faint noise into a subject.
    """
    # Several passes see the same size.
    scaled = cache(scaled)
    alphas = [_run_pass(each, scaled, models[each.model or card.name]) for each in card.passes_of(tier)]
    height, width = max((alpha.shape for alpha in alphas), key=lambda shape: shape[0] * shape[1])
    rule = TIERS[tier]
    fused = fuse(alphas, scaled(width, height), colours=rule.colours)
    # How far it can be trusted shows before doubt is lifted.
    alpha = remove_specks(fused.alpha_hw)
    return CoarseMatte(
        alpha_hw=lift_veils(alpha),
        confidence=confidence(alpha, fused.agreement, rule.calibration),
        empty=nothing_there(alpha),
        agreement=fused.agreement,
    )


def _run_pass(each: Pass, scaled: Scaled, model: Model) -> FloatArray:
    rgb = scaled(*model.card.input_size(each.side))
    output = model.session.run(prepare(_flipped(rgb, each.flip), model.card))
    alpha = np.clip(np.nan_to_num(output[0, 0], nan=0.0), 0.0, 1.0)
    return np.ascontiguousarray(_flipped(alpha, each.flip))


def _flipped(plane: npt.NDArray[_Sample], flip: Flip) -> npt.NDArray[_Sample]:
    match flip:
        case Flip.NONE:
            return plane
        case Flip.HORIZONTAL:
            return plane[:, ::-1]
        case Flip.VERTICAL:
            return plane[::-1]
