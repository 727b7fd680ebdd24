"""PURE: what a process has heard of invalidations, and which records it believes therefore. By sequence numbers: clocks
that are set, or differ, change nothing.
"""

from __future__ import annotations

from typing import NamedTuple

_NAMES = 100_000
"""Names that are remembered, 0.2 to 0.3 kB each: as many as the database keeps rows."""

_NOBODY = ""


class _Named(NamedTuple):
    """Which number named an origin last. A record that says that it holds `digest` is believed if its process had heard
    number `since` when it asked.
    """

    seq: int
    since: int
    digest: str


class Validity:
    """Every record says up to which number its process had heard when the question to the origin was put. It is
    believed if none of a greater number has named its origin since, as far as this process heard.

    Why no record is believed that an invalidation which this process has heard should have ended:

    1. Numbers become visible in their order, so who has heard one has heard all below it; `position` says so, and which
       database it was.
    2. A record's position is that of the moment before its question was put. An invalidation that had a number by then
       was told before the question, which therefore brought what came after the change.
    3. One that got its number later is greater than the record's position, whoever writes the record down and when.
    4. What is heard of is either in `_named`, or in `_all`, or not above `_floor`: that is raised to what falls out of
       memory, and begins at what the database has forgotten. A record from below it is not believed.
    5. Nothing is compared between databases: a record of another one is not believed.

    Before anything was heard (the database is away) everything is believed, and what is asked then counts as asked
    before all.
    """

    def __init__(self) -> None:
        self.identity: str | None = None
        self.seq = 0
        self._started_after = 0
        self._floor = 0
        self._all = 0
        self._named: dict[str, _Named] = {}  # the lowest number first

    @property
    def position(self) -> str:
        """Up to where this process has heard, to be kept with what is asked from now on."""
        return "" if self.identity is None else f"{self.identity}:{self.seq}"

    def begin(self, identity: str, *, after: int) -> None:
        """The database is `identity`; what it was told up to the number `after` is not known, or no longer."""
        self.identity = identity
        self.seq = self._floor = self._started_after = after
        self._all = 0
        self._named.clear()

    def apply(self, seq: int, *, token: str, origin: str, digest: str) -> None:
        """Number `seq`, greater than all before it, names an origin of a token, '' for any. With a `digest` it says
        that the origin holds these bytes now: who knows others is not believed.
        """
        self.seq = seq
        if not origin:
            self._all = seq
            return
        name = f"{token}/{origin}"
        before = self._named.pop(name, None)
        since = seq
        if digest and before is None:
            since = 0
        elif digest and before is not None:
            # Of two who found different bytes, the one that is heard last may have asked first: it is to have heard of
            # the other one.
            since = before.since if digest == before.digest else before.seq
        self._named[name] = _Named(seq, since, digest)
        if len(self._named) > _NAMES:
            oldest = next(iter(self._named))
            self._floor = max(self._floor, self._named.pop(oldest).seq)

    def pass_over(self, seq: int) -> None:
        """Number `seq` says what this version does not know."""
        self.seq = seq

    def generation_of(self, key: str) -> str:
        """Differs from an earlier answer if the record `key` (`keys.origin_record_key`) was named meanwhile."""
        last = max([self._started_after, self._all, *(named.seq for named in self._of(key))])
        return f"{self.identity}:{last}"

    def is_valid(self, key: str, position: str, digest: str = _NOBODY) -> bool:
        """Whether a record of `key`, asked for at `position`, that says that the origin holds `digest` is believed."""
        if self.identity is None:
            return True
        if not position.startswith(f"{self.identity}:") and position:
            return False
        return self._seq_of(position) >= self._floor and not self.is_invalidated(key, position, digest)

    def is_invalidated(self, key: str, position: str, digest: str = _NOBODY) -> bool:
        """Whether it is not believed because somebody named it, and not only because somebody may have: then what its
        server says of it is worth nothing (`ETag`).
        """
        seq = self._seq_of(position)
        return seq < self._all or any(
            seq < named.seq and (seq < named.since or digest != named.digest) for named in self._of(key)
        )

    def _seq_of(self, position: str) -> int:
        identity, _, number = position.rpartition(":")
        return int(number) if identity and identity == self.identity else 0

    def _of(self, key: str) -> list[_Named]:
        """What named the record: for its token, and for all."""
        _, token, origin = key.split("/")
        found = (self._named.get(f"{token}/{origin}"), self._named.get(f"/{origin}"))
        return [named for named in found if named is not None]
