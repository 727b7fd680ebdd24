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
    """What a tier does. `colours`: where passes disagree over an area, the picture's colours decide. `calibration` of
    the confidence: fitted to this tier of the default model (`bench/confidence.py`).
    """

    colours: bool
    edges: Edges
    calibration: Calibration


TIERS: Mapping[Tier, TierRule] = MappingProxyType(
    {
        Tier.FAST: TierRule(
            colours=False,
            edges=Edges.ENLARGED,
            calibration=Calibration(offset=-4.022, decidedness=(2.496, 0.745), agreement=(0, 1.203)),
        ),
        Tier.STANDARD: TierRule(
            colours=True,
            edges=Edges.FILTERED,
            calibration=Calibration(offset=-2.800, decidedness=(0, 0.541), agreement=(0, 1.018)),
        ),
        Tier.BEST: TierRule(
            colours=True,
            edges=Edges.SOLVED,
            calibration=Calibration(offset=-2.800, decidedness=(0, 0.541), agreement=(0, 1.018)),
        ),
    }
)
