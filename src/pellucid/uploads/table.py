"""The rows of uploads: reserve before the bytes come, finish when they are there. SQL only; each function is the work
of one transaction (`Database.run`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pellucid.database.locks import Lock, lock
from pellucid.database.tables import uploads
from pellucid.errors import BusyError, UploadLimitError
from pellucid.spec import Token

_MOST = 100_000
"""Uploads kept of all: a picture may have 67 bytes, and a network many clients."""

_RETRY_MAX_S = 3600
"""The longest wait that is proposed to who comes when the total is reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """Bytes and seconds. `per_client` and `per_client_bytes` are what is kept of one client, `total_bytes` of all."""

    max_bytes: int
    timeout_s: float
    keep_s: float
    per_client: int
    per_client_bytes: int
    total_bytes: int

    @property
    def largest(self) -> int:
        """Bytes of the largest upload that could ever be taken."""
        return min(self.max_bytes, self.per_client_bytes, self.total_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A row. While it is being received `digest` is '', `name` has no extension, and `size_bytes` are reserved.
    Moments are seconds since the epoch.
    """

    name: str
    place: str
    client: str
    token: Token
    secret_hash: str
    digest: str
    shared: bool
    size_bytes: int
    created_at: float
    expires_at: float


def reserve(db: sa.Connection, upload: Upload, *, limits: UploadLimits) -> None:
    """Add the row of an upload that is about to be received. What has expired counts until it is swept: its bytes are
    on the disk still. Raises UploadLimitError, BusyError.
    """
    lock(db, Lock.UPLOADS)
    count, kept_bytes, first = _sums(db, uploads.c.place == upload.place, uploads.c.client == upload.client)
    if count >= limits.per_client or kept_bytes + upload.size_bytes > limits.per_client_bytes:
        raise UploadLimitError(
            f"{count} uploads of {kept_bytes} bytes are kept of this client, at most {limits.per_client} of "
            f"{limits.per_client_bytes}; delete some, or come back when they have expired",
            retry_after_s=max(1, math.ceil(first - upload.created_at)),
        )
    count, kept_bytes, first = _sums(db, uploads.c.place == upload.place)
    if kept_bytes + upload.size_bytes > limits.total_bytes or count >= _MOST:
        wait_s = min(_RETRY_MAX_S, max(1, math.ceil(first - upload.created_at)))
        raise BusyError("there is no room for further uploads", retry_after_s=wait_s)
    db.execute(uploads.insert().values(**{name: getattr(upload, name) for name in upload.__slots__}))


def finish(
    db: sa.Connection, reserved: str, *, name: str, digest: str, shared: bool, size_bytes: int, expires_at: float
) -> bool:
    """Make the reserved row that of a picture that is there; False when its reservation has ended. `shared` says that
    the store holds the bytes already, which counts only if no upload brought them there.
    """
    brought = sa.exists().where(uploads.c.digest == digest, sa.not_(uploads.c.shared))
    if shared and db.scalar(sa.select(brought)):
        shared = False
    done = db.execute(
        uploads.update()
        .where(uploads.c.name == reserved)
        .values(name=name, digest=digest, shared=shared, size_bytes=size_bytes, expires_at=expires_at)
    )
    return done.rowcount == 1


def find(db: sa.Connection, name: str, *, place: str, now: float) -> Upload | None:
    """The upload of that name that lives."""
    living = (uploads.c.name == name, uploads.c.place == place, uploads.c.digest != "", uploads.c.expires_at > now)
    found = _read(db, sa.select(uploads).where(*living))
    return found[0] if found else None


def expire(db: sa.Connection, name: str) -> None:
    """From now on it counts as expired: who is interrupted while deleting it leaves the rest to the sweep."""
    db.execute(uploads.update().where(uploads.c.name == name).values(expires_at=0.0))


def drop(db: sa.Connection, names: Iterable[str]) -> None:
    """Remove the rows."""
    db.execute(uploads.delete().where(uploads.c.name.in_(list(names))))


def expired(db: sa.Connection, *, place: str, now: float, at_most: int) -> list[Upload]:
    """Those of one place that are to be deleted."""
    due = (uploads.c.place == place, uploads.c.expires_at <= now)
    return _read(db, sa.select(uploads).where(*due).limit(at_most))


def forget_lost(db: sa.Connection, *, place: str, before: float) -> None:
    """Remove rows of other places that expired before that moment: nobody is there to delete them."""
    db.execute(uploads.delete().where(uploads.c.place != place, uploads.c.expires_at < before))


def next_expiry(db: sa.Connection, *, place: str) -> float | None:
    """When the next one of a place expires; None for none."""
    return db.scalar(sa.select(sa.func.min(uploads.c.expires_at)).where(uploads.c.place == place))


def with_bytes(db: sa.Connection, digest: str, *, now: float) -> bool:
    """Whether an upload that lives has these bytes."""
    return bool(db.scalar(sa.select(sa.exists().where(uploads.c.digest == digest, uploads.c.expires_at > now))))


def known(db: sa.Connection, names: Sequence[str], *, now: float) -> set[str]:
    """Which of these names have a row that lives."""
    living = (uploads.c.name.in_(names), uploads.c.expires_at > now)
    return set(db.scalars(sa.select(uploads.c.name).where(*living)))


def page(db: sa.Connection, *, place: str, after: str, at_most: int) -> list[Upload]:
    """Those of one place that were received, by name, behind `after`."""
    those = (uploads.c.place == place, uploads.c.digest != "", uploads.c.name > after)
    return _read(db, sa.select(uploads).where(*those).order_by(uploads.c.name).limit(at_most))


def _read(db: sa.Connection, select: sa.Select[tuple[object, ...]]) -> list[Upload]:
    return [Upload(**row) for row in db.execute(select).mappings()]


def _sums(db: sa.Connection, *those: sa.ColumnElement[bool]) -> tuple[int, int, float]:
    """How many rows, their bytes, and when the first of them expires."""
    sums = sa.select(
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(uploads.c.size_bytes), 0),
        sa.func.coalesce(sa.func.min(uploads.c.expires_at), 0.0),
    ).where(*those)
    count, kept_bytes, first = db.execute(sums).one()
    return int(count), int(kept_bytes), float(first)
