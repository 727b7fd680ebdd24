"""What every process of one server shares: the store, the database and the queue in its folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from pellucid.cutout.recipe import tier_of
from pellucid.database.database import Database
from pellucid.database.engines import file_identity, file_url
from pellucid.database.old_files import OldFiles
from pellucid.database.takeover import take_over_files
from pellucid.errors import DatabaseAwayError, DatabaseBusyError, DatabaseError, SettingsError, StoreError
from pellucid.liveness.lock_files import LockFiles
from pellucid.mattes.catalogue import Catalogue
from pellucid.queue.outbox import DeliveryRules, Outbox
from pellucid.queue.queue import Queue
from pellucid.queue.turns import RetryPolicy
from pellucid.queue.worker_loop import WorkerLoop
from pellucid.settings.model import SettingsTree
from pellucid.store import keys
from pellucid.store.objects import ObjectBlobs
from pellucid.uploads.secret import folder_secret
from pellucid.wiring.accounts import ledger_of
from pellucid.wiring.paths import Paths

_log = structlog.get_logger(__name__)

START_S = 60.0
"""How long the processes of a server wait at their start for a file that another process keeps locked."""

_RETRY_S = 0.25

OpenedT = TypeVar("OpenedT")

_BUSY_S = 2.0
"""How long another process's write to the database is waited for. Writes take milliseconds; a backup that holds the
file longer makes answers `busy`, not slow.
"""


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


def store_name(paths: Paths) -> str:
    """The name of the folder of bytes in the database. Blocking. Raises StoreError."""
    return instance_name(paths).removeprefix("pellucid-")


@asynccontextmanager
async def open_database(settings: SettingsTree, *, upgrades: bool = True) -> AsyncGenerator[Database, None]:
    """The database. It is not asked for anything yet: that it is away shows when it is. Raises SettingsError."""
    url = settings.database.url.get_secret_value() or file_url(Paths.below(settings.data_dir).database)
    database = Database(url, busy_timeout_s=_BUSY_S, upgrades=upgrades)
    try:
        yield database
    finally:
        await database.aclose()


@asynccontextmanager
async def look_into_database(settings: SettingsTree) -> AsyncGenerator[Database, None]:
    """The database for a command that looks: nothing is made, upgraded or taken over. Raises SettingsError where no
    server ever ran, DatabaseError where there is something to do first.
    """
    paths = Paths.below(settings.data_dir)
    old = OldFiles(queue=paths.old_queue, invalidations=paths.old_invalidations)
    if old.is_pending:
        raise DatabaseError(
            f"what an older version left in {old.place} is not taken over yet: `pellucid db upgrade` does it, and so "
            "does the next start of a server"
        )
    async with open_database(settings, upgrades=False) as database:
        if database.is_sqlite and file_identity(Path(database.url.database or "")) is None:
            raise SettingsError(
                f"there is nothing to show yet: no server ran in {settings.data_dir}; if yours keeps its data "
                "elsewhere, name that folder with --data-dir"
            )
        yield database


async def prepare_database(settings: SettingsTree, *, timeout_s: float = START_S) -> str | None:
    """Bring the schema up to date, and take over what older versions left in the folder. A locked file is waited for.
    Returns why the database cannot be reached, where a server may start without it. Raises DatabaseError.
    """
    paths = Paths.below(settings.data_dir)
    old = OldFiles(queue=paths.old_queue, invalidations=paths.old_invalidations)
    async with open_database(settings) as database:
        try:
            await _when_free(database.migrate, timeout_s)
        except DatabaseAwayError as error:
            if old.is_pending:
                raise  # what is owed there would be forgotten for now
            return str(error)
        if old.is_pending:
            await _when_free(partial(_take_over, database, old, paths), timeout_s)
    return None


async def _take_over(database: Database, old: OldFiles, paths: Paths) -> None:
    store = await asyncio.to_thread(store_name, paths)
    counts = await take_over_files(database, old=old, store=store)
    _log.info("data of an older version taken over", **counts)


@asynccontextmanager
async def open_queue(settings: SettingsTree, database: Database) -> AsyncGenerator[Queue, None]:
    """The queue in `database`. Raises StoreError."""
    paths = Paths.below(settings.data_dir)
    queue = Queue(
        database,
        store=await asyncio.to_thread(store_name, paths),
        registry=LockFiles(paths.workers),
        ledger=ledger_of(settings),
        depth=settings.queue.depth,
        retry_policy=RetryPolicy(
            attempts=settings.queue.max_attempts,
            wait_s=settings.queue.wait_s,
            unserved_s=settings.queue.unserved_s,
        ),
        lease_s=settings.queue.lease_s,
    )
    try:
        yield queue
    finally:
        await queue.aclose()


@asynccontextmanager
async def open_worker_loop(settings: SettingsTree, database: Database) -> AsyncGenerator[WorkerLoop, None]:
    """Where workers work on the queue in `database`. Raises StoreError."""
    async with open_queue(settings, database) as queue:
        registry = LockFiles(Paths.below(settings.data_dir).workers)
        yield WorkerLoop(database, queue, registry, lease_s=settings.queue.lease_s)


@asynccontextmanager
async def open_catalogue(settings: SettingsTree) -> AsyncGenerator[Catalogue, None]:
    """The mattes, for a command. Raises DatabaseError, StoreError, SettingsError."""
    async with look_into_database(settings) as database:
        store = await asyncio.to_thread(store_name, Paths.below(settings.data_dir))
        yield Catalogue(database, open_blobs(settings), store=store, tier_of=tier_of)


def open_outbox(settings: SettingsTree, database: Database) -> Outbox:
    """The messages owed to the outside, in `database`."""
    notify = settings.notify
    rules = DeliveryRules(
        max_attempts=notify.max_attempts, backoff_s=notify.backoff_s, backoff_max_s=notify.backoff_max_s
    )
    return Outbox(database, rules=rules)


async def _when_free(opening: Callable[[], Awaitable[OpenedT]], timeout_s: float) -> OpenedT:
    """The result of `opening`, tried again for `timeout_s` while another process keeps the file locked."""
    deadline = time.monotonic() + timeout_s
    told = False
    while True:
        try:
            return await opening()
        except DatabaseBusyError as error:
            if time.monotonic() >= deadline:
                raise
            if not told:
                _log.warning("waiting for a file that is locked", error=str(error), up_to_s=timeout_s)
                told = True
        await asyncio.sleep(_RETRY_S)
