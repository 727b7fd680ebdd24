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
    the confidence: fitted to this tier of the default model (`bench/confidence.py`). `working_side`, in pixels: where
    the picture is cut at its own size, how large it is when the colours of edges are found (`render.foreground`).
    """

    colours: bool
    working_side: int
    edges: Edges
    calibration: Calibration


_TWO_PASSES = Calibration(offset=-4.022, decidedness=(2.496, 0.745), agreement=(0, 1.203))
_MANY_PASSES = Calibration(offset=-2.800, decidedness=(0, 0.541), agreement=(0, 1.018))
"""Fitted on mattes of four passes. New fits, to three and to six, are calibrated worse by 0.027 and 0.010 and have the
same Brier score; docs/benchmarks.md has the numbers."""

TIERS: Mapping[Tier, TierRule] = MappingProxyType(
    {
        Tier.FAST: TierRule(
            colours=False,
            working_side=600,
            edges=Edges.ENLARGED,
            calibration=_TWO_PASSES,
        ),
        Tier.STANDARD: TierRule(
            colours=True,
            working_side=800,
            edges=Edges.FILTERED,
            calibration=_MANY_PASSES,
        ),
        Tier.BEST: TierRule(
            colours=True,
            working_side=800,
            edges=Edges.SOLVED,
            calibration=_MANY_PASSES,
        ),
    }
)
