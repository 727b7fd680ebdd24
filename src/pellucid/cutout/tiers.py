"""The tiers: what is done with the passes of a model (`models.cards`), and how edges come to the picture's own size."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pellucid.cutout.confidence import Calibration
from pellucid.spec import Tier


class Edges(enum.Enum):
    """How a coarse alpha becomes a matte at the picture's own size."""

    ENLARGED = enum.auto()
    """By the cubic kernel alone."""

    FILTERED = enum.auto()
    """Along the picture's contours (`cutout.refine`)."""

    SOLVED = enum.auto()
    """From the matting equations (`cutout.matting`), then as `FILTERED`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRule:
    """What a tier does. `contrast`: where passes disagree over an area, the picture's colours decide, with it
    (`cutout.fuse`); None: they do not. `calibration` of the confidence: fitted to this tier of the default model
    (`bench/confidence.py`).
    """

    contrast: float | None
    edges: Edges
    calibration: Calibration


_TWO_PASSES = Calibration(offset=-4.022, decidedness=(2.496, 0.745), agreement=(0, 1.203))
_MANY_PASSES = Calibration(offset=-2.800, decidedness=(0, 0.541), agreement=(0, 1.018))
"""Fitted on standard's mattes when colours weighed twice as much. A new fit puts more on decidedness: it is better
calibrated by 0.01, has a Brier score worse by 0.002, and says 0.87 of a firm matte on which passes agree by half."""

# Contrasts: with 3 standard has half as much veil again, and with 8 a gradient error larger by a hundredth; best solves
# its edges from the picture, and needs less (docs/adr/0017).
TIERS: Mapping[Tier, TierRule] = MappingProxyType(
    {
        Tier.FAST: TierRule(
            contrast=None,
            edges=Edges.ENLARGED,
            calibration=_TWO_PASSES,
        ),
        Tier.STANDARD: TierRule(
            contrast=5,
            edges=Edges.FILTERED,
            calibration=_MANY_PASSES,
        ),
        Tier.BEST: TierRule(
            contrast=3,
            edges=Edges.SOLVED,
            calibration=_MANY_PASSES,
        ),
    }
)
