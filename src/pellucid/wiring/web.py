"""A web process: its stores, queue, fetcher and render pool, opened in order and closed in reverse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from pellucid import keys
from pellucid.cutout.recipe import Recipe
from pellucid.database.database import Database
from pellucid.demo.samples import SAMPLES_ALIAS
from pellucid.errors import OriginRefusedError, PellucidError, SettingsError, StoreError
from pellucid.mattes import Mattes
from pellucid.notify.cdn import ANYWHERE, CdnApi
from pellucid.notify.listening import Listening
from pellucid.notify.purge import CdnPurger
from pellucid.notify.sender import Sender
from pellucid.notify.signature import signing_keys
from pellucid.pipeline.cuttings import Cuttings
from pellucid.pipeline.deliver import Pipeline
from pellucid.purges import Purge, Purges
from pellucid.queue.sqlite import SqliteQueue
from pellucid.render.pool import RenderPool
from pellucid.renditions import Renditions
from pellucid.settings.model import SettingsTree
from pellucid.source.fetch import Fetcher
from pellucid.source.limits import FetchLimits, Freshness
from pellucid.source.netguard import Guard
from pellucid.source.origins import Origins
from pellucid.source.session import GuardedSession
from pellucid.source.weburl import parse_web_url
from pellucid.spec import DEFAULT_TOKEN, OriginRef, Token
from pellucid.store.bounded import BoundedBlobs
from pellucid.store.objects import ObjectBlobs
from pellucid.tokens import Customer, Customers
from pellucid.wiring.storage import Paths, open_blobs, open_database, open_queue

_log = structlog.get_logger(__name__)

FOLLOW_S = 1.0
"""How often a process looks for purges that another one was told."""

_HEARD_S = FOLLOW_S + 0.2

_SLACK_S = 5.0
"""Beyond the longest rendering, an answer that was begun before a purge is out."""

_HOUSEKEEPING_S = 30.0
_THREADS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """What a web process holds open."""

    pipeline: Pipeline
    queue: SqliteQueue
    database: Database
    blobs: ObjectBlobs
    pool: RenderPool
    recipe: Recipe
    origins: Origins
    purges: Purges
    customers: Customers
    max_event_streams: int
    swap_script: bool
    purger: CdnPurger

    async def invalidate(self, token: Token, refs: Collection[OriginRef], paths: Sequence[str]) -> None:
        """On return no web process believes what it knew of these origins, and the CDN is being told to drop what has
        their tags or lies at `paths`: in this order, or it would fetch the old answers again. Raises StoreError,
        QueueError.
        """
        now = time.time()
        told = [Purge(record_key=keys.origin_record_key(token, ref), at=now) for ref in refs]
        for purge in told:
            await self.origins.doubt(purge.record_key, purge.at)
        try:
            await asyncio.to_thread(self.purges.tell, told)
        except OSError as error:
            raise StoreError(f"the purges cannot be told: {error.strerror}") from error
        await asyncio.sleep(_HEARD_S)
        await self.purger.purge([keys.origin_tag(token, ref) for ref in refs], paths)

    async def follow_purges(self, forget: Callable[[str | None], None]) -> None:
        """Hear what other processes, and this one, invalidated; `forget` gets each record key, None for everything."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            try:
                news = await asyncio.to_thread(self.purges.news)
            except OSError as error:
                _log.error("purges cannot be read", error=str(error))
                news = None
            if news is None:
                self.origins.hear(None, time.time())
                forget(None)
                continue
            for purge in news:
                try:
                    # In the store as well: this process may have written there between the purge and now.
                    await self.origins.doubt(purge.record_key, purge.at)
                except StoreError as error:
                    _log.error("purge not stored", key=purge.record_key, error=str(error))
                forget(purge.record_key)

    async def check_ready(self) -> tuple[dict[str, str], list[dict[str, str]]]:
        """("ok" or what is wrong) for store, queue and model, and the living workers."""
        checks = {"store": "ok", "queue": "ok", "model": "ok"}
        workers: list[dict[str, str]] = []
        try:
            await self.blobs.put("check/ready", bytes(4096))  # an empty file fits on a full disk
        except StoreError as error:
            _log.error("store is not writable", error=str(error))
            checks["store"] = "not writable, see the log"
        try:
            await self.queue.check_writable()
            wanted = self.recipe.id
            alive = [w for w in (await self.queue.stats()).workers if wanted in w.recipe_ids]
            workers = [{"model": w.model, "device": w.device, "precision": w.precision} for w in alive]
            if not alive:
                checks["model"] = f"no worker has loaded the model yet ({wanted})"
        except PellucidError as error:
            _log.error("queue is not writable", error=str(error))
            checks |= {"queue": "not writable, see the log", "model": "unknown"}
        return checks, workers


@asynccontextmanager
async def open_web(settings: SettingsTree, *, recipe: Recipe) -> AsyncGenerator[Web, None]:
    """Everything a web process needs, opened in order and closed in reverse."""
    paths = Paths.below(settings.data_dir)
    # Name look-ups run on the default executor; asyncio's own has six threads on two cores, and as many slow name
    # servers would stop every other fetch.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="io"))
    async with AsyncExitStack() as stack:
        blobs = open_blobs(settings)
        queue = await stack.enter_async_context(open_queue(settings))
        database = await stack.enter_async_context(open_database(settings))

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
        guard = Guard(allow_networks=settings.origin.allow_networks, allow_ports=settings.origin.allow_ports)
        fetcher = await stack.enter_async_context(
            Fetcher(
                guard=guard,
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
        purges = Purges(paths.purges)
        stack.callback(purges.close)
        for purge in await asyncio.to_thread(purges.news) or []:
            origins.hear(purge.record_key, purge.at)
        mattes = Mattes(blobs)
        pipeline = Pipeline(
            origins=origins,
            mattes=mattes,
            cuttings=Cuttings(
                mattes=mattes, queue=queue, origins=origins, recipe=recipe, show_stale=settings.cache.show_stale
            ),
            # Half of the memory is `http.hot`'s, which holds the same bodies under their URLs.
            renditions=Renditions(cache, memory_bytes=settings.cache.memory_bytes // 2),
            pool=pool,
            max_output_pixels=settings.image.max_output_pixels,
            wait_s=settings.web.wait_s,
            listening=_listening(settings, guard),
        )
        cdn = _cdn_api(settings)
        sender = Sender(
            queue,
            webhooks=await stack.enter_async_context(GuardedSession(guard=guard)),
            purges=await stack.enter_async_context(GuardedSession(guard=ANYWHERE)),
            keys=signing_keys(settings.notify.secret.get_secret_value()),
            cdn=cdn,
            timeout_s=settings.notify.timeout_s,
            concurrency=settings.notify.concurrency,
        )
        await stack.enter_async_context(_sending(sender))
        housekeeping = asyncio.create_task(_keep_house(cache))
        stack.callback(housekeeping.cancel)
        yield Web(
            pipeline=pipeline,
            queue=queue,
            database=database,
            blobs=blobs,
            pool=pool,
            recipe=recipe,
            origins=origins,
            purges=purges,
            customers=customers_of(settings),
            max_event_streams=settings.web.event_streams,
            swap_script=settings.web.swap_script,
            purger=CdnPurger(queue, api=cdn, again_s=settings.render.timeout_s + _SLACK_S),
        )


async def _keep_house(cache: BoundedBlobs) -> None:
    work = cache.reconcile
    while True:
        try:
            await work()
        except PellucidError as error:
            _log.error("housekeeping failed", error=str(error))
        await asyncio.sleep(_HOUSEKEEPING_S)
        work = cache.evict


@asynccontextmanager
async def _sending(sender: Sender) -> AsyncGenerator[None, None]:
    """`sender` at work for the length of the block."""
    stop = asyncio.Event()
    task = asyncio.create_task(sender.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


def _listening(settings: SettingsTree, guard: Guard) -> Listening:
    """Raises SettingsError for a webhook that could never be sent."""
    for url in settings.notify.urls:
        try:
            guard.check_port(parse_web_url(url).port or 0)
        except OriginRefusedError as error:
            raise SettingsError(f"PELLUCID_NOTIFY_URLS names {url}, but {error}") from error
    return Listening(urls=settings.notify.urls, allow_hosts=settings.notify.allow_hosts)


def _cdn_api(settings: SettingsTree) -> CdnApi | None:
    cdn = settings.cdn
    if not cdn.purge_url:
        return None
    headers = {name: value.get_secret_value() for name, value in cdn.purge_headers.items()}
    return CdnApi(method=cdn.purge_method, url=cdn.purge_url, headers=headers, body=cdn.purge_body)


def customers_of(settings: SettingsTree) -> Customers:
    """The tokens that are configured, or `default` for everybody."""
    if not settings.tokens:
        return Customers([Customer(token=DEFAULT_TOKEN, credits_per_month=settings.credits.per_month)])
    return Customers(
        Customer(token=Token(name), hosts=each.hosts, key_hash=each.key_hash, credits_per_month=each.credits_per_month)
        for name, each in settings.tokens.items()
    )


def _aliases(settings: SettingsTree, paths: Paths) -> dict[str, str]:
    built_in = {SAMPLES_ALIAS: paths.samples.resolve().as_uri()} if paths.samples.is_dir() else {}
    return built_in | settings.aliases


def _fetch_limits(settings: SettingsTree) -> FetchLimits:
    origin = settings.origin
    return FetchLimits(
        max_bytes=origin.max_bytes,
        connect_timeout_s=origin.connect_timeout_s,
        total_timeout_s=origin.timeout_s,
        idle_timeout_s=origin.idle_timeout_s,
        max_header_bytes=origin.max_header_bytes,
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
