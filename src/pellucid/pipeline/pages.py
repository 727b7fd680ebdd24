"""Pages of documents other than the first, whose facts the records of origins have."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from cachetools import LRUCache

from pellucid.concurrency.clients import SERVER, Client
from pellucid.concurrency.single_flight import SingleFlight
from pellucid.customers.customer import Customer
from pellucid.errors import BusyError, SpecError
from pellucid.formats import FORMATS
from pellucid.image.facts import ImageFacts
from pellucid.render.pool import RenderPool
from pellucid.source.origin import Origin
from pellucid.source.origins import Origins
from pellucid.spec import OriginRef, Spec

_IN_MEMORY = 10_000
"""Pages, 0.4 kB each. Another look takes the document through a pipe, and 0.1 to 110 ms."""

_TRIES = 2


class PageResolver:
    """Turns an origin to the page that a URL asks for. A page has a size of its own; render processes look at it."""

    def __init__(self, *, origins: Origins, pool: RenderPool) -> None:
        self._origins = origins
        self._pool = pool
        self._facts: LRUCache[str, ImageFacts] = LRUCache(_IN_MEMORY)
        self._looks: SingleFlight[str, ImageFacts] = SingleFlight()

    async def turn_to(self, customer: Customer, spec: Spec, origin: Origin, *, client: Client = SERVER) -> Origin:
        """`origin` with the facts of the page that `spec` names; `origin` itself for the first.

        Raises SpecError for a page that is not there, ImageError for one that cannot be shown, BusyError, OriginError.
        """
        page = spec.source.page
        if page == 1:
            return origin
        _check(origin.facts, page)
        turned = replace(origin, facts=replace(origin.facts, page=page))
        facts = self._facts.get(turned.picture)
        if facts is None:
            look = partial(self._look, customer, spec.origin, origin, page, client)
            facts = self._facts[turned.picture] = await self._looks.run(turned.picture, look)
        # Damage is a fact about the bytes.
        return replace(origin, facts=replace(facts, damaged=origin.facts.damaged))

    async def _look(self, customer: Customer, ref: OriginRef, origin: Origin, page: int, client: Client) -> ImageFacts:
        for _ in range(_TRIES):
            facts = await self._pool.probe_page(partial(self._origins.read, origin), page, client=client)
            if facts is not None:
                return facts
            again = await self._origins.refetch(customer, ref, client=client)
            if again.digest != origin.digest:
                break
        raise BusyError("the document changes while it is looked at")


def _check(facts: ImageFacts, page: int) -> None:
    if not FORMATS[facts.format].paged:
        raise SpecError(f"doc_page={page}: {facts.format.upper()} files have no pages")
    if page > facts.pages:
        has = "1 page" if facts.pages == 1 else f"{facts.pages} pages"
        raise SpecError(f"doc_page={page}: the document has {has}")
