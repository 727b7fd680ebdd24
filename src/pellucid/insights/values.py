"""PURE: the facts about an image that a plan may depend on."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.image.box import Box
from pellucid.spec import Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A part of the upright image, in fractions of its width and height, 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def centre(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def size(self) -> float:
        """Its share of the image."""
        return (self.right - self.left) * (self.bottom - self.top)


@dataclass(frozen=True, slots=True, kw_only=True)
class Salience:
    """How much of the most prominent object lies in each of so many columns and rows of the upright image, of equal
    width each; both add up to 1.
    """

    columns: tuple[float, ...]
    rows: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Insights:
    """None, or empty, where nothing was found or nobody looked.

    `faces` come largest first. `salience` is where the most prominent object is. `subject` is the box of what a matte
    keeps, in pixels of the upright image, `content` the box of what lies inside a border that is trimmed. `main_colour`
    is the most prominent colour.
    """

    faces: tuple[Area, ...] = ()
    salience: Salience | None = None
    subject: Box | None = None
    content: Box | None = None
    main_colour: Colour | None = None


NO_INSIGHTS = Insights()
