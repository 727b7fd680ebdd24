"""The tiers: which passes of the model a matte takes, and whether its edges are drawn along the picture's contours.

Why the picture is shown to U2-Net smaller than the 320 px it was published with (26 cats and dogs, 12 objects and
people, true masks; bf16, no refinement):

    passes                            time   pets: IoU, boundary IoU   objects: IoU, boundary IoU
    320                               1.00   0.9197   0.7232           0.9299   0.8348
    256                               0.64   0.9460   0.7494           0.9333   0.8575
    192                               0.36   0.9600   0.7686           0.9233   0.8267
    320 and mirrored                  2.00   0.9214   0.7255           0.9321   0.8405
    256, and 192 mirrored             1.00   0.9659   0.8561           0.9333   0.8584
    the same, the second if in doubt  0.84   0.9649   0.8450           0.9344   0.8602
    160, 192, 224, 256, 320           2.74   0.9708   0.8527           0.9341   0.8631

A large subject is seen whole only at a small size: at 320 px half a cat fills the frame and fades away. A small subject
needs the pixels: on 35 subjects that fill 4 to 9 % of a scene, 320 px scores 0.02 to 0.03 IoU above 256 px. So the
first pass decides by the subject's share which size the further ones take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pellucid.models.cards import ModelCard
from pellucid.spec import Tier

_STEP = 32
"""Inputs of resizable models are multiples of this many pixels: U2-Net halves five times."""

SMALL_SHARE = 0.15
"""A subject below this share of the picture counts as small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One look at the picture: `scale` of the model's published input side, perhaps mirrored left to right."""

    scale: float
    mirrored: bool = False

    def size(self, card: ModelCard) -> tuple[int, int]:
        """(width, height) of the input in pixels; the published one when the model takes no other."""
        if not card.resizable:
            return card.input_width, card.input_height
        width, height = (
            max(_STEP, round(side * self.scale / _STEP) * _STEP) for side in (card.input_width, card.input_height)
        )
        return width, height


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRule:
    """What a tier does. Further passes run where the first one's decidedness is below `sure`: `more`, or `more_small`
    where the subject is small. `refined`: edges follow the contours of the picture at its own resolution.
    """

    first: Pass
    more: tuple[Pass, ...]
    more_small: tuple[Pass, ...]
    sure: float
    refined: bool

    def further(self, card: ModelCard, *, decided: float, share: float) -> tuple[Pass, ...]:
        """The passes after the first, of which a model with one size makes none twice. `share` is the subject's."""
        if decided >= self.sure:
            return ()
        chosen = self.more_small if share < SMALL_SHARE else self.more
        if card.resizable:
            return chosen
        return tuple(again for again in chosen[:1] if again.mirrored != self.first.mirrored)

    def frequent_sizes(self, card: ModelCard) -> tuple[tuple[int, int], ...]:
        """Input sizes of the first pass and the one that follows most often: worth a graph each. With one for every
        size of the best tier a worker took 1217 MB at 50 megapixels.
        """
        return tuple(dict.fromkeys(each.size(card) for each in (self.first, *self.more[:1])))


TIERS: Mapping[Tier, TierRule] = MappingProxyType(
    {
        Tier.FAST: TierRule(first=Pass(scale=0.8), more=(), more_small=(), sure=0.0, refined=False),
        Tier.STANDARD: TierRule(
            first=Pass(scale=0.8),
            more=(Pass(scale=0.6, mirrored=True),),
            more_small=(Pass(scale=1.0, mirrored=True),),
            sure=0.97,
            refined=True,
        ),
        Tier.BEST: TierRule(
            first=Pass(scale=0.8, mirrored=True),
            more=(
                Pass(scale=0.6, mirrored=True),
                Pass(scale=0.5),
                Pass(scale=0.7),
                Pass(scale=1.0),
            ),
            more_small=(Pass(scale=1.0), Pass(scale=1.0, mirrored=True), Pass(scale=0.8)),
            sure=1.01,
            refined=True,
        ),
    }
)
