"""What a matte shows of how good it is, measured on the engine's mattes of pictures with true masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.fit import Floats
from calibration.scenes import Alpha, Pixels
from pellucid.cutout.confidence import decidedness
from pellucid.cutout.segment import CoarseMatte
from pellucid.engine import Engine
from pellucid.evaluate.measures import iou
from pellucid.image.planes import resampled_levels

GOOD_IOU = 0.9

FEATURES: Mapping[str, Callable[[CoarseMatte], float]] = {
    "decidedness": lambda coarse: decidedness(coarse.alpha_hw),
    "agreement": lambda coarse: 1.0 if coarse.agreement is None else coarse.agreement,
}
"""By name: in [0, 1], more of it is better. Each is fitted alone; several also together."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One matte. `of`: the set it counts to; `picture`: the number of the photograph that it is made of; `said`: the
    confidence that it came with; `evidence`: the features, in their order.
    """

    of: str
    picture: int
    said: float
    empty: bool
    good: bool
    evidence: tuple[float, ...]


def judge(
    engine: Engine, photo: Pixels, truth: Alpha, valid: npt.NDArray[np.bool_] | None = None, *, of: str, picture: int
) -> Judged:
    coarse = engine.segment(photo)
    matte = resampled_levels(coarse.alpha_hw, width=photo.shape[1], height=photo.shape[0])
    everywhere = np.ones(truth.shape, np.bool_)
    return Judged(
        of=of,
        picture=picture,
        said=coarse.confidence,
        empty=coarse.empty,
        good=iou(matte >= 128, truth >= 0.5, everywhere if valid is None else valid) >= GOOD_IOU,
        evidence=tuple(measure(coarse) for measure in FEATURES.values()),
    )


def evidence_of(judged: Sequence[Judged]) -> Floats:
    """Mattes x features."""
    return np.array([each.evidence for each in judged], np.float64)


def goodness_of(judged: Sequence[Judged]) -> Floats:
    """1 for each good matte, else 0."""
    return np.array([each.good for each in judged], np.float64)
