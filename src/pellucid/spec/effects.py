"""What is done to the pixels of the image besides its size and shape."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """`sharpen` is how much the image is sharpened once it has its size: 0 = not at all, to 100."""

    sharpen: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.sharpen <= 100:
            raise ValueError(f"a strength of {self.sharpen} is outside 0..100")
