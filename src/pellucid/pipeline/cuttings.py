"""The state of one cutout: the matte there, an older one, or a job owed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import structlog

from pellucid import keys
from pellucid.cutout.recipe import Recipe
from pellucid.errors import QueueError
from pellucid.mattes import Mattes
from pellucid.pipeline.states import CutoutState, Cutting
from pellucid.queue.port import Failed, Full, Job, Listener, Owed, Priority, Queue, Receipt
from pellucid.source.origins import Origin, Origins
from pellucid.spec import Tier

_log = structlog.get_logger(__name__)

_STATES: dict[type[Receipt] | None, CutoutState] = {
    Owed: CutoutState.PENDING,
    Full: CutoutState.BUSY,
    Failed: CutoutState.FAILED,
    None: CutoutState.BUSY,
}
"""By what the queue said; None = it could not be asked, or no worker could read the origin's bytes."""


class Cuttings:
    """Looks mattes up and owes those that are missing. `recipe` is what new ones are made with; its tier is that of
    URLs that name none. With `show_stale`, an older cutout is shown rather than the background.
    """

    def __init__(self, *, mattes: Mattes, queue: Queue, origins: Origins, recipe: Recipe, show_stale: bool) -> None:
        self._mattes = mattes
        self._queue = queue
        self._origins = origins
        self._recipe_ids = {tier: each.id for tier, each in recipe.by_tier.items()}
        self._tier = recipe.tier
        self._show_stale = show_stale

    async def request(self, origin: Origin, tier: Tier | None, *, notify: tuple[Listener, ...] = ()) -> Cutting:
        """The state of the cutout of `origin`; a missing matte is owed from now on, and `notify` hear how it ends.
        Raises StoreError.
        """
        job = self._job(origin, tier)
        there = await self._there(origin, job)
        if there is not None:
            return there
        older = await self._older(origin, tier)
        # Who sees a cutout already can wait for the better one longer than who sees a background.
        priority = Priority.IMPATIENT if older is None else Priority.PATIENT
        receipt = await self._submit(origin, job, priority, notify)
        if older is not None:
            return Cutting(state=CutoutState.STALE, job=job.key, origin=older[1], shown=older[0], receipt=receipt)
        state = _STATES[None if receipt is None else type(receipt)]
        return Cutting(state=state, job=job.key, origin=origin, receipt=receipt)

    async def look(self, origin: Origin, tier: Tier | None) -> Cutting:
        """The state without owing anything. Raises StoreError, QueueError."""
        job = self._job(origin, tier)
        there = await self._there(origin, job)
        if there is not None:
            return there
        receipt = await self._queue.look(job.key)
        if receipt is None:
            # Done in between?
            there = await self._there(origin, job)
            return there or Cutting(state=CutoutState.UNASKED, job=job.key, origin=origin)
        return Cutting(state=_STATES[type(receipt)], job=job.key, origin=origin, receipt=receipt)

    async def wait(self, cutting: Cutting, *, timeout_s: float) -> None:
        """Until the matte of `cutting` is no longer owed, at most `timeout_s`."""
        try:
            await self._queue.wait(cutting.job, timeout_s=timeout_s)
        except QueueError as error:
            _log.error("queue failed", error=str(error))

    def _job(self, origin: Origin, tier: Tier | None) -> Job:
        recipe_id = self._recipe_ids[tier or self._tier]
        name = keys.matte_name(origin.digest, 0, recipe_id)
        return Job(key=name, origin_digest=origin.digest, page=0, recipe_id=recipe_id)

    async def _there(self, origin: Origin, job: Job) -> Cutting | None:
        header = await self._mattes.header(job.key)
        if header is None:
            return None
        if header.empty:
            state, shown = CutoutState.NO_SUBJECT, None
        else:
            state, shown = CutoutState.READY, job.key
        return Cutting(state=state, job=job.key, origin=origin, shown=shown, confidence=header.confidence)

    async def _submit(
        self, origin: Origin, job: Job, priority: Priority, notify: tuple[Listener, ...]
    ) -> Receipt | None:
        if not origin.stored:
            return None  # a full disk: no worker could read the bytes
        try:
            return await self._queue.submit(job, priority=priority, notify=notify)
        except QueueError as error:
            _log.error("queue failed", error=str(error))
            return None

    async def _older(self, origin: Origin, tier: Tier | None) -> tuple[str, Origin] | None:
        """The newest usable matte of another recipe or of former bytes, and the pixels that it fits."""
        if not self._show_stale:
            return None
        async for pixels in self._pixels(origin):
            for each in (tier,) if tier is not None else (self._tier, *(set(Tier) - {self._tier})):
                name = await self._mattes.newest(pixels.digest, 0, each)
                header = await self._mattes.header(name) if name is not None else None
                if name is not None and header is not None and not header.empty:
                    return name, pixels
        return None

    async def _pixels(self, origin: Origin) -> AsyncIterator[Origin]:
        yield origin
        for former in origin.former:
            found = await self._origins.former(origin, former)
            if found is not None:
                yield found
