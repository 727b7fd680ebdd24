"""Insights of origins: from memory, the store, or a render process that looks."""

from __future__ import annotations

from functools import partial

import structlog
from cachetools import LRUCache

from pellucid.concurrency.clients import SERVER, Client
from pellucid.concurrency.single_flight import SingleFlight
from pellucid.customers.customer import Customer
from pellucid.errors import BusyError, ImageError, RenderError, StoreError
from pellucid.insights.needs import Needs
from pellucid.insights.record import InsightRecord, decode_record, encode_record
from pellucid.insights.values import NO_INSIGHTS, Insights
from pellucid.render.pool import RenderPool
from pellucid.source.origin import Origin
from pellucid.source.origins import Origins
from pellucid.spec import OriginRef
from pellucid.store import keys
from pellucid.store.port import BlobStore

_log = structlog.get_logger(__name__)

_IN_MEMORY = 2000
"""Records, of 5 kB at most."""

_TRIES = 2


class InsightResolver:
    """Insights by content digest, so that one image under many URLs is looked at once. `blobs` keeps records; a record
    that cannot be read or written costs another look, no answer.
    """

    def __init__(self, *, blobs: BlobStore, origins: Origins, pool: RenderPool) -> None:
        self._blobs = blobs
        self._origins = origins
        self._pool = pool
        self._records: LRUCache[str, InsightRecord] = LRUCache(_IN_MEMORY)
        self._looks: SingleFlight[tuple[str, Needs], InsightRecord] = SingleFlight()

    async def get(
        self, customer: Customer, ref: OriginRef, origin: Origin, needs: Needs, *, client: Client = SERVER
    ) -> Insights:
        """What `needs` asks for, in the image of `origin`. Nothing is found in an image that cannot be looked at:
        rendering it says why. Raises BusyError, OriginError.
        """
        if not needs:
            return NO_INSIGHTS
        record = self._records.get(origin.picture) or await self._load(origin.picture)
        missing = needs if record is None else record.missing(needs)
        if missing:
            look = partial(self._look, customer, ref, origin, missing, client)
            try:
                found = await self._looks.run((origin.picture, missing), look)
            except (ImageError, RenderError) as error:
                _log.info("image not looked at", origin=origin.picture, error=str(error))
                found = InsightRecord()
            record = found if record is None else record.with_found(found)
            if found.looked:
                self._records[origin.picture] = record
                await self._save(origin.picture, record)
        return NO_INSIGHTS if record is None else record.insights(needs)

    async def _look(
        self, customer: Customer, ref: OriginRef, origin: Origin, needs: Needs, client: Client
    ) -> InsightRecord:
        read = partial(self._origins.read, origin)
        for _ in range(_TRIES):
            found = await self._pool.look(read, origin.facts, needs, size_bytes=origin.size_bytes, client=client)
            if found is not None:
                return found
            again = await self._origins.refetch(customer, ref, client=client)
            if again.digest != origin.digest:
                break
        raise BusyError("the picture changes while it is looked at")

    async def _load(self, picture: str) -> InsightRecord | None:
        try:
            data = await self._blobs.get(keys.insights_key(picture))
        except StoreError as error:
            _log.warning("insights not read", origin=picture, error=str(error))
            return None
        return None if data is None else decode_record(data)

    async def _save(self, picture: str, record: InsightRecord) -> None:
        try:
            await self._blobs.put(keys.insights_key(picture), encode_record(record))
        except StoreError as error:
            _log.warning("insights not stored", origin=picture, error=str(error))
