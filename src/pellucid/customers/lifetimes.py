"""Pure: how long browsers and CDNs may keep answers."""

from __future__ import annotations

from dataclasses import dataclass

_DAY_S = 86_400

UPLOAD_LIFE_S = 3600
"""Who deletes an upload means all of it, and it expires by itself: no cache may show it for longer than this then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """Seconds that answers live: finished pictures in browsers and CDNs, interims in both.
    `http.headers.lifetimes_of` says which of them is whose.
    """

    browser_s: int = 30 * _DAY_S
    cdn_s: int = 365 * _DAY_S
    pending_s: int = 5
    failed_s: int = 300
    """After a failure, or without credits."""
    stale_s: int = 60
    upload_s: int = UPLOAD_LIFE_S
    """The most for a picture of an upload, whatever its state."""
    targeted: bool = False
    """Whether CDNs are told their seconds in `CDN-Cache-Control` (RFC 9213) as well."""
    respect_origin: bool = True
    """Whether an origin's `private` or `no-store` holds for what is made of it."""
