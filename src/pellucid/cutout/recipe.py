"""A recipe: how a matte is made. Its id is part of the matte's identity."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.cutout.runtime import Precision
from pellucid.errors import CutoutError

RECIPE_VERSION = 1
"""Raise it when the same model in the same precision gives other mattes: older ones are then made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Model by name, precision, version. `parse(recipe.id) == recipe`."""

    model: str
    precision: Precision
    version: int = RECIPE_VERSION

    @property
    def id(self) -> str:
        """`u2net-bf16-v1`."""
        return f"{self.model}-{self.precision}-v{self.version}"

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """The inverse of `id`. Raises CutoutError on anything else."""
        model, _, rest = text.rpartition("-v")
        model, _, precision = model.rpartition("-")
        if not model or not rest.isdigit() or precision not in list(Precision):
            raise CutoutError(f"{text!r} is no recipe")
        return cls(model=model, precision=Precision(precision), version=int(rest))
