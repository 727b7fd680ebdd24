"""The tiers: what is done with the passes of a model (`models.cards`), and how edges come to the picture's own size."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

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
    """What a tier does. `colours`: where passes disagree over an area, the picture's colours decide."""

    colours: bool
    edges: Edges


TIERS: Mapping[Tier, TierRule] = MappingProxyType(
    {
        Tier.FAST: TierRule(colours=False, edges=Edges.ENLARGED),
        Tier.STANDARD: TierRule(colours=True, edges=Edges.FILTERED),
        Tier.BEST: TierRule(colours=True, edges=Edges.SOLVED),
    }
)
