"""Pure: the invalidations that a process has read, and which records of origins are valid after them. Sequence numbers
decide, so clocks that are set or differ do not matter.
"""

from __future__ import annotations

from typing import NamedTuple

_MAX_ORIGINS = 100_000
"""Invalidated origins in memory, 0.2 to 0.3 kB each: as many as the database keeps rows."""

_NO_DIGEST = ""


class _Invalidated(NamedTuple):
    """The last invalidation of an origin."""

    seq: int
    since: int
    """A record with `digest` is valid if its process had read this number when the fetch started."""
    digest: str


class Validity:
    """Decides which records are valid. A record carries the `position` of its process in the log, from the moment when
    its fetch started. It is valid if this process has read no later invalidation of its origin.

    Why every invalidation that this process has read ends the records that it should end:

    1. Numbers become visible in order, so a process that has read one has read all below it. `position` names the last
       number, and the database.
    2. A record's position was taken before its fetch. An invalidation that had a number by then was appended before the
       fetch, which therefore got the bytes after the change.
    3. An invalidation that got its number later is greater than the record's position, whichever process stores the
       record and when.
    4. Every invalidation that was read is in `_invalidated`, or in `_all`, or not above `_floor`. The floor starts at
       the last number that the database has deleted, and rises to the last that was dropped from memory. A record from
       below it is not valid.
    5. Numbers of different databases are not compared: a record of another database is not valid.

    Before the first read (the database is unavailable) every record is valid, and fetches get the lowest position.
    """

    def __init__(self) -> None:
        self.identity: str | None = None
        self.seq = 0
        self._started_after = 0
        self._floor = 0
        self._all = 0
        self._invalidated: dict[str, _Invalidated] = {}  # the lowest number first

    @property
    def position(self) -> str:
        """How far this process has read the log. Stored in the records of fetches that start from now on."""
        return "" if self.identity is None else f"{self.identity}:{self.seq}"

    def reset(self, identity: str, *, after: int) -> None:
        """Start anew with the database `identity`. Its invalidations up to the number `after` are unknown."""
        self.identity = identity
        self.seq = self._floor = self._started_after = after
        self._all = 0
        self._invalidated.clear()

    def apply(self, seq: int, *, token: str, origin: str, digest: str) -> None:
        """Apply number `seq`, greater than all before it, which invalidates an origin of a token ('' for all). With a
        `digest`, the origin has these bytes now: only records with other bytes become invalid.
        """
        self.seq = seq
        if not origin:
            self._all = seq
            return
        name = f"{token}/{origin}"
        before = self._invalidated.pop(name, None)
        since = seq
        if digest and before is None:
            since = 0
        elif digest and before is not None:
            # Two processes found different bytes, and the one that appended last may have fetched first. Its records
            # are valid only if it had read the other invalidation before the fetch.
            since = before.since if digest == before.digest else before.seq
        self._invalidated[name] = _Invalidated(seq, since, digest)
        if len(self._invalidated) > _MAX_ORIGINS:
            oldest = next(iter(self._invalidated))
            self._floor = max(self._floor, self._invalidated.pop(oldest).seq)

    def skip(self, seq: int) -> None:
        """Skip number `seq`, which does not concern this process."""
        self.seq = seq

    def generation_of(self, key: str) -> str:
        """A value that differs from an earlier one if the record `key` (`keys.origin_record_key`) was invalidated
        meanwhile.
        """
        last = max([self._started_after, self._all, *(named.seq for named in self._of(key))])
        return f"{self.identity}:{last}"

    def is_valid(self, key: str, position: str, digest: str = _NO_DIGEST) -> bool:
        """Whether a record of `key` with these bytes is valid, whose fetch started at `position`."""
        if self.identity is None:
            return True
        if not position.startswith(f"{self.identity}:") and position:
            return False
        return self._seq_of(position) >= self._floor and not self.is_invalidated(key, position, digest)

    def is_invalidated(self, key: str, position: str, digest: str = _NO_DIGEST) -> bool:
        """Whether an invalidation that was read names the record. False if it is only invalid because invalidations may
        have been missed. The validators (`ETag`) of an invalidated record must not be used.
        """
        seq = self._seq_of(position)
        return seq < self._all or any(
            seq < named.seq and (seq < named.since or digest != named.digest) for named in self._of(key)
        )

    def _seq_of(self, position: str) -> int:
        identity, _, number = position.rpartition(":")
        return int(number) if identity and identity == self.identity else 0

    def _of(self, key: str) -> list[_Invalidated]:
        """The invalidations of the record, for its token and for all."""
        _, token, origin = key.split("/")
        found = (self._invalidated.get(f"{token}/{origin}"), self._invalidated.get(f"/{origin}"))
        return [named for named in found if named is not None]
