"""Whether a web process can do its work: what `/-/ready` says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from pellucid.cutout.recipe import Recipe
from pellucid.errors import PellucidError, StoreError
from pellucid.flight import SingleFlight
from pellucid.queue.sqlite import SqliteQueue
from pellucid.render.pool import RenderPool
from pellucid.store.objects import ObjectBlobs

_log = structlog.get_logger(__name__)

_RENDERED_S = 2.0
"""How long a rendered picture counts as proof: whoever asks more often does not render more often."""

Workers = list[dict[str, str]]


class Readiness:
    """Checks that really store, write and render. Simultaneous askers share one check."""

    def __init__(
        self,
        *,
        blobs: ObjectBlobs,
        queue: SqliteQueue,
        pool: RenderPool,
        recipe: Recipe,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._blobs = blobs
        self._queue = queue
        self._pool = pool
        self._recipe = recipe
        self._clock = clock
        self._checks: SingleFlight[str, tuple[dict[str, str], Workers]] = SingleFlight()
        self._rendered_until = 0.0

    async def check(self) -> tuple[dict[str, str], Workers]:
        """("ok" or what is wrong) for store, queue, model and rendering, and the workers that have the model."""
        return await self._checks.run("ready", self._check)

    async def _check(self) -> tuple[dict[str, str], Workers]:
        store, render, (queue, workers) = await asyncio.gather(
            self._check_store(), self._check_render(), self._check_queue()
        )
        return {"store": store, **queue, "render": render}, workers

    async def _check_store(self) -> str:
        try:
            await self._blobs.put("check/ready", bytes(4096))  # an empty file fits on a full disk
        except StoreError as error:
            _log.error("store is not writable", error=str(error))
            return "not writable, see the log"
        return "ok"

    async def _check_render(self) -> str:
        if self._clock() < self._rendered_until:
            return "ok"
        try:
            await self._pool.check()
        except PellucidError as error:
            _log.error("rendering does not work", error=str(error))
            return str(error)
        self._rendered_until = self._clock() + _RENDERED_S
        return "ok"

    async def _check_queue(self) -> tuple[dict[str, str], Workers]:
        try:
            await self._queue.check_writable()
            wanted = self._recipe.id
            alive = [worker for worker in (await self._queue.stats()).workers if wanted in worker.recipe_ids]
        except PellucidError as error:
            _log.error("queue is not writable", error=str(error))
            return {"queue": "not writable, see the log", "model": "unknown"}, []
        workers = [{"model": each.model, "device": each.device, "precision": each.precision} for each in alive]
        model = "ok" if alive else f"no worker has loaded the model yet ({wanted})"
        return {"queue": "ok", "model": model}, workers
