"""What every process of one server shares: the folder's layout, the store, the queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from pellucid import keys
from pellucid.database.database import Database, file_url
from pellucid.errors import DatabaseBusyError, QueueBusyError, StoreError
from pellucid.queue.outbox import DeliveryRules
from pellucid.queue.sqlite import SqliteQueue
from pellucid.settings.model import SettingsTree
from pellucid.store.objects import ObjectBlobs
from pellucid.uploads.secret import folder_secret

_log = structlog.get_logger(__name__)

START_S = 60.0
"""How long the processes of a server wait at their start for a file that another process keeps locked."""

_RETRY_S = 0.25

OpenedT = TypeVar("OpenedT")

_BUSY_S = 2.0
"""How long another process's write to the queue is waited for. Writes take milliseconds; a backup that holds the file
longer makes answers `busy`, not slow.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where things lie below the data directory."""

    store: Path
    queue: Path
    cache_index: Path
    compiled: Path
    samples: Path
    purges: Path
    uploads: Path
    receiving: Path
    instance: Path

    @classmethod
    def below(cls, data_dir: Path) -> Paths:
        return cls(
            store=data_dir / "store",
            queue=data_dir / "queue" / "jobs.sqlite",
            cache_index=data_dir / "cache.sqlite",
            compiled=data_dir / "compiled",
            samples=data_dir / "samples",
            purges=data_dir / "purges.jsonl",
            uploads=data_dir / "uploads",
            receiving=data_dir / "receiving",
            instance=data_dir / "instance",
        )


def open_blobs(settings: SettingsTree) -> ObjectBlobs:
    """The store. Raises StoreError when its folder cannot be used."""
    return ObjectBlobs.local(Paths.below(settings.data_dir).store)


def instance_name(paths: Paths) -> str:
    """The name of this server in the headers of its requests: made up once, and shared by all that use the folder.
    Blocking. Raises StoreError.
    """
    try:
        paths.instance.parent.mkdir(parents=True, exist_ok=True)
        return f"pellucid-{keys.digest(folder_secret(paths.instance))[:12]}"
    except OSError as error:
        raise StoreError(f"{paths.instance} cannot be written: {error.strerror}") from error


@asynccontextmanager
async def open_queue(settings: SettingsTree, *, timeout_s: float = 0) -> AsyncGenerator[SqliteQueue, None]:
    """The queue. A locked file is waited for up to `timeout_s`. Raises QueueError when it cannot be used."""
    opening = partial(
        SqliteQueue.open,
        path=Paths.below(settings.data_dir).queue,
        depth_limit=settings.queue.depth,
        max_attempts=settings.queue.max_attempts,
        lease_s=settings.queue.lease_s,
        busy_timeout_s=_BUSY_S,
        delivery_rules=DeliveryRules(
            max_attempts=settings.notify.max_attempts,
            backoff_s=settings.notify.backoff_s,
            backoff_max_s=settings.notify.backoff_max_s,
        ),
    )
    queue = await _when_free(opening, timeout_s)
    try:
        yield queue
    finally:
        await queue.aclose()


@asynccontextmanager
async def open_database(settings: SettingsTree, *, timeout_s: float = 0) -> AsyncGenerator[Database, None]:
    """The database of charges and uploads, to be opened after the queue, whose file it shares unless a URL is set. A
    locked file is waited for up to `timeout_s`. Raises DatabaseError, SettingsError.
    """
    url = settings.credits.url.get_secret_value() or file_url(Paths.below(settings.data_dir).queue)
    database = await _when_free(partial(Database.open, url, busy_timeout_s=_BUSY_S), timeout_s)
    try:
        yield database
    finally:
        await database.aclose()


async def _when_free(opening: Callable[[], Awaitable[OpenedT]], timeout_s: float) -> OpenedT:
    """The result of `opening`, tried again for `timeout_s` while another process keeps the file locked."""
    deadline = time.monotonic() + timeout_s
    told = False
    while True:
        try:
            return await opening()
        except (QueueBusyError, DatabaseBusyError) as error:
            if time.monotonic() >= deadline:
                raise
            if not told:
                _log.warning("waiting for a file that is locked", error=str(error), up_to_s=timeout_s)
                told = True
        await asyncio.sleep(_RETRY_S)
