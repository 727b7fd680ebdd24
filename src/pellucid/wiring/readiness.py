"""Whether a web process can do its work: what `/-/ready` says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from pellucid.concurrency.single_flight import SingleFlight
from pellucid.cutout.recipe import Recipe
from pellucid.errors import DatabaseAwayError, DatabaseError, PellucidError, StoreError
from pellucid.liveness.port import WorkerInfo
from pellucid.queue.queue import Queue
from pellucid.render.pool import RenderPool
from pellucid.store.objects import ObjectBlobs

_log = structlog.get_logger(__name__)

_RENDERED_S = 2.0
"""How long a rendered picture counts as proof: whoever asks more often does not render more often."""

_WORKS_WITHOUT = ("pictures", "cutouts that were shown before")
_NEEDS_DATABASE = ("new cutouts", "webhooks and purges", "uploads", "usage")
"""What goes on without the database, and what waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found: "ok" or what is wrong, by part. `unserved` counts removals that wait, by recipes that no living
    worker makes; `works` and `waits` say what an answer of `degraded` means.
    """

    checks: Mapping[str, str]
    workers: tuple[WorkerInfo, ...]
    unserved: Mapping[str, int] = field(default_factory=dict[str, int])
    works: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """`ready`; `degraded` where only the database is missing, which is no reason to send nobody here any more; else
        `not ready`.
        """
        wrong = {name for name, check in self.checks.items() if check != _OK}
        if not wrong:
            return "ready"
        return "degraded" if "database" in wrong and wrong <= {"database", "model"} else "not ready"


_OK = "ok"


class Readiness:
    """Checks that really store, write and render. Simultaneous askers share one check."""

    def __init__(
        self,
        *,
        blobs: ObjectBlobs,
        queue: Queue,
        pool: RenderPool,
        recipe: Recipe,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._blobs = blobs
        self._queue = queue
        self._pool = pool
        self._recipe = recipe
        self._clock = clock
        self._checks: SingleFlight[str, Report] = SingleFlight()
        self._rendered_until = 0.0

    async def check(self) -> Report:
        """What is wrong with store, database, model and rendering, and the workers that have the model."""
        return await self._checks.run("ready", self._check)

    async def _check(self) -> Report:
        store, render, (database, unserved), workers = await asyncio.gather(
            self._check_store(), self._check_render(), self._check_database(), self._workers()
        )
        is_away = database != _OK
        missing = "unknown while the database is away" if is_away else "no worker has loaded the model yet"
        model = _OK if workers else f"{missing} ({self._recipe.id})"
        return Report(
            checks={"store": store, "database": database, "model": model, "render": render},
            workers=workers,
            unserved=unserved,
            works=_WORKS_WITHOUT if is_away else (),
            waits=_NEEDS_DATABASE if is_away else (),
        )

    async def _check_store(self) -> str:
        try:
            await self._blobs.put("check/ready", bytes(4096))  # an empty file fits on a full disk
        except StoreError as error:
            _log.error("store is not writable", error=str(error))
            return "not writable, see the log"
        return _OK

    async def _check_render(self) -> str:
        if self._clock() < self._rendered_until:
            return _OK
        try:
            await self._pool.check()
        except PellucidError as error:
            _log.error("rendering does not work", error=str(error))
            return str(error)
        self._rendered_until = self._clock() + _RENDERED_S
        return _OK

    async def _check_database(self) -> tuple[str, Mapping[str, int]]:
        try:
            await self._queue.check_writable()
            return _OK, (await self._queue.stats()).unserved
        except DatabaseAwayError as error:
            _log.error("the database is away", error=str(error))
            return "away, see the log", {}
        except DatabaseError as error:
            _log.error("database is not writable", error=str(error))
            return "not writable, see the log", {}

    async def _workers(self) -> tuple[WorkerInfo, ...]:
        try:
            return tuple(each for each in await self._queue.alive() if self._recipe.id in each.recipe_ids)
        except (OSError, DatabaseError) as error:
            _log.error("workers cannot be seen", error=str(error))
            return ()
