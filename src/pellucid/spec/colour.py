"""Colours that a URL names."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """An sRGB colour, 8 bits a channel, straight alpha (255 = opaque)."""

    red: int
    green: int
    blue: int
    alpha: int = 255

    def __post_init__(self) -> None:
        for channel in (self.red, self.green, self.blue, self.alpha):
            if not 0 <= channel <= 255:
                raise ValueError(f"colour channel {channel} is outside 0..255")

    @property
    def opaque(self) -> bool:
        return self.alpha == 255

    @property
    def rgb(self) -> tuple[int, int, int]:
        return self.red, self.green, self.blue


TRANSPARENT = Colour(red=0, green=0, blue=0, alpha=0)
WHITE = Colour(red=255, green=255, blue=255)


class AutoColour(enum.Enum):
    """A colour that is taken from the image."""

    MAIN = "auto"
    """The most prominent colour of the image."""
