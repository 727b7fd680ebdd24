"""What a web process does beside answering: eviction, the queue, mattes, expiring uploads, messages to the outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from pellucid.errors import PellucidError
from pellucid.mattes.catalogue import Catalogue
from pellucid.notify.sender import Sender
from pellucid.queue.queue import Queue
from pellucid.store.bounded import BoundedBlobs
from pellucid.uploads.store import UploadInvalidator, UploadStore

_log = structlog.get_logger(__name__)

_HOUSEKEEPING_S = 30.0
_SWEEP_MIN_S = 0.5
_RETRY_PAUSE_S = 5.0
_AUDIT_S = 600.0
"""Between two looks at all uploads and their files; a killed process may have left one without the other."""


async def restarting(task: Callable[[], Awaitable[None]]) -> None:
    """`task` without end: what it did not expect is logged, and it begins again."""
    while True:
        try:
            await task()
        except Exception:  # the edge: nobody waits for this task
            _log.exception("unexpected error")
        await asyncio.sleep(_RETRY_PAUSE_S)


async def run_upload_expiry(upload_store: UploadStore, invalidator: UploadInvalidator) -> None:
    """Delete uploads when they expire, within a second or so; all of them are looked at now and then."""
    longest_s = min(_HOUSEKEEPING_S, upload_store.limits.keep_s)
    audited_at: float | None = None
    while True:
        pause_s = longest_s
        try:
            await upload_store.sweep(invalidator)
            if audited_at is None or time.monotonic() > audited_at + _AUDIT_S:
                await upload_store.audit(invalidator)
                audited_at = time.monotonic()
            due_at = await upload_store.next_expiry()
            if due_at is not None:
                pause_s = max(_SWEEP_MIN_S, min(longest_s, due_at - time.time()))
        except PellucidError as error:
            _log.error("uploads not swept", error=str(error))
        await asyncio.sleep(pause_s)


async def run_eviction(cache: BoundedBlobs) -> None:
    """Keep the cache within its bounds."""
    work = cache.reconcile
    while True:
        try:
            await work()
        except PellucidError as error:
            _log.error("housekeeping failed", error=str(error))
        await asyncio.sleep(_HOUSEKEEPING_S)
        work = cache.evict


async def run_queue_upkeep(queue: Queue) -> None:
    """Have done again what dead workers had in hand, and owe no more what waited too long."""
    expired_at: float | None = None
    while True:
        try:
            expires = expired_at is None or time.monotonic() > expired_at + _HOUSEKEEPING_S
            await queue.sweep(leases=expires)
            if expires:
                expired_at = time.monotonic()
                await queue.expire()
        except (PellucidError, OSError) as error:
            _log.error("queue not kept", error=str(error))
            await asyncio.sleep(_RETRY_PAUSE_S)
        await asyncio.sleep(_SWEEP_MIN_S)


async def run_matte_upkeep(catalogue: Catalogue, take_uses: Callable[[], set[str]], *, warn_bytes: int) -> None:
    """Have the database know every matte in the store, and when each was used; warn when they become many."""
    warned = False
    looked_at: float | None = None
    uses: set[str] = set()
    while True:
        try:
            await catalogue.adopt_all()
            uses = uses or take_uses()  # not both: what cannot be written down would grow
            await catalogue.note_uses(uses)
            uses = set()
            if warn_bytes and (looked_at is None or time.monotonic() > looked_at + _AUDIT_S):
                looked_at = time.monotonic()
                total = await catalogue.total_bytes()
                if total > warn_bytes and not warned:
                    _log.warning(
                        "mattes take much room; `pellucid mattes prune` removes some", bytes=total, allowed=warn_bytes
                    )
                warned = total > warn_bytes
        except PellucidError as error:
            _log.error("mattes not kept", error=str(error))
        await asyncio.sleep(_HOUSEKEEPING_S)


@asynccontextmanager
async def run_sender(sender: Sender) -> AsyncGenerator[None, None]:
    """`sender` at work for the length of the block."""
    stop = asyncio.Event()
    task = asyncio.create_task(sender.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task
