"""PURE: mirroring and rotating: where sizes, points and boxes end up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from pellucid.image.box import Box
from pellucid.spec import Flip


@dataclass(frozen=True, slots=True)
class Turn:
    """`flip` first, then `rotation` degrees counter-clockwise, 0 up to 360."""

    flip: Flip | None
    rotation: float

    @property
    def is_free(self) -> bool:
        """Whether corners are exposed: it is no number of quarter turns."""
        return self.rotation % 90 != 0

    @property
    def quarters(self) -> int:
        return int(self.rotation // 90)

    def size(self, width: int | Fraction, height: int | Fraction) -> tuple[Fraction, Fraction]:
        """Of the box around a turned image of `width` x `height`."""
        if not self.is_free:
            return (Fraction(height), Fraction(width)) if self.quarters % 2 else (Fraction(width), Fraction(height))
        angle = math.radians(self.rotation)
        # To a millionth: floats have many digits, of which the last say nothing.
        cos, sin = (Fraction(abs(value)).limit_denominator(10**6) for value in (math.cos(angle), math.sin(angle)))
        return width * cos + height * sin, width * sin + height * cos

    def point(self, x: float, y: float, *, width: float, height: float) -> tuple[float, float]:
        """Where the point at the fractions `x`, `y` of an image of `width` x `height` lies on the turned one, as
        fractions of that.
        """
        if self.flip in (Flip.HORIZONTAL, Flip.BOTH):
            x = 1 - x
        if self.flip in (Flip.VERTICAL, Flip.BOTH):
            y = 1 - y
        match None if self.is_free else self.quarters:
            case 0:
                return x, y
            case 1:
                return y, 1 - x
            case 2:
                return 1 - x, 1 - y
            case 3:
                return 1 - y, x
            case _:
                angle = math.radians(self.rotation)
                cos, sin = math.cos(angle), math.sin(angle)
                across, down = (x - 0.5) * width, (y - 0.5) * height
                turned_width = abs(width * cos) + abs(height * sin)
                turned_height = abs(width * sin) + abs(height * cos)
                # y counts downwards: counter-clockwise as it is seen.
                return (
                    0.5 + (across * cos + down * sin) / turned_width,
                    0.5 + (down * cos - across * sin) / turned_height,
                )

    def profiles(
        self, columns: tuple[float, ...], rows: tuple[float, ...]
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """What lies in the columns and rows of an image, after it is turned. For quarter turns."""
        if self.flip in (Flip.HORIZONTAL, Flip.BOTH):
            columns = columns[::-1]
        if self.flip in (Flip.VERTICAL, Flip.BOTH):
            rows = rows[::-1]
        match self.quarters:
            case 1:
                return rows, columns[::-1]
            case 2:
                return columns[::-1], rows[::-1]
            case 3:
                return rows[::-1], columns
            case _:
                return columns, rows

    def back(self, box: Box, *, width: int, height: int) -> Box:
        """The part of an image of `width` x `height`, before it is turned, that becomes `box`. For quarter turns."""
        left, top, across, down = box.left, box.top, box.width, box.height
        if self.quarters == 1:
            left, top, across, down = width - top - down, left, down, across
        elif self.quarters == 2:
            left, top = width - left - across, height - top - down
        elif self.quarters == 3:
            left, top, across, down = top, height - left - across, down, across
        if self.flip in (Flip.HORIZONTAL, Flip.BOTH):
            left = width - left - across
        if self.flip in (Flip.VERTICAL, Flip.BOTH):
            top = height - top - down
        return Box(left=left, top=top, width=across, height=down)
