"""What asking for an origin brings back."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Sharing(enum.StrEnum):
    """Who may keep an answer, as its `Cache-Control` says (RFC 9111, section 5.2.2)."""

    PUBLIC = "public"
    PRIVATE = "private"
    """Browsers, no shared cache."""
    NO_STORE = "no-store"
    """Nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """What identifies a version of an origin, as its server wrote it (RFC 9110, section 8.8)."""

    etag: str | None = None
    last_modified: str | None = None

    def __bool__(self) -> bool:
        return self.etag is not None or self.last_modified is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A whole origin. `fresh_s` is already clamped; `url` is where redirects ended."""

    body: bytes | bytearray
    validators: Validators
    fresh_s: float
    content_type: str | None
    url: str
    sharing: Sharing = Sharing.PUBLIC


@dataclass(frozen=True, slots=True, kw_only=True)
class NotModified:
    """What was known is still true. Members are None or empty where the answer said nothing: then what was known of
    them holds on, too. `fresh_s` is already clamped.
    """

    validators: Validators
    fresh_s: float | None
    sharing: Sharing | None = None
