"""How pixels become bytes."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class OutputFormat(enum.StrEnum):
    """An output format that a URL may name (Cloudimage's `force_format`)."""

    AUTO = "auto"
    """The origin's family; a transparent result of a family without alpha is negotiated by `Accept`."""
    ORIGINAL = "original"
    """The origin's family whatever happens; a family without alpha gets a white backdrop."""
    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """`quality` is 1..100, None = the format's default."""

    format: OutputFormat = OutputFormat.AUTO
    quality: int | None = None

    def __post_init__(self) -> None:
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(f"quality {self.quality} is outside 1..100")
