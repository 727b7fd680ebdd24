"""A rectangle of whole pixels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """`left` and `top` count from the upper left corner, from 0."""

    left: int
    top: int
    width: int
    height: int
