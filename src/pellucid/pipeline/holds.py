"""Holds whose job has ended without a word to the ledger: charged or dropped, as the store says."""

from __future__ import annotations

import structlog

from pellucid.errors import StoreError
from pellucid.ledger.ledger import Ledger
from pellucid.mattes import Mattes
from pellucid.queue.port import Owed, Queue

_log = structlog.get_logger(__name__)

_OLD_S = 120.0
"""A hold that nobody renewed for so long is looked at: its job waits, or failed, or a process died on the last step."""

_AT_A_TIME = 500


async def settle_forgotten_holds(ledger: Ledger, *, queue: Queue, mattes: Mattes) -> int:
    """Look at old holds; returns how many were settled. Any number of processes may do it at the same time. Raises
    DatabaseError, QueueError.
    """
    settled = 0
    for hold in await ledger.holds_older_than(_OLD_S, limit=_AT_A_TIME):
        if isinstance(await queue.look(hold.job), Owed):
            continue
        try:
            header = await mattes.header(hold.job)
        except StoreError as error:
            # It stays held, and the others are not held up by it.
            _log.warning("hold not settled", token=hold.claim.token, job=hold.job, error=str(error))
            continue
        if header is not None and not header.empty:
            await ledger.charge(hold.claim)
        else:
            await ledger.release(hold.claim, held_at=hold.held_at)
        settled += 1
        _log.info("hold settled", token=hold.claim.token, job=hold.job, charged=header is not None and not header.empty)
    return settled
