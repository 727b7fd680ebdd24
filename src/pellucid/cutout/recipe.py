"""A recipe: how a matte is made. Its id is part of the matte's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pellucid.errors import CutoutError
from pellucid.inference.runtime import Precision
from pellucid.spec import Tier

RECIPE_VERSION = 5
"""Raise it when the same model, precision and tier give other mattes: older ones are then made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Model by name, precision, tier, version. `parse(recipe.id) == recipe`."""

    model: str
    precision: Precision
    tier: Tier = Tier.STANDARD
    version: int = RECIPE_VERSION

    @property
    def id(self) -> str:
        """`u2net-int8-standard-v5`."""
        return f"{self.model}-{self.precision}-{self.tier}-v{self.version}"

    @property
    def by_tier(self) -> Mapping[Tier, Recipe]:
        """This recipe in every tier: what one worker with one model makes."""
        return {tier: replace(self, tier=tier) for tier in Tier}

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """The inverse of `id`. Raises CutoutError on anything else."""
        rest, _, version = text.rpartition("-v")
        rest, _, tier = rest.rpartition("-")
        model, _, precision = rest.rpartition("-")
        if not model or not version.isdigit() or precision not in list(Precision) or tier not in list(Tier):
            raise CutoutError(f"{text!r} is no recipe")
        return cls(model=model, precision=Precision(precision), tier=Tier(tier), version=int(version))


def tier_of(recipe_id: str) -> Tier | None:
    """The tier of a recipe by its id; None for what is no recipe's."""
    try:
        return Recipe.parse(recipe_id).tier
    except CutoutError:
        return None
