"""CDN purges of invalidated origins."""

from __future__ import annotations

from collections.abc import Sequence

from pellucid.notify.cdn import CdnApi
from pellucid.queue.outbox import Outbox
from pellucid.queue.values import DeliveryKind


class CdnPurger:
    """Adds purges to the outbox, from which a `Sender` sends them. Without an `api` it does nothing.

    With `again_s` each purge is sent twice, the second time that much later: a response that was in the making when its
    origin was invalidated may reach the CDN after the first purge.
    """

    def __init__(self, outbox: Outbox, *, api: CdnApi | None, again_s: float | None) -> None:
        self._outbox = outbox
        self._api = api
        self._again_s = again_s

    async def purge(self, tags: Sequence[str], paths: Sequence[str]) -> None:
        """Purge everything with one of the cache tags, or at one of the paths (with query, as in requests to this
        server). The API's URL decides which of the two. On return the purges are stored, so that none can be lost.

        Raises DatabaseError.
        """
        batches = () if self._api is None or not (tags or paths) else self._api.batches(tags, paths)
        if batches:
            await self._outbox.add_deliveries(DeliveryKind.CDN, batches)
            if self._again_s is not None:
                await self._outbox.add_deliveries(DeliveryKind.CDN, batches, delay_s=self._again_s)
