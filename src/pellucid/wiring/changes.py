"""Origins that changed by themselves: found when they were asked again, told to other processes and to the CDN."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict

import structlog

from pellucid import keys
from pellucid.errors import QueueError
from pellucid.notify.purge import CdnPurger
from pellucid.purges import Purge, Purges
from pellucid.spec import OriginRef, Token

_log = structlog.get_logger(__name__)

_WAITING = 1000
"""Changes that wait to be told. Origins that change each time they are asked are not to fill the queue of messages."""

_BATCH = 100
"""Told at a time; a batch takes as long as other processes take to hear of it, a second or so."""

_TROUBLE_S = 5.0


class ChangedOrigins:
    """Tells what `/-/invalidate` tells, for origins whose servers sent other bytes than before: every process drops
    what it holds of them, and then the CDN does, or it would fetch the old pictures again.

    Which pictures a CDN has of an origin only the CDN knows: it is told the cache tag, and nothing where it is purged
    by URL. `heard_s` is how long other processes take to hear of a change.
    """

    def __init__(self, purges: Purges, purger: CdnPurger, *, heard_s: float) -> None:
        self._purges = purges
        self._purger = purger
        self._heard_s = heard_s
        self._waiting: OrderedDict[tuple[Token, OriginRef], float] = OrderedDict()
        self._any = asyncio.Event()

    def add(self, token: Token, ref: OriginRef, asked_at: float) -> None:
        """The origin holds other bytes; its server was asked at `asked_at`, in seconds since the epoch."""
        if (token, ref) not in self._waiting and len(self._waiting) >= _WAITING:
            _log.warning("a changed origin is not told to the CDN: too many change", origin=str(ref))
            return
        self._waiting[token, ref] = asked_at
        self._any.set()

    async def run(self) -> None:
        """Tell changes as they come. Never returns."""
        while True:
            await self._any.wait()
            batch = dict(list(self._waiting.items())[:_BATCH])
            try:
                await self._tell(batch)
            except (OSError, QueueError) as error:
                _log.error("changed origins cannot be told", error=str(error))
                await asyncio.sleep(_TROUBLE_S)
                continue
            for each, asked_at in batch.items():
                if self._waiting[each] == asked_at:
                    del self._waiting[each]
            if not self._waiting:
                self._any.clear()

    async def _tell(self, batch: dict[tuple[Token, OriginRef], float]) -> None:
        # Just before the question was put: what it brought is believed by everybody, what was asked earlier by nobody.
        told = [
            Purge(record_key=keys.origin_record_key(token, ref), at=math.nextafter(asked_at, 0))
            for (token, ref), asked_at in batch.items()
        ]
        await asyncio.to_thread(self._purges.tell, told)
        await asyncio.sleep(self._heard_s)
        await self._purger.purge([keys.origin_tag(token, ref) for token, ref in batch], ())
