"""Telling a CDN that origins were invalidated."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.notify.cdn import CdnApi
from pellucid.queue.port import DeliveryKind, Outbox


class CdnPurger:
    """Owes a CDN the purges of what it may hold; a `Sender` sends them. Without an `api` there is no CDN to tell."""

    def __init__(self, outbox: Outbox, *, api: CdnApi | None) -> None:
        self._outbox = outbox
        self._api = api

    async def purge(self, tags: Sequence[str], paths: Sequence[str]) -> None:
        """Have everything purged that carries one of the cache tags, or lies at one of the paths (with query, as this
        server is asked for it): which of the two, the API's URL says. On return nothing of it can be lost.

        Raises QueueError.
        """
        orders = () if self._api is None or not (tags or paths) else self._api.orders(tags, paths)
        if orders:
            await self._outbox.add_deliveries(DeliveryKind.CDN, orders)
