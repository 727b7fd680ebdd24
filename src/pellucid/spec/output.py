"""How pixels become bytes."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class OutputFormat(enum.StrEnum):
    """An output format that a URL may name (Cloudimage's `force_format`)."""

    ORIGINAL = "original"
    """The origin's family whatever happens; a family without alpha gets a white backdrop."""
    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    """WebP; JPEG where that is smaller and nothing of the picture is transparent."""
    STRICT_WEBP = "_webp"
    """WebP, however large."""
    AVIF = "avif"
    GIF = "gif"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """`formats`: none = the server chooses; one is forced; of several the first that the client takes, where
    JPEG, PNG, GIF and the origin's family are taken by everybody. `quality` is 1..100, that of a JPEG that looks as
    good; None = the default.
    """

    formats: tuple[OutputFormat, ...] = ()
    quality: int | None = None

    def __post_init__(self) -> None:
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(f"quality {self.quality} is outside 1..100")
        if len(set(self.formats)) != len(self.formats):
            raise ValueError("a format is named twice")
