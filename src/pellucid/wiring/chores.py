"""What a web process does beside answering: eviction, accounts, uploads that expire, messages to the outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog

from pellucid.errors import PellucidError
from pellucid.ledger.ledger import Ledger
from pellucid.mattes import Mattes
from pellucid.notify.sender import Sender
from pellucid.pipeline.holds import settle_forgotten_holds
from pellucid.queue.port import Queue
from pellucid.store.bounded import BoundedBlobs
from pellucid.uploads.shelf import Forgetter, Shelf

_log = structlog.get_logger(__name__)

_HOUSEKEEPING_S = 30.0
_SWEEP_MIN_S = 0.5
_AUDIT_S = 600.0
"""Between two looks at all uploads and their files; a killed process may have left one without the other."""


async def sweep_uploads(shelf: Shelf, forgetter: Forgetter) -> None:
    """Delete uploads when they expire, within a second or so; all of them are looked at now and then."""
    longest_s = min(_HOUSEKEEPING_S, shelf.limits.keep_s)
    audited_at: float | None = None
    while True:
        pause_s = longest_s
        try:
            await shelf.sweep(forgetter)
            if audited_at is None or time.monotonic() > audited_at + _AUDIT_S:
                await shelf.audit(forgetter)
                audited_at = time.monotonic()
            due_at = await shelf.next_expiry()
            if due_at is not None:
                pause_s = max(_SWEEP_MIN_S, min(longest_s, due_at - time.time()))
        except PellucidError as error:
            _log.error("uploads not swept", error=str(error))
        await asyncio.sleep(pause_s)


async def keep_house(cache: BoundedBlobs) -> None:
    """Keep the cache within its bounds."""
    work = cache.reconcile
    while True:
        try:
            await work()
        except PellucidError as error:
            _log.error("housekeeping failed", error=str(error))
        await asyncio.sleep(_HOUSEKEEPING_S)
        work = cache.evict


async def keep_accounts(ledger: Ledger, queue: Queue, mattes: Mattes) -> None:
    """Settle holds that no worker settled."""
    while True:
        await asyncio.sleep(_HOUSEKEEPING_S)
        try:
            await settle_forgotten_holds(ledger, queue=queue, mattes=mattes)
        except PellucidError as error:
            _log.error("accounts not kept", error=str(error))


@asynccontextmanager
async def sending(sender: Sender) -> AsyncGenerator[None, None]:
    """`sender` at work for the length of the block."""
    stop = asyncio.Event()
    task = asyncio.create_task(sender.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task
