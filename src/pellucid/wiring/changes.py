"""Origins that changed by themselves: found when they were asked again, told to other processes and to the CDN."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from pellucid.concurrency.clients import Client
from pellucid.errors import DatabaseError
from pellucid.invalidation.log import Invalidation, InvalidationLog
from pellucid.notify.purge import CdnPurger
from pellucid.spec import OriginRef, Token
from pellucid.store import keys

_log = structlog.get_logger(__name__)

_WAITING = 1000
"""Changes that wait to be told. Origins that change each time they are asked are not to fill the queue of messages."""

_OF_CLIENT = 100
"""Those among them that one client's requests found."""

_BATCH = 100
"""Told at a time; a batch takes as long as other processes take to hear of it, a second or so."""

_RETRY_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    digest: str
    client: Client


class ChangedOrigins:
    """Tells what `/-/invalidate` tells, for origins whose servers sent other bytes than before: every process drops
    what it holds of them, and then the CDN does, or it would fetch the old pictures again.

    Which pictures a CDN has of an origin only the CDN knows: it is told the cache tag, and nothing where it is purged
    by URL. `propagation_s` is how long other processes take to hear of a change. Those that share the `store` are told:
    machines with folders of their own, sent other bytes each time, would have each other ask without end.
    """

    def __init__(
        self, invalidations: InvalidationLog, purger: CdnPurger, *, store: str = "", propagation_s: float
    ) -> None:
        self._invalidations = invalidations
        self._purger = purger
        self._store = store
        self._propagation_s = propagation_s
        self._waiting: OrderedDict[tuple[Token, OriginRef], _Change] = OrderedDict()
        self._of_client: Counter[Client] = Counter()
        self._any = asyncio.Event()

    def add(self, token: Token, ref: OriginRef, digest: str, client: Client) -> None:
        """The origin holds other bytes, those of `digest`, as was found on behalf of `client`."""
        known = self._waiting.get((token, ref))
        if known is None:
            if len(self._waiting) >= _WAITING or self._of_client[client] >= _OF_CLIENT:
                _log.warning("a changed origin is not told to the CDN: too many change", origin=str(ref))
                return
            self._of_client[client] += 1
        self._waiting[token, ref] = _Change(digest=digest, client=client if known is None else known.client)
        self._any.set()

    async def run(self) -> None:
        """Tell changes as they come. Never returns."""
        while True:
            await self._any.wait()
            batch = dict(list(self._waiting.items())[:_BATCH])
            try:
                await self._publish(batch, propagation_s=self._propagation_s)
            except DatabaseError as error:
                _log.error("changed origins cannot be told", error=str(error))
                await asyncio.sleep(_RETRY_PAUSE_S)
                continue
            self._remove(batch)
            if not self._waiting:
                self._any.clear()

    async def aclose(self) -> None:
        """Tell what is left, after `run` has been cancelled: nobody will notice these changes again. The CDN is told
        before all others have heard of them, and once more later (`CdnPurger`).
        """
        try:
            await self._publish(self._waiting, propagation_s=0)
        except DatabaseError as error:
            _log.error("changed origins cannot be told", error=str(error), origins=len(self._waiting))

    def _remove(self, told: Mapping[tuple[Token, OriginRef], _Change]) -> None:
        for each, change in told.items():
            if self._waiting[each] == change:  # not changed again meanwhile
                del self._waiting[each]
                self._of_client[change.client] -= 1
                if not self._of_client[change.client]:
                    del self._of_client[change.client]

    async def _publish(self, batch: Mapping[tuple[Token, OriginRef], _Change], *, propagation_s: float) -> None:
        if not batch:
            return
        # Who knows the new bytes is believed by everybody, who knows others by nobody.
        told = [
            Invalidation(origin=keys.origin_digest_of(ref), token=token, digest=change.digest, store=self._store)
            for (token, ref), change in batch.items()
        ]
        await self._invalidations.append(told)
        await asyncio.sleep(propagation_s)
        await self._purger.purge([keys.origin_tag(token, ref) for token, ref in batch], ())
