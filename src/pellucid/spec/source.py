"""Which part of the origin's file is the image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """`page` of a document, from 1."""

    page: int = 1

    def __post_init__(self) -> None:
        if self.page < 1:
            raise ValueError(f"page {self.page} is below 1")
