"""Telling a CDN that origins were invalidated."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.notify.cdn import CdnApi
from pellucid.queue.outbox import Outbox
from pellucid.queue.values import DeliveryKind


class CdnPurger:
    """Owes a CDN the purges of what it may hold; a `Sender` sends them. Without an `api` there is no CDN to tell.

    With `again_s` each is owed twice, the second so much later: an answer that was being made when its origin was
    invalidated may reach the CDN after the first.
    """

    def __init__(self, outbox: Outbox, *, api: CdnApi | None, again_s: float | None) -> None:
        self._outbox = outbox
        self._api = api
        self._again_s = again_s

    async def purge(self, tags: Sequence[str], paths: Sequence[str]) -> None:
        """Have everything purged that carries one of the cache tags, or lies at one of the paths (with query, as this
        server is asked for it): which of the two, the API's URL says. On return nothing of it can be lost.

        Raises DatabaseError.
        """
        batches = () if self._api is None or not (tags or paths) else self._api.batches(tags, paths)
        if batches:
            await self._outbox.add_deliveries(DeliveryKind.CDN, batches)
            if self._again_s is not None:
                await self._outbox.add_deliveries(DeliveryKind.CDN, batches, delay_s=self._again_s)
