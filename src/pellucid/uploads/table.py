"""The SQL of uploads. A row is reserved before its bytes are received, and finished after. Each function is the work of
one transaction (`Database.run`).
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

_MAX_UPLOADS = 100_000
"""Number of all uploads: an image may have 67 bytes, and there may be many clients."""

_RETRY_MAX_S = 3600
"""Longest wait that the response proposes when the total is reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """Limits of uploads."""

    max_bytes: int
    """Size of one upload."""
    timeout_s: float
    """Time for receiving one."""
    keep_s: float
    """Time until it expires."""
    per_client: int
    """Uploads of one client."""
    per_client_bytes: int
    """Their bytes."""
    total_bytes: int
    """Bytes of all uploads."""

    @property
    def largest(self) -> int:
        """Bytes of the largest upload that the limits allow."""
        return min(self.max_bytes, self.per_client_bytes, self.total_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A row of `uploads`; `database.tables` documents the columns. Times are seconds since the epoch."""

    name: str
    """Without its extension while the upload is being received."""
    place: str
    client: str
    token: Token
    secret_hash: str
    digest: str
    """'' while the upload is being received."""
    shared: bool
    size_bytes: int
    """Reserved bytes while the upload is being received."""
    created_at: float
    expires_at: float


def reserve(db: sa.Connection, upload: Upload, *, limits: UploadLimits) -> None:
    """Insert the row of an upload that is about to be received. Expired uploads count until they are swept, because
    their bytes are still on the disk. Raises UploadLimitError, BusyError.
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
    if kept_bytes + upload.size_bytes > limits.total_bytes or count >= _MAX_UPLOADS:
        wait_s = min(_RETRY_MAX_S, max(1, math.ceil(first - upload.created_at)))
        raise BusyError("there is no room for further uploads", retry_after_s=wait_s)
    db.execute(uploads.insert().values(**{name: getattr(upload, name) for name in upload.__slots__}))


def finish(
    db: sa.Connection, reserved: str, *, name: str, digest: str, shared: bool, size_bytes: int, expires_at: float
) -> bool:
    """Finish a reserved row; False if its reservation has ended. `shared` says that the store has the bytes already,
    which counts only if no other upload stored them.
    """
    by_upload = sa.exists().where(uploads.c.digest == digest, sa.not_(uploads.c.shared))
    if shared and db.scalar(sa.select(by_upload)):
        shared = False
    done = db.execute(
        uploads.update()
        .where(uploads.c.name == reserved)
        .values(name=name, digest=digest, shared=shared, size_bytes=size_bytes, expires_at=expires_at)
    )
    return done.rowcount == 1


def find(db: sa.Connection, name: str, *, place: str, now: float) -> Upload | None:
    """The completed upload of that name; None if there is none or it has expired."""
    current = (uploads.c.name == name, uploads.c.place == place, uploads.c.digest != "", uploads.c.expires_at > now)
    found = _read(db, sa.select(uploads).where(*current))
    return found[0] if found else None


def expire(db: sa.Connection, name: str) -> None:
    """Mark an upload as expired, so that a sweep completes an interrupted deletion."""
    db.execute(uploads.update().where(uploads.c.name == name).values(expires_at=0.0))


def drop(db: sa.Connection, names: Iterable[str]) -> None:
    """Delete rows."""
    db.execute(uploads.delete().where(uploads.c.name.in_(list(names))))


def expired(db: sa.Connection, *, place: str, now: float, limit: int) -> list[Upload]:
    """The expired uploads of one data directory."""
    due = (uploads.c.place == place, uploads.c.expires_at <= now)
    return _read(db, sa.select(uploads).where(*due).limit(limit))


def drop_lost(db: sa.Connection, *, place: str, before: float) -> None:
    """Delete rows of other data directories that expired before that time: no process is left to delete them."""
    db.execute(uploads.delete().where(uploads.c.place != place, uploads.c.expires_at < before))


def next_expiry(db: sa.Connection, *, place: str) -> float | None:
    """Time of the next expiry in a data directory; None for none."""
    return db.scalar(sa.select(sa.func.min(uploads.c.expires_at)).where(uploads.c.place == place))


def with_bytes(db: sa.Connection, digest: str, *, now: float) -> bool:
    """Whether an unexpired upload has these bytes."""
    return bool(db.scalar(sa.select(sa.exists().where(uploads.c.digest == digest, uploads.c.expires_at > now))))


def known(db: sa.Connection, names: Sequence[str], *, now: float) -> set[str]:
    """Those of the names that have an unexpired row."""
    current = (uploads.c.name.in_(names), uploads.c.expires_at > now)
    return set(db.scalars(sa.select(uploads.c.name).where(*current)))


def page(db: sa.Connection, *, place: str, after: str, limit: int) -> list[Upload]:
    """The completed uploads of one data directory with names after `after`, by name."""
    rest = (uploads.c.place == place, uploads.c.digest != "", uploads.c.name > after)
    return _read(db, sa.select(uploads).where(*rest).order_by(uploads.c.name).limit(limit))


def _read(db: sa.Connection, select: sa.Select[tuple[object, ...]]) -> list[Upload]:
    return [Upload(**row) for row in db.execute(select).mappings()]


def _sums(db: sa.Connection, *where: sa.ColumnElement[bool]) -> tuple[int, int, float]:
    """Number of rows, their bytes, and the time of the first expiry."""
    sums = sa.select(
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(uploads.c.size_bytes), 0),
        sa.func.coalesce(sa.func.min(uploads.c.expires_at), 0.0),
    ).where(*where)
    count, kept_bytes, first = db.execute(sums).one()
    return int(count), int(kept_bytes), float(first)
