"""An origin: a source image that can be had, and one that somebody wants. Values."""

from __future__ import annotations

from dataclasses import dataclass, field

from pellucid.concurrency.clients import Client
from pellucid.customers.customer import Customer
from pellucid.image.facts import ImageFacts
from pellucid.source.answers import Sharing
from pellucid.source.location import Location
from pellucid.source.memory import HeldBody
from pellucid.source.records import FormerBytes, KnownOrigin
from pellucid.spec import OriginRef
from pellucid.store import keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A source image that can be had. `digest` names its bytes; `url` is where redirects ended."""

    digest: str
    facts: ImageFacts
    size_bytes: int
    url: str
    source: str
    """Where it was looked for: the address that its URL or its alias stands for, or a file's URL."""
    record_key: str
    """Store key of what is known of it (`keys.origin_record_key`)."""
    fresh_until: float = field(default=0.0, compare=False)
    """Until when it is believed without asking its server, in seconds since the epoch."""
    former: tuple[FormerBytes, ...] = ()
    """What it held before, newest first; perhaps evicted (`Origins.former`)."""
    sharing: Sharing = Sharing.PUBLIC
    """Who may keep the picture, as its server says."""
    stored: bool = True
    """False when the store could not take the bytes: they are here, for this request, and nowhere else."""
    body: HeldBody | None = field(default=None, compare=False, repr=False)
    """The bytes then; None for those that are in the store."""

    @property
    def picture(self) -> str:
        """Names the page of its bytes that is meant: `digest` for the first."""
        return keys.page_digest(self.digest, self.facts.page)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An origin that somebody wants: what it is called, where it lies, and on whose behalf it is asked for."""

    customer: Customer
    ref: OriginRef
    key: str
    """Store key of its record."""
    location: Location
    scope: str
    """The credential scope (`source.headers`) that it is asked for in."""
    client: Client
    version: str = ""
    """The cache buster of the URL; '' for none."""


def origin_of(record: KnownOrigin, key: str) -> Origin:
    """The origin that `record`, stored under `key`, is about."""
    return Origin(
        digest=record.digest,
        facts=record.facts,
        size_bytes=record.size_bytes,
        url=record.url,
        source=record.source,
        record_key=key,
        fresh_until=record.fresh_until,
        former=record.former,
        sharing=record.sharing,
    )
