"""What a URL says of the removal of the background."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Tier(enum.StrEnum):
    """How much is spent on a matte (`bg_quality`); `cutout.tiers` says what each does."""

    FAST = "fast"
    STANDARD = "standard"
    BEST = "best"


class Interim(enum.StrEnum):
    """What is answered while a matte is pending (`bg_pending`). No part of any rendition."""

    ORIGINAL = "original"
    """The same picture with its background."""
    WAIT = "wait"
    """Hold the answer until the cutout is there, up to the server's limit; then the original."""
    BLANK = "blank"
    """A picture of the right size: transparent, or the background colour."""
    ACCEPTED = "202"
    """No picture: 202 with the status as JSON."""
    LOCKED = "423"
    """No picture: 423 with a problem document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """`remove` = the background goes; the rest says how. `tier` None = the customer's default. `notify` is a URL that
    is called when the cutout is ready or has failed; it changes no pixel.
    """

    remove: bool = False
    tier: Tier | None = None
    interim: Interim = Interim.ORIGINAL
    notify: str | None = None
