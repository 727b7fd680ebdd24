"""Origins that are sent as they are (`func=proxy`)."""

from __future__ import annotations

from pellucid.concurrency.clients import Client
from pellucid.concurrency.fair_semaphore import FairSemaphore
from pellucid.customers.customer import Customer
from pellucid.errors import BusyError, SpecError
from pellucid.formats import FORMATS, ImageFormat
from pellucid.source.origin import Origin
from pellucid.source.origins import Origins
from pellucid.spec import OriginRef
from pellucid.store.renditions import Rendition, make_rendition

_READS = 4
"""Origins that are read at a time, of which one client has three: each may have `origin.max_bytes`."""

_READS_WAITING = 1000
_READS_WAIT_S = 30.0

_TRIES = 2

_REFUSED = frozenset({ImageFormat.SVG, ImageFormat.PDF})
"""They may hold scripts, which would run under this server's name."""


class UntouchedOrigins:
    """The bytes of origins, which were found to be images when they were fetched: nothing else is passed through."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._places = FairSemaphore(
            _READS,
            per_client=_READS - 1,
            max_waiting=_READS_WAITING,
            max_waiting_per_client=_READS_WAITING // 2,
            busy="too many pictures are being read",
        )

    async def read(self, customer: Customer, ref: OriginRef, origin: Origin, *, client: Client) -> Rendition:
        """The file of `origin`. Raises SpecError for a format that is not passed through, BusyError, OriginError,
        StoreError.
        """
        format_ = origin.facts.format
        if format_ in _REFUSED:
            raise SpecError(
                f"func=proxy passes no {format_.upper()} through: it may hold scripts. Leave func out, and the picture "
                "is drawn"
            )
        async with self._places.acquire(client, timeout_s=_READS_WAIT_S):
            for _ in range(_TRIES):
                body = await self._origins.read(origin)
                if body is not None:
                    return make_rendition(body, FORMATS[format_].media_type)
                origin = await self._origins.refetch(customer, ref, client=client)
        raise BusyError("the picture was evicted while it was read")
