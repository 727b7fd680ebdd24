"""Pure: the state of a cutout as a document, the same in `/-/status`, in `/-/events` and in a 202."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import msgspec

from pellucid.http.headers import EVENTS, STATUS
from pellucid.pipeline.states import Bill, CutoutStatus
from pellucid.queue.values import Failed, Pending
from pellucid.spec import Spec
from pellucid.url.build import build_url


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """Paths on this server."""

    image: str
    status: str
    events: str


class CreditsDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`price` of the removal now, what it was `charged`; `remaining` credits of a limit that begins anew at `resets_at`
    (RFC 3339).
    """

    price: int
    charged: int = 0
    remaining: int | None = None
    resets_at: str | None = None


class StatusDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a cutout stands. `image` is the canonical URL, `asked` the caller's spelling where one stream tells of
    several pictures. `state` is a word of `CutoutState`; `position` 1 is the job that runs or runs next;
    `eta_s` whole seconds, from the rate of the last jobs; `retry_in_s` says when a failed one is tried again;
    `confidence` in [0, 1]. `width` and `height` are the origin's, in pixels, upright.
    """

    image: str
    state: str
    links: Links
    asked: str | None = None
    position: int | None = None
    eta_s: int | None = None
    attempts: int | None = None
    reason: str | None = None
    retry_in_s: int | None = None
    confidence: float | None = None
    width: int | None = None
    height: int | None = None
    credits: CreditsDocument | None = None


def describe_cutout(cutout: CutoutStatus, spec: Spec, *, asked: str | None = None) -> StatusDocument:
    """The document of one cutout."""
    url = build_url(spec)
    position = eta_s = attempts = retry_in_s = None
    reason = cutout.reason
    match cutout.receipt:
        case Pending() as owed:
            position, eta_s, attempts = owed.position, max(1, math.ceil(owed.eta_s)), owed.attempts
        case Failed() as failed:
            reason, retry_in_s, attempts = failed.reason, math.ceil(failed.retry_in_s), failed.attempts
        case _:
            pass
    return StatusDocument(
        image=url,
        state=str(cutout.state),
        asked=asked,
        links=Links(image=url, status=STATUS + url, events=EVENTS + url),
        position=position,
        eta_s=eta_s,
        attempts=attempts,
        reason=reason,
        retry_in_s=retry_in_s,
        confidence=None if cutout.confidence is None else round(cutout.confidence, 3),
        width=cutout.origin.facts.width,
        height=cutout.origin.facts.height,
        credits=None if cutout.bill is None else _credits(cutout.bill),
    )


def _credits(bill: Bill) -> CreditsDocument:
    resets_at = None
    if bill.resets_at is not None:
        resets_at = datetime.fromtimestamp(bill.resets_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return CreditsDocument(price=bill.price, charged=bill.charged, remaining=bill.remaining, resets_at=resets_at)
