"""Pure: the headers of an answer, and conditional requests."""

from __future__ import annotations

import math
import random

from pellucid.customers.customer import Customer
from pellucid.customers.lifetimes import Lifetimes
from pellucid.http.filenames import content_disposition
from pellucid.pipeline.states import Bill, CutoutState, CutoutStatus, ImageResult
from pellucid.queue.values import Failed, Pending
from pellucid.source.answers import Sharing
from pellucid.source.limits import DAMAGED_S
from pellucid.spec import Spec
from pellucid.store import keys
from pellucid.store.renditions import RenditionSource
from pellucid.uploads.store import UPLOADS_ALIAS
from pellucid.url.build import build_url
from pellucid.url.spelling import MAX_LOOKED_AT, Meant, is_any_meant, meant_by

Headers = list[tuple[bytes, bytes]]

# On every answer, whether or not the request had an Origin header: a CDN stores one answer for all pages.
ALWAYS: Headers = [
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"*, Pellucid-Cutout, Pellucid-Origin, Pellucid-Credits, Pellucid-Ignored, ETag, Content-Length, Link, "
        b"Retry-After, Cache-Status",
    ),
    (b"timing-allow-origin", b"*"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"x-content-type-options", b"nosniff"),
]

STATUS, EVENTS = "/-/status", "/-/events"
"""Where the state of a picture is told; its path and query follow."""

MISSPELT_LIFE_S = 300
"""The most for an answer that left a misspelt parameter out, or one that is not there yet: the wrong picture goes soon
after the URL was mended, or the server upgraded.
"""

DAMAGED_LIFE_S = int(DAMAGED_S)
"""The most for a picture whose origin is cut short or corrupt, whatever its state: half a download is whole the next
time.
"""

_CACHE_STATUS = {
    RenditionSource.MEMORY: b"Pellucid; hit; detail=memory",
    RenditionSource.DISK: b"Pellucid; hit; detail=disk",
    RenditionSource.SHARED: b"Pellucid; fwd=miss; collapsed; detail=rendered",
    RenditionSource.MADE: b"Pellucid; fwd=miss; stored; detail=rendered",
}
"""`Cache-Status` (RFC 9211) of a rendition."""

_BUSY_MIN_S, _BUSY_MAX_S = 5, 30
"""The life of a `busy` answer is drawn from this range, so that a page's pictures do not all come back at once."""


MAX_HEADER_BYTES = 4000
"""Of all headers of an answer together: nginx's and others' buffers for them have 4 kB by default, and what does not
fit is a 502. Three repeat what was asked for, and have a share each (`http.filenames` has 0.3 kB); all others are
bounded by themselves, about 1.1 kB.
"""

_LINK_BYTES = 1800
_IGNORED_BYTES = 700


NO_STORE: Headers = [(b"cache-control", b"no-store")]
_LIVES = frozenset({b"cache-control", b"cdn-cache-control"})


def lifetimes_of(cutout: CutoutStatus | None, lifetimes: Lifetimes, *, upload: bool = False) -> tuple[int, int]:
    """Seconds in browsers and in CDNs of a picture whose cutout stands so (design: the table of states); None for one
    of which nothing is removed. `upload` if its origin is one.
    """
    browser_s, cdn_s = _of_state(cutout, lifetimes)
    return (min(browser_s, lifetimes.upload_s), min(cdn_s, lifetimes.upload_s)) if upload else (browser_s, cdn_s)


def _of_state(cutout: CutoutStatus | None, lifetimes: Lifetimes) -> tuple[int, int]:
    match cutout.state if cutout is not None else None:
        case None | CutoutState.READY | CutoutState.NO_SUBJECT:
            return lifetimes.browser_s, lifetimes.cdn_s
        case CutoutState.PENDING | CutoutState.UNASKED:
            return lifetimes.pending_s, lifetimes.pending_s
        case CutoutState.BUSY:
            seconds = random.randint(_BUSY_MIN_S, _BUSY_MAX_S)  # noqa: S311 - jitter, no secret
            return seconds, seconds
        case CutoutState.STALE:
            return lifetimes.stale_s, lifetimes.stale_s
        case CutoutState.FAILED | CutoutState.NO_CREDITS:
            return lifetimes.failed_s, lifetimes.failed_s


def cache_control(
    cutout: CutoutStatus | None,
    lifetimes: Lifetimes,
    *,
    upload: bool = False,
    damaged: bool = False,
    sharing: Sharing = Sharing.PUBLIC,
    misspelt: bool = False,
) -> Headers:
    """`Cache-Control`, and `CDN-Cache-Control` where that is wanted. `damaged` and `sharing` are what is known of the
    origin; `misspelt` if a parameter counted for nothing that was meant to count.
    """
    browser_s, cdn_s = lifetimes_of(cutout, lifetimes, upload=upload)
    for applies, most_s in ((misspelt, MISSPELT_LIFE_S), (damaged, DAMAGED_LIFE_S)):
        if applies:
            browser_s, cdn_s = min(browser_s, most_s), min(cdn_s, most_s)
    if lifetimes.respect_origin and sharing is Sharing.NO_STORE:
        return NO_STORE
    if lifetimes.respect_origin and sharing is Sharing.PRIVATE:
        return [(b"cache-control", f"private, max-age={browser_s}".encode())]
    headers = [(b"cache-control", f"public, max-age={browser_s}, s-maxage={cdn_s}".encode())]
    if lifetimes.targeted:
        headers.append((b"cdn-cache-control", f"max-age={cdn_s}".encode()))
    return headers


def cutout_state(cutout: CutoutStatus) -> str:
    """The value of `Pellucid-Cutout`, a structured field item with parameters (RFC 9651)."""
    match cutout.receipt:
        case Pending(position=position, eta_s=eta_s):
            return f"{cutout.state};position={position};eta={max(1, math.ceil(eta_s))}"
        case Failed(reason=reason):
            return f"{cutout.state};reason={reason}"
        case _:
            return f"{cutout.state};reason={cutout.reason}" if cutout.reason else str(cutout.state)


def delivery_headers(
    delivery: ImageResult,
    *,
    customer: Customer,
    spec: Spec,
    ignored: tuple[str, ...],
    waited_s: float | None = None,
) -> Headers:
    """What a picture's answer says besides what `content_headers` do; the same on a 200 and on a 304.

    `waited_s` are the seconds of a `Prefer: wait` that was honoured: the answer is for this caller alone. No
    Last-Modified: an origin's date says nothing of its cutout, and ETag serves every case.
    """
    tag = keys.origin_tag(customer.token, spec.origin).encode()
    cutout = delivery.cutout
    upload, damaged = spec.origin.alias == UPLOADS_ALIAS, bool(delivery.origin.facts.damaged)
    headers = [
        *ALWAYS,
        (b"etag", delivery.rendition.etag.encode()),
        *cache_control(
            cutout,
            customer.lifetimes,
            upload=upload,
            damaged=damaged,
            sharing=delivery.origin.sharing,
            misspelt=is_any_meant(ignored),
        ),
        (b"cache-tag", tag),
        (b"surrogate-key", tag),
        (b"cache-status", _CACHE_STATUS[delivery.found]),
        (b"server-timing", _server_timing(delivery)),
    ]
    if upload:
        headers.append((b"x-robots-tag", b"noindex"))
    if damaged:
        headers.append((b"pellucid-origin", b"damaged"))
    if cutout is not None:
        headers += cutout_headers(cutout, spec)
    if ignored:
        headers.append((b"pellucid-ignored", _ignored_names(ignored).encode()))
    return depending(headers, negotiable=delivery.negotiable, waited_s=waited_s)


def content_headers(delivery: ImageResult, spec: Spec) -> Headers:
    """What a picture's answer says of its body. Not on a 304, which has none (RFC 9110, section 15.4.5)."""
    media_type = delivery.rendition.media_type
    return [
        (b"content-type", media_type.encode()),
        (b"content-disposition", content_disposition(spec.origin, media_type)),
    ]


def depending(headers: Headers, *, negotiable: bool, waited_s: float | None) -> Headers:
    """The headers of an answer, picture or problem, that depends on `Accept` (`negotiable`), or that was held because
    of a `Prefer: wait` of `waited_s`: that one is for its caller alone.
    """
    names = [name for name, matters in (("Accept", negotiable), ("Prefer", waited_s is not None)) if matters]
    if not names:
        return headers
    headers = [*headers, (b"vary", ", ".join(names).encode())]
    if waited_s is None:
        return headers
    kept = (pair for pair in headers if pair[0] not in _LIVES)
    return [*kept, *NO_STORE, (b"preference-applied", f"wait={waited_s:g}".encode())]


def cutout_headers(cutout: CutoutStatus, spec: Spec) -> Headers:
    """The state, and while it may change the way to hear of it."""
    headers: Headers = [(b"pellucid-cutout", cutout_state(cutout).encode())]
    if cutout.state in (CutoutState.PENDING, CutoutState.BUSY, CutoutState.STALE):
        headers += _links(build_url(spec))
    return headers


def _links(url: str) -> Headers:
    """`Link` to status and events; of a long URL to the status alone, which names the events; of a longer one none:
    `/-/status` and the path and query that were asked for are the same.
    """
    status = f'<{STATUS}{url}>; rel="status"; type="application/json"'
    events = f'<{EVENTS}{url}>; rel="monitor"; type="text/event-stream"'
    fitting = (value for value in (f"{status}, {events}", status) if len(value) <= _LINK_BYTES)
    return [(b"link", value.encode()) for value in fitting][:1]


def credits_header(bill: Bill) -> Headers:
    """`Pellucid-Credits`, a structured field dictionary (RFC 9651): what the picture shown was charged to its token;
    what is left of a limit, and when that begins anew, in seconds since the epoch.
    """
    value = f"charged={bill.charged}"
    if bill.remaining is not None and bill.resets_at is not None:
        value += f";remaining={bill.remaining};resets={bill.resets_at:.0f}"
    return [(b"pellucid-credits", value.encode())]


def for_one_caller(headers: Headers) -> Headers:
    """The headers of an answer to somebody who sent a key: their own cache may keep it as long, no shared one."""
    own: Headers = []
    for name, value in headers:
        if name == b"cache-control" and value.startswith(b"public, "):
            value = b"private, " + value.removeprefix(b"public, ").partition(b",")[0]  # noqa: PLW2901
        if name != b"cdn-cache-control":
            own.append((name, value))
    return own


def is_not_modified(if_none_match: str | None, etag: str) -> bool:
    """Whether `If-None-Match` names `etag`, compared weakly (RFC 9110, section 13.1.2)."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))


def _server_timing(delivery: ImageResult) -> bytes:
    """The stages in ms; the state as well, because scripts can read it of pictures that were loaded by `<img>`."""
    entries = [f"{name};dur={ms:.1f}" for name, ms in delivery.stages.ms.items() if name != "cutout"]
    if delivery.cutout is not None:
        ms = delivery.stages.ms.get("cutout", 0.0)
        entries.append(f'cutout;desc="{delivery.cutout.state}";dur={ms:.1f}')
    return ", ".join(entries).encode()


def _ignored_names(ignored: tuple[str, ...]) -> str:
    """As many as there is room for, the first in any case; a structured field list (RFC 9651), each with what it was
    probably meant to be.
    """
    value = _ignored_name(ignored[0])
    for name in ignored[1:MAX_LOOKED_AT]:
        longer = f"{value}, {_ignored_name(name)}"
        if len(longer) > _IGNORED_BYTES:
            break
        value = longer
    return value


def _ignored_name(name: str) -> str:
    match meant_by(name):
        case None:
            return _quoted(name)
        case Meant(unsupported=True):
            return f"{_quoted(name)};unsupported"
        case Meant(name=meant):
            return f"{_quoted(name)};meant={_quoted(meant)}"


def _quoted(name: str) -> str:
    """A structured field string: printable ASCII, the rest percent-encoded so that no header can be injected."""
    safe = "".join(c if " " <= c <= "~" and c not in '"\\%' else f"%{ord(c):02X}" for c in name[:64])
    return f'"{safe}"'
