"""The one place where settings become opened things: queue, stores, fetcher, pool, engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from pellucid import keys
from pellucid.cutout.recipe import Recipe
from pellucid.cutout.runtime import describe_device
from pellucid.demo.samples import SAMPLES_ALIAS, samples_folder
from pellucid.engine import Engine, resolve_precision
from pellucid.errors import PellucidError, StoreError
from pellucid.mattes import Mattes
from pellucid.pipeline import Pipeline
from pellucid.queue.sqlite import SqliteQueue
from pellucid.render.pool import RenderPool
from pellucid.renditions import Renditions
from pellucid.settings.model import SettingsTree, available_cores
from pellucid.source.fetch import Fetcher
from pellucid.source.limits import FetchLimits, Freshness
from pellucid.source.netguard import Guard
from pellucid.source.origins import Origins
from pellucid.store.bounded import BoundedBlobs
from pellucid.store.objects import ObjectBlobs

_log = structlog.get_logger(__name__)

_HOUSEKEEPING_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where things lie below the data directory."""

    store: Path
    queue: Path
    cache_index: Path
    compiled: Path
    samples: Path

    @classmethod
    def below(cls, data_dir: Path) -> Paths:
        return cls(
            store=data_dir / "store",
            queue=data_dir / "queue" / "jobs.sqlite",
            cache_index=data_dir / "cache.sqlite",
            compiled=data_dir / "compiled",
            samples=samples_folder(data_dir),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """What a web process holds open."""

    pipeline: Pipeline
    queue: SqliteQueue
    blobs: ObjectBlobs
    pool: RenderPool

    async def check_ready(self) -> tuple[dict[str, str], list[dict[str, str]]]:
        """("ok" or what is wrong) for store, queue and model, and the living workers."""
        checks = {"store": "ok", "queue": "ok", "model": "ok"}
        workers: list[dict[str, str]] = []
        try:
            await self.blobs.put("check/ready", b"")
        except StoreError as error:
            checks["store"] = str(error)
        try:
            await self.queue.check_writable()
            alive = (await self.queue.stats()).workers
            workers = [{"model": w.model, "device": w.device, "precision": w.precision} for w in alive]
            if not alive:
                checks["model"] = "no worker has loaded the model yet"
        except PellucidError as error:
            checks["queue"] = str(error)
        return checks, workers


def resolve_recipe(settings: SettingsTree) -> Recipe:
    """The recipe of new mattes, with `auto` resolved for this machine. Raises DeviceUnavailableError."""
    model = settings.model
    return Recipe(model=model.name, precision=resolve_precision(model.precision, describe_device(model.device)))


def open_engine(settings: SettingsTree, recipe: Recipe) -> Engine:
    """The engine of a matte worker. Raises ModelUnavailableError or DeviceUnavailableError."""
    model = settings.model
    return Engine(
        models_dir=settings.models_dir,
        model=recipe.model,
        device=model.device,
        precision=recipe.precision,
        threads=model.threads or max(1, available_cores() // max(1, settings.workers)),
        compiled_dir=Paths.below(settings.data_dir).compiled,
        cards=model.cards,
        allow_noncommercial=model.allow_noncommercial,
        max_pixels=settings.image.max_pixels,
    )


def open_library_engine(settings: SettingsTree) -> Engine:
    """The engine of a command without a server: all cores, the compiled model kept beside the weights."""
    model = settings.model
    return Engine(
        models_dir=settings.models_dir,
        model=model.name,
        device=model.device,
        precision=model.precision,
        threads=model.threads,
        compiled_dir=settings.models_dir / "compiled",
        cards=model.cards,
        allow_noncommercial=model.allow_noncommercial,
        max_pixels=settings.image.max_pixels,
    )


@asynccontextmanager
async def open_queue(settings: SettingsTree) -> AsyncGenerator[SqliteQueue, None]:
    """The queue. Raises QueueError when its file cannot be used."""
    queue = await SqliteQueue.open(
        path=Paths.below(settings.data_dir).queue,
        depth_limit=settings.queue.depth,
        max_attempts=settings.queue.max_attempts,
        lease_s=settings.queue.lease_s,
    )
    try:
        yield queue
    finally:
        await queue.aclose()


def open_blobs(settings: SettingsTree) -> ObjectBlobs:
    """The store. Raises StoreError when its folder cannot be used."""
    return ObjectBlobs.local(Paths.below(settings.data_dir).store)


@asynccontextmanager
async def open_web(settings: SettingsTree, *, recipe_id: str) -> AsyncGenerator[Web, None]:
    """Everything a web process needs, opened in order and closed in reverse."""
    paths = Paths.below(settings.data_dir)
    async with AsyncExitStack() as stack:
        blobs = open_blobs(settings)
        queue = await stack.enter_async_context(open_queue(settings))

        async def pinned() -> frozenset[str]:
            return frozenset(keys.origin_bytes_key(owed) for owed in await queue.owed_origins())

        cache = BoundedBlobs(
            blobs,
            index=paths.cache_index,
            prefixes=("bytes", "origins", "renditions"),
            max_bytes=settings.cache.max_bytes,
            pinned=pinned,
        )
        await cache.open()
        stack.push_async_callback(cache.aclose)
        pool = await stack.enter_async_context(
            RenderPool(
                processes=settings.render.processes,
                max_waiting=settings.render.max_waiting,
                timeout_s=settings.render.timeout_s,
                max_pixels=settings.image.max_pixels,
            )
        )
        freshness = _freshness(settings)
        fetcher = await stack.enter_async_context(
            Fetcher(
                guard=Guard(
                    allow_networks=settings.origin.allow_networks,
                    allow_ports=settings.origin.allow_ports,
                ),
                limits=_fetch_limits(settings),
                freshness=freshness,
                allow_hosts=settings.origin.allow_hosts,
            )
        )
        origins = Origins(
            fetcher=fetcher,
            records=cache,
            blobs=cache,
            probe=pool.probe,
            aliases=_aliases(settings, paths),
            allow_hosts=settings.origin.allow_hosts,
            freshness=freshness,
        )
        pipeline = Pipeline(
            origins=origins,
            mattes=Mattes(blobs),
            renditions=Renditions(cache, memory_bytes=settings.cache.memory_bytes),
            queue=queue,
            pool=pool,
            recipe_id=recipe_id,
            max_output_pixels=settings.image.max_output_pixels,
        )
        housekeeping = asyncio.create_task(_keep_house(cache))
        stack.callback(housekeeping.cancel)
        yield Web(pipeline=pipeline, queue=queue, blobs=blobs, pool=pool)


async def _keep_house(cache: BoundedBlobs) -> None:
    while True:
        await asyncio.sleep(_HOUSEKEEPING_S)
        try:
            await cache.evict()
        except PellucidError as error:
            _log.error("eviction failed", error=str(error))


def _aliases(settings: SettingsTree, paths: Paths) -> dict[str, str]:
    built_in = {SAMPLES_ALIAS: paths.samples.resolve().as_uri()} if paths.samples.is_dir() else {}
    return built_in | settings.aliases


def _fetch_limits(settings: SettingsTree) -> FetchLimits:
    origin = settings.origin
    return FetchLimits(
        max_bytes=origin.max_bytes,
        connect_timeout_s=origin.connect_timeout_s,
        total_timeout_s=origin.timeout_s,
        max_redirects=origin.max_redirects,
        max_concurrency=origin.concurrency,
        max_per_host=origin.per_host,
    )


def _freshness(settings: SettingsTree) -> Freshness:
    origin = settings.origin
    return Freshness(
        min_s=origin.fresh_min_s,
        max_s=origin.fresh_max_s,
        default_s=origin.fresh_default_s,
        failure_s=origin.failure_s,
        not_found_s=origin.not_found_s,
    )
