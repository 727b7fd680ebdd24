"""THE table: error class to status, life and problem type (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from pellucid import errors
from pellucid.errors import PellucidError
from pellucid.http.headers import ALWAYS, DAMAGED_LIFE_S, Headers

_TYPE_BASE = "urn:problem-type:pellucid:"

_MAX_DETAIL = 1000
"""Characters of a `detail` or of another member: they may repeat a path, a host name or an address of 4,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemKind:
    """`slug` ends the problem's type URI; `cache_s` is how long the answer may be kept, 0 = not at all."""

    status: int
    slug: str
    title: str
    cache_s: int


_INTERNAL = ProblemKind(status=500, slug="internal", title="Something went wrong here", cache_s=0)
_DATABASE = ProblemKind(status=503, slug="database", title="The server's database failed", cache_s=0)
_BAD_IMAGE = ProblemKind(status=422, slug="bad-image", title="The origin is no usable picture", cache_s=DAMAGED_LIFE_S)

PROBLEMS: dict[type[PellucidError], ProblemKind] = {
    errors.BadValueError: ProblemKind(status=400, slug="bad-value", title="A parameter has a bad value", cache_s=300),
    errors.BadOriginError: ProblemKind(status=400, slug="bad-origin", title="The URL names no origin", cache_s=300),
    errors.NoSuchPageError: ProblemKind(status=404, slug="no-such-page", title="No such page", cache_s=300),
    errors.SpecError: ProblemKind(status=400, slug="bad-request", title="The URL asks the impossible", cache_s=300),
    errors.OriginNotFoundError: ProblemKind(status=404, slug="origin-not-found", title="No such origin", cache_s=30),
    errors.OriginForbiddenError: ProblemKind(
        status=403, slug="origin-forbidden", title="The origin denies access", cache_s=30
    ),
    errors.OriginRefusedError: ProblemKind(
        status=403, slug="origin-refused", title="This server does not fetch from there", cache_s=30
    ),
    errors.OriginTimeoutError: ProblemKind(status=504, slug="origin-timeout", title="The origin is slow", cache_s=5),
    errors.OriginTooLargeError: ProblemKind(
        status=422, slug="origin-too-large", title="The origin is too large", cache_s=300
    ),
    errors.OriginUnreachableError: ProblemKind(
        status=502, slug="origin-unreachable", title="The origin cannot be reached", cache_s=5
    ),
    # Not kept: what is refused is this request, by what its headers say, and not its URL.
    errors.LoopDetectedError: ProblemKind(
        status=508, slug="loop-detected", title="The request goes in a circle", cache_s=0
    ),
    errors.OriginError: ProblemKind(status=502, slug="origin", title="The origin could not be had", cache_s=5),
    errors.EmptyOriginError: ProblemKind(status=422, slug="empty-origin", title="The origin is empty", cache_s=30),
    errors.UnsupportedFormatError: ProblemKind(
        status=422, slug="unsupported-format", title="The origin is of no format we read", cache_s=300
    ),
    errors.ImageLimitError: ProblemKind(status=422, slug="image-limit", title="The picture is too large", cache_s=300),
    errors.DamagedImageError: _BAD_IMAGE,
    errors.ImageError: _BAD_IMAGE,
    errors.NotRawUploadError: ProblemKind(
        status=415, slug="not-raw", title="Send the picture's bytes as they are", cache_s=0
    ),
    errors.UploadTooLargeError: ProblemKind(
        status=413, slug="upload-too-large", title="The upload is too large", cache_s=0
    ),
    errors.UploadTimeoutError: ProblemKind(
        status=408, slug="upload-timeout", title="The upload took too long", cache_s=0
    ),
    errors.UploadLimitError: ProblemKind(
        status=429, slug="too-many-uploads", title="Too many uploads from there", cache_s=0
    ),
    errors.UploadError: ProblemKind(status=400, slug="bad-upload", title="Nothing usable was sent", cache_s=0),
    errors.BusyError: ProblemKind(status=503, slug="busy", title="Too much to do at the moment", cache_s=0),
    errors.RenderError: ProblemKind(status=500, slug="render", title="The picture could not be rendered", cache_s=5),
    errors.StoreError: ProblemKind(status=503, slug="store", title="The server's store failed", cache_s=0),
    errors.WorkerNameError: _INTERNAL,
    errors.AuthenticationError: ProblemKind(status=401, slug="key-needed", title="A key is needed", cache_s=0),
    errors.DatabaseAwayError: _DATABASE,
    errors.DatabaseBusyError: _DATABASE,
    errors.DatabaseDamagedError: _DATABASE,
    errors.DatabaseSchemaError: _DATABASE,
    errors.DatabaseError: _DATABASE,
    errors.ModelUnavailableError: ProblemKind(status=503, slug="model", title="The model is not there", cache_s=0),
    errors.DeviceUnavailableError: ProblemKind(status=503, slug="device", title="The device is not there", cache_s=0),
    errors.CutoutError: ProblemKind(status=500, slug="cutout", title="The picture could not be cut out", cache_s=5),
    errors.SettingsError: ProblemKind(status=500, slug="settings", title="The server is set up wrongly", cache_s=0),
    errors.PellucidError: _INTERNAL,
}

METHOD_NOT_ALLOWED = ProblemKind(status=405, slug="method", title="Only GET and HEAD", cache_s=300)
NO_SUCH_PAGE = ProblemKind(status=404, slug="no-such-page", title="No such page", cache_s=30)
PENDING = ProblemKind(status=423, slug="pending", title="The cutout is not there yet", cache_s=0)
BAD_REQUEST = ProblemKind(status=400, slug="no-http", title="That is no HTTP request", cache_s=0)
HEAD_TIMEOUT = ProblemKind(status=408, slug="head-timeout", title="The request took too long to arrive", cache_s=0)
URL_TOO_LONG = ProblemKind(status=414, slug="url-too-long", title="The URL is too long", cache_s=0)
HEAD_TOO_LARGE = ProblemKind(status=431, slug="head-too-large", title="The request's headers are too large", cache_s=0)
TOO_MANY_CONNECTIONS = ProblemKind(
    status=503, slug="too-many-connections", title="There are too many connections", cache_s=0
)
BUSY = PROBLEMS[errors.BusyError]
INTERNAL = PROBLEMS[errors.PellucidError]

_PRIVATE_DETAIL = (errors.StoreError, errors.SettingsError, errors.WorkerNameError, errors.DatabaseError)
"""Errors about this machine: their messages name paths and belong in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An answer that is no picture."""

    status: int
    headers: Headers
    body: bytes


def kind_of(error: PellucidError) -> ProblemKind:
    """The row of the nearest class of `error`."""
    return next(PROBLEMS[cls] for cls in type(error).__mro__ if cls in PROBLEMS)


def describe_error(error: PellucidError) -> Problem:
    """`error` as a problem document. Members besides RFC 9457's: parameter, value, grammar for a bad value."""
    members: dict[str, str] = {}
    retry_after_s: int | None = None
    match error:
        case errors.BadValueError():
            members = {"parameter": error.parameter, "value": error.value, "grammar": error.grammar}
        case errors.BusyError() | errors.UploadLimitError():
            retry_after_s = error.retry_after_s
        case _:
            pass
    detail = None if isinstance(error, _PRIVATE_DETAIL) else str(error)
    return make_problem(kind_of(error), detail=detail, retry_after_s=retry_after_s, members=members)


def make_problem(
    kind: ProblemKind,
    *,
    detail: str | None = None,
    retry_after_s: int | None = None,
    members: dict[str, str] | None = None,
) -> Problem:
    """A problem document with its headers."""
    document: dict[str, object] = {"type": _TYPE_BASE + kind.slug, "title": kind.title, "status": kind.status}
    if detail:
        document["detail"] = _short(detail)
    document |= {name: _short(value) for name, value in (members or {}).items()}
    life = f"public, max-age={kind.cache_s}, s-maxage={kind.cache_s}" if kind.cache_s else "no-store"
    headers: Headers = [
        *ALWAYS,
        (b"content-type", b"application/problem+json"),
        (b"cache-control", life.encode()),
    ]
    if retry_after_s is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))  # RFC 9110, section 11.6.1
    if kind is METHOD_NOT_ALLOWED:
        headers.append((b"allow", b"GET, HEAD, OPTIONS"))
    return Problem(status=kind.status, headers=headers, body=msgspec.json.encode(document))


def _short(text: str) -> str:
    return text if len(text) <= _MAX_DETAIL else text[:_MAX_DETAIL] + "..."
