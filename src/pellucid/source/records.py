"""What is remembered about an origin, in the form in which it is stored."""

from __future__ import annotations

import msgspec

from pellucid import errors
from pellucid.errors import ImageError, OriginError, OriginUnreachableError, PellucidError, RenderError
from pellucid.image.facts import ImageFacts
from pellucid.source.answers import Sharing, Validators


class FormerBytes(msgspec.Struct, frozen=True, kw_only=True):
    """What an origin held before its bytes changed. They may be evicted at any time."""

    digest: str
    facts: ImageFacts
    size_bytes: int


class KnownOrigin(msgspec.Struct, frozen=True, kw_only=True, tag="origin"):
    """An origin whose bytes are in the store. `source` is where it was fetched from, `scope` the credential scope
    (`source.headers`); a record of another location or scope (an alias or a key was changed) is void. Times are seconds
    since the epoch. `position` is what its process had read of the invalidation log (`invalidation.validity`) when the
    fetch began; stored as `heard`, its name in older versions. `former` are the bytes before these, newest first;
    `versions` the cache busters of URLs for which its server was asked, newest last.
    """

    source: str
    scheme: str
    digest: str
    facts: ImageFacts
    size_bytes: int
    url: str
    validators: Validators
    fresh_for_s: float
    fresh_until: float
    position: str = msgspec.field(default="", name="heard")
    former: tuple[FormerBytes, ...] = ()
    sharing: Sharing = Sharing.PUBLIC
    scope: str = ""
    damaged_s: float = 0.0
    """Of damaged bytes: how long they are believed at most."""
    versions: tuple[str, ...] = ()


class KnownFailure(msgspec.Struct, frozen=True, kw_only=True, tag="failure"):
    """An origin that could not be had or used; it is left alone until `until`. `heard` and `scope` as above."""

    source: str
    error: str
    message: str
    until: float
    position: str = msgspec.field(default="", name="heard")
    scope: str = ""


_FORMER = 3
"""Former bytes remembered: those of a picture that changed again before its cutout was made."""

_VERSIONS = 8
"""Versions remembered; one that comes back after eight others asks the origin's server once more."""


def with_version(known: KnownOrigin | None, version: str) -> tuple[str, ...]:
    """The versions of a record that was confirmed or replaced for `version`, '' for none."""
    versions = known.versions if known is not None else ()
    return versions if not version or version in versions else (*versions, version)[-_VERSIONS:]


Record = KnownOrigin | KnownFailure

_decoder = msgspec.json.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """`record` as JSON."""
    return msgspec.json.encode(record)


def decode_record(data: bytes) -> Record | None:
    """The inverse of `encode_record`; None for what is damaged or of another version."""
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError:
        return None


def former_of(known: KnownOrigin | None, digest: str) -> tuple[FormerBytes, ...]:
    """What a record whose bytes are now `digest` remembers of `known`: no damaged bytes, of which nothing is shown."""
    if known is None:
        return ()
    if known.digest == digest:
        return known.former
    latest = FormerBytes(digest=known.digest, facts=known.facts, size_bytes=known.size_bytes)
    return tuple(each for each in (latest, *known.former) if each.digest != digest and not each.facts.damaged)[:_FORMER]


def remember_failure(
    error: PellucidError, *, source: str, position: str, until: float, scope: str = ""
) -> KnownFailure:
    """`error` under the name of its nearest class in `pellucid.errors`."""
    public = next(cls for cls in type(error).__mro__ if cls.__module__ == errors.__name__)
    return KnownFailure(
        source=source, scope=scope, position=position, error=public.__name__, message=str(error), until=until
    )


def recall_failure(record: KnownFailure) -> PellucidError:
    """The remembered error, to be raised again."""
    cls = getattr(errors, record.error, None)
    if isinstance(cls, type) and issubclass(cls, OriginError | ImageError | RenderError):
        return cls(record.message)
    return OriginUnreachableError(record.message)
