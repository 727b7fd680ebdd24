"""From a picture to a coarse alpha: the passes of a tier, weighed against each other. Pure but for the session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pellucid.cutout.confidence import confidence, decidedness, nothing_there
from pellucid.cutout.runtime import FloatArray, Session
from pellucid.cutout.specks import remove_specks
from pellucid.cutout.tiers import Pass, TierRule
from pellucid.cutout.windows import widened, window_means
from pellucid.image import vips
from pellucid.models.cards import ModelCard

_WEIGHT_POWER = 6
"""Passes are averaged with decidedness ** 6: 0.97 against 0.85 is 2.2 to 1. Against the plain mean of 160, 192, 224,
256 and 320 px: IoU 0.9645 to 0.9708, boundary IoU 0.8196 to 0.8527, MAE 0.0290 to 0.0227 (26 cats and dogs); powers
2 and 12 give IoU 0.9704 and 0.9665."""

_AREA_SHARE = 0.02
_AGREED = 0.15
_DISPUTED = 0.3
"""Passes disagree over an area where their standard deviation, averaged over a square of 2 % of the diagonal, is above
0.15, wholly above 0.3."""

Scaled = Callable[[int, int], npt.NDArray[np.uint8]]
"""The picture at (width, height): uint8, height x width x 3, sRGB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoarseMatte:
    """`alpha_hw`: float32 in [0, 1] at the size of the largest pass. `confidence` in [0, 1]: the probability that
    its IoU with the truth is at least 0.9. `empty`: nothing recognisable as a foreground.
    """

    alpha_hw: FloatArray
    confidence: float
    empty: bool


def prepare(rgb_hwc: npt.NDArray[np.uint8], card: ModelCard) -> FloatArray:
    """Normalised input, 1 x 3 x H x W, from uint8 RGB at the model's size."""
    scaled = rgb_hwc.astype(np.float32) * np.float32(1 / 255)
    scaled = (scaled - np.asarray(card.mean, np.float32)) / np.asarray(card.std, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis])


def segment(scaled: Scaled, *, session: Session, card: ModelCard, rule: TierRule) -> CoarseMatte:
    """Run the passes of `rule` on one picture.

    The output is clipped, not stretched: an empty matte stays empty. Stretching it to full contrast, as is common,
    turns faint noise into a subject.
    """
    alphas = [_look(rule.first, scaled, session=session, card=card)]
    first = decidedness(alphas[0])
    again = rule.further(card, decided=first, share=float(alphas[0].mean()))
    alphas += [_look(each, scaled, session=session, card=card) for each in again]
    alpha = remove_specks(fuse(alphas))
    return CoarseMatte(alpha_hw=alpha, confidence=confidence(alpha), empty=nothing_there(alpha))


def fuse(alphas: list[FloatArray]) -> FloatArray:
    """The mean of square alphas of any size at the size of the largest, weighted by decidedness."""
    if len(alphas) == 1:
        return alphas[0]
    height, width = max((alpha.shape for alpha in alphas), key=lambda shape: shape[0] * shape[1])
    weights = np.array([decidedness(alpha) ** _WEIGHT_POWER for alpha in alphas], np.float32)
    weights = weights / weights.sum() if weights.sum() > 0 else np.full_like(weights, 1 / len(alphas))
    planes = np.stack([_enlarged(alpha, width=width, height=height) for alpha in alphas])
    fused: FloatArray = np.clip(np.tensordot(weights, planes, axes=1), 0, 1).astype(np.float32)
    variance: FloatArray = np.tensordot(weights, (planes - fused) ** 2, axes=1).astype(np.float32)
    return _outvoted(fused, variance)


def _outvoted(fused: FloatArray, variance: FloatArray) -> FloatArray:
    """`fused` with twice the contrast about one half where the passes disagree over an area.

    A mean of passes shows what one of five took for the subject at a fifth of its strength: a ghost. Where they agree,
    and along edges, which they merely draw a little apart, nothing changes. MAE on 26 cats and dogs, best tier: 0.0227
    to 0.0149, standard 0.0186 to 0.0155; gradient error 0.0159 to 0.0168 and 0.0169 to 0.0170; IoU as it was.
    """
    radius = max(1, round(_AREA_SHARE * float(np.hypot(*fused.shape)) / 2))
    spread = window_means(np.sqrt(variance, dtype=np.float32)[None], radius)[0]
    disagreement = widened(np.clip((spread - _AGREED) / (_DISPUTED - _AGREED), 0, 1).astype(np.float32), radius)
    firmer: FloatArray = np.clip(2 * fused - np.float32(0.5), 0, 1)
    return (fused + (firmer - fused) * disagreement).astype(np.float32)


def _look(each: Pass, scaled: Scaled, *, session: Session, card: ModelCard) -> FloatArray:
    rgb = scaled(*each.size(card))
    output = session.run(prepare(rgb[:, ::-1] if each.mirrored else rgb, card))
    alpha = np.clip(np.nan_to_num(output[0, 0], nan=0.0), 0.0, 1.0)
    return np.ascontiguousarray(alpha[:, ::-1]) if each.mirrored else alpha


def _enlarged(alpha: FloatArray, *, width: int, height: int) -> FloatArray:
    if alpha.shape == (height, width):
        return alpha
    image = vips.enlarge_in_place(vips.from_float_array(alpha), width=width, height=height)
    return vips.to_float_array(image)
