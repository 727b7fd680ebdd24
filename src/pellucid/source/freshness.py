"""PURE: how long an answer stays fresh, and who may keep it, as its headers say (RFC 9111, sections 4.2 and 5.2.2)."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from pellucid.source.answers import Sharing

_DIRECTIVE = re.compile(r'([\w-]+)(?:\s*=\s*("[^"]*"|[^\s,;]*))?')
_UNCACHEABLE = frozenset({"no-store", "no-cache", "private"})


def fresh_seconds(
    *, cache_control: str, expires: str | None, date: str | None, age: str | None, now: float
) -> float | None:
    """Seconds that the answer stays fresh from now on, at least 0; None when the headers say nothing about it.

    As a shared cache reads it: s-maxage before max-age before Expires; 0 for no-store, no-cache and private. `now` is
    seconds since the epoch and stands in for a missing Date.
    """
    directives = _read(cache_control)
    if not _UNCACHEABLE.isdisjoint(directives):
        return 0.0
    for name in ("s-maxage", "max-age"):
        if name in directives:
            return max(0.0, _seconds(directives[name]) - _seconds(age))
    if expires is not None:
        until = _timestamp(expires)
        since = _timestamp(date) if date is not None else None
        return max(0.0, until - (now if since is None else since)) if until is not None else 0.0
    return None


def sharing_of(cache_control: str) -> Sharing:
    """Who may keep an answer with this `Cache-Control`. `private` that names fields counts as if it named none, as most
    caches read it.
    """
    directives = _read(cache_control)
    if "no-store" in directives:
        return Sharing.NO_STORE
    return Sharing.PRIVATE if "private" in directives else Sharing.PUBLIC


def _read(cache_control: str) -> dict[str, str]:
    """The directives by name; of one that comes twice, the first."""
    directives: dict[str, str] = {}
    for name, value in _DIRECTIVE.findall(cache_control):
        directives.setdefault(name.lower(), value.strip('"'))
    return directives


def _seconds(text: str | None) -> float:
    """Delta-seconds; what is none counts as 0, and ten digits are enough for everybody."""
    return float(text[:10]) if text and text.isascii() and text.isdigit() else 0.0


def _timestamp(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
