"""Pure: the headers of an answer, and conditional requests."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from pellucid.pipeline import CutoutState, Cutting, Delivery
from pellucid.queue.port import Failed, Owed

Headers = list[tuple[bytes, bytes]]

# On every answer, whether or not the request had an Origin header: a CDN stores one answer for all pages.
ALWAYS: Headers = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"*, Pellucid-Cutout, Pellucid-Ignored, ETag, Content-Length"),
    (b"timing-allow-origin", b"*"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"x-content-type-options", b"nosniff"),
]

_BUSY_MIN_S, _BUSY_MAX_S = 5, 30
"""The life of a `busy` answer is drawn from this range, so that a page's pictures do not all come back at once."""


_MAX_IGNORED = 16
"""Names listed in `Pellucid-Ignored`; a URL may hold thousands, proxies cut headers off at 4 to 8 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """Seconds that answers live: finished pictures in browsers and CDNs, interims in both."""

    browser_s: int
    cdn_s: int
    pending_s: int
    failed_s: int


def cache_control(cutting: Cutting | None, lifetimes: Lifetimes) -> str:
    """`Cache-Control` of a picture in the given state (design: the table of states)."""
    match cutting.state if cutting is not None else None:
        case None | CutoutState.READY | CutoutState.NO_SUBJECT:
            return f"public, max-age={lifetimes.browser_s}, s-maxage={lifetimes.cdn_s}"
        case CutoutState.PENDING:
            return _short(lifetimes.pending_s)
        case CutoutState.BUSY:
            return _short(random.randint(_BUSY_MIN_S, _BUSY_MAX_S))  # noqa: S311 - jitter, no secret
        case CutoutState.FAILED:
            return _short(lifetimes.failed_s)


def cutout_state(cutting: Cutting) -> str:
    """The value of `Pellucid-Cutout`, a structured field item with parameters (RFC 9651)."""
    match cutting.receipt:
        case Owed(position=position, eta_s=eta_s):
            return f"{cutting.state};position={position};eta={max(1, math.ceil(eta_s))}"
        case Failed(reason=reason):
            return f"{cutting.state};reason={reason}"
        case _:
            return str(cutting.state)


def delivery_headers(delivery: Delivery, *, ignored: tuple[str, ...], lifetimes: Lifetimes) -> Headers:
    """What a picture's answer says besides its length and type; the same on a 200 and on a 304.

    No Last-Modified: an origin's date says nothing of its cutout, and ETag serves every case.
    """
    headers = [
        *ALWAYS,
        (b"etag", delivery.rendition.etag.encode()),
        (b"cache-control", cache_control(delivery.cutting, lifetimes).encode()),
    ]
    if delivery.negotiable:
        headers.append((b"vary", b"Accept"))
    if delivery.cutting is not None:
        headers.append((b"pellucid-cutout", cutout_state(delivery.cutting).encode()))
    if ignored:
        headers.append((b"pellucid-ignored", ", ".join(_quoted(name) for name in ignored[:_MAX_IGNORED]).encode()))
    return headers


def is_not_modified(if_none_match: str | None, etag: str) -> bool:
    """Whether `If-None-Match` names `etag`, compared weakly (RFC 9110, section 13.1.2)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))


def _short(seconds: int) -> str:
    return f"public, max-age={seconds}, s-maxage={seconds}"


def _quoted(name: str) -> str:
    """A structured field string: printable ASCII, the rest percent-encoded so that no header can be injected."""
    safe = "".join(c if " " <= c <= "~" and c not in '"\\%' else f"%{ord(c):02X}" for c in name[:64])
    return f'"{safe}"'
