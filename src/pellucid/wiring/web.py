"""A web process: its stores, queue, fetcher and render pool, opened in order and closed in reverse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from pellucid import keys
from pellucid.cutout.recipe import Recipe
from pellucid.database.database import Database
from pellucid.errors import StoreError
from pellucid.ledger.ledger import Ledger
from pellucid.mattes import Mattes
from pellucid.notify.cdn import ANYWHERE
from pellucid.notify.purge import CdnPurger
from pellucid.notify.sender import Sender
from pellucid.pipeline.cuttings import Cuttings
from pellucid.pipeline.deliver import Pipeline
from pellucid.purges import Purge, Purges
from pellucid.queue.sqlite import SqliteQueue
from pellucid.render.pool import RenderPool
from pellucid.renditions import Renditions
from pellucid.settings.model import SettingsTree
from pellucid.source.bodies import Bodies
from pellucid.source.fetch import Fetcher
from pellucid.source.memory import BodyMemory
from pellucid.source.netguard import Guard
from pellucid.source.origins import Origins
from pellucid.source.resolver import NameResolver
from pellucid.spec import DEFAULT_TOKEN, OriginRef, Tier, Token
from pellucid.store.bounded import BoundedBlobs
from pellucid.store.objects import ObjectBlobs, free_bytes
from pellucid.tokens import Customers
from pellucid.uploads.shelf import UPLOADS_ALIAS, Shelf
from pellucid.wiring.accounts import customers_of, ledger_of
from pellucid.wiring.changes import ChangedOrigins
from pellucid.wiring.chores import keep_accounts, keep_house, sending, sweep_uploads
from pellucid.wiring.readiness import Readiness
from pellucid.wiring.storage import START_S, Paths, instance_name, open_blobs, open_database, open_queue
from pellucid.wiring.values import (
    aliases_of,
    cdn_api_of,
    fetch_limits_of,
    freshness_of,
    listening_of,
    message_session,
    pool_limits_of,
    signing_keys_of,
    upload_limits_of,
)

_log = structlog.get_logger(__name__)

FOLLOW_S = 1.0
"""How often a process looks for purges that another one was told."""

_HEARD_S = FOLLOW_S + 0.2

_SLACK_S = 5.0
"""Beyond the longest rendering, an answer that was begun before a purge is out."""

_TOLD_AGAIN_S = 60.0
"""Between two lines in the log about one trouble that lasts."""

_THREADS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """What a web process holds open."""

    pipeline: Pipeline
    queue: SqliteQueue
    database: Database
    ledger: Ledger
    blobs: ObjectBlobs
    pool: RenderPool
    recipe: Recipe
    instance: str
    """This server's name in `CDN-Loop`."""
    mattes: Mattes
    cache: BoundedBlobs
    origins: Origins
    uploads: Shelf | None
    """None where uploads are not taken."""
    purges: Purges
    customers: Customers
    swap_script: bool
    purger: CdnPurger
    readiness: Readiness

    async def invalidate(self, refs: Collection[OriginRef], paths: Sequence[str]) -> None:
        """On return no web process believes what it knew of these origins, for whichever token, and the CDN is being
        told to drop what has their tags or lies at `paths`: in this order, or it would fetch the old answers again.
        Raises StoreError, QueueError.
        """
        await self._forget([(token, ref) for token in self.customers.tokens for ref in refs], paths)

    async def withdraw(self, names: Sequence[str]) -> None:
        """`invalidate` for uploads of these names, whoever asked for them."""
        refs = [OriginRef(alias=UPLOADS_ALIAS, path=f"/{name}") for name in names]
        paths = [f"/{ref}" for ref in refs]
        await self._forget([(token, ref) for token in {DEFAULT_TOKEN, *self.customers.tokens} for ref in refs], paths)

    async def drop_bytes(self, digest: str) -> None:
        """Remove an origin's bytes from the store, and the mattes made of them. Raises StoreError."""
        await self.cache.delete(keys.origin_bytes_key(digest))
        await self.mattes.drop(digest, 0)

    async def _forget(self, origins: Collection[tuple[Token, OriginRef]], paths: Sequence[str]) -> None:
        now = time.time()
        told = [Purge(record_key=keys.origin_record_key(token, ref), at=now) for token, ref in origins]
        for purge in told:
            await self.origins.doubt(purge.record_key, purge.at)
        try:
            await asyncio.to_thread(self.purges.tell, told)
        except OSError as error:
            raise StoreError(f"the purges cannot be told: {error.strerror}") from error
        await asyncio.sleep(_HEARD_S)
        await self.purger.purge([keys.origin_tag(token, ref) for token, ref in origins], paths)

    async def follow_purges(self, forget: Callable[[str | None], None]) -> None:
        """Hear what other processes, and this one, invalidated; `forget` gets each record key, None for everything.
        While the file cannot be read, what is known is kept; what was told meanwhile is heard afterwards.
        """
        failed_at: float | None = None
        while True:
            await asyncio.sleep(FOLLOW_S)
            try:
                news = await asyncio.to_thread(self.purges.news)
            except OSError as error:
                if failed_at is None or time.monotonic() > failed_at + _TOLD_AGAIN_S:
                    _log.error("purges cannot be read now", error=str(error))
                    failed_at = time.monotonic()
                continue
            failed_at = None
            if news is None:
                _log.error("purges are lost, all is forgotten")
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
        """("ok" or what is wrong) for store, queue, model and rendering, and the living workers."""
        return await self.readiness.check()


@asynccontextmanager
async def open_web(settings: SettingsTree, *, recipe: Recipe) -> AsyncGenerator[Web, None]:
    """Everything a web process needs, opened in order and closed in reverse."""
    paths = Paths.below(settings.data_dir)
    # Files of aliases are read and bytes hashed on the default executor; asyncio's own has six threads on two cores,
    # and as many reads from a slow share would stop all of that. Host names are resolved without threads.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="io"))
    async with AsyncExitStack() as stack:
        blobs = open_blobs(settings)
        queue = await stack.enter_async_context(open_queue(settings, timeout_s=START_S))
        database = await stack.enter_async_context(open_database(settings, timeout_s=START_S))
        ledger = ledger_of(settings, database)
        customers = customers_of(settings)

        async def pinned() -> frozenset[str]:
            return frozenset(keys.origin_bytes_key(owed) for owed in await queue.owed_origins())

        cache = BoundedBlobs(
            blobs,
            index=paths.cache_index,
            prefixes=("bytes", "origins", "renditions"),
            max_bytes=settings.cache.max_bytes,
            pinned=pinned,
            min_free_bytes=settings.cache.min_free_bytes,
            free_bytes=partial(free_bytes, settings.data_dir),
        )
        await cache.open()
        stack.push_async_callback(cache.aclose)
        pool = await stack.enter_async_context(RenderPool(pool_limits_of(settings)))
        instance = await asyncio.to_thread(instance_name, paths)
        freshness = freshness_of(settings)
        purges = Purges(paths.purges)
        stack.callback(purges.close)
        cdn = cdn_api_of(settings)
        # An answer that was begun before a purge may wait for its lane, twice, before it is rendered.
        again_s = 2 * settings.render.wait_s + settings.render.timeout_s + _SLACK_S
        purger = CdnPurger(queue, api=cdn, again_s=again_s)
        # Closed after what fetches, which may find a change until then.
        changes = ChangedOrigins(purges, purger, heard_s=_HEARD_S)
        stack.push_async_callback(changes.aclose)
        guard = Guard(allow_networks=settings.origin.allow_networks, allow_ports=settings.origin.allow_ports)
        resolver = await stack.enter_async_context(
            NameResolver(nameservers=settings.origin.nameservers, timeout_s=settings.origin.connect_timeout_s)
        )
        fetcher = await stack.enter_async_context(
            Fetcher(
                guard=guard,
                limits=fetch_limits_of(settings),
                freshness=freshness,
                allow_hosts=settings.origin.allow_hosts,
                instance=instance,
                resolver=resolver,
            )
        )
        origins = Origins(
            fetcher=fetcher,
            records=cache,
            bodies=Bodies(cache, probe=pool.probe_when_read),
            memory=BodyMemory(settings.origin.memory_bytes, largest_bytes=settings.origin.max_bytes),
            aliases=aliases_of(settings, paths),
            allow_hosts=settings.origin.allow_hosts,
            freshness=freshness,
            changed=changes.add,
        )
        try:
            told = await asyncio.to_thread(purges.news) or []
        except OSError as error:
            _log.error("purges cannot be read now", error=str(error))  # `follow_purges` will
            told = []
        for purge in told:
            origins.hear(purge.record_key, purge.at)

        mattes = Mattes(blobs)

        async def has_bytes(digest: str) -> bool:
            """Somebody else's picture as well; its bytes may have been evicted, while its mattes stay."""
            if await blobs.exists(keys.origin_bytes_key(digest)):
                return True
            for tier in Tier:
                if await mattes.newest(digest, 0, tier) is not None:
                    return True
            return False

        shelf = await Shelf.open(
            database,
            folder=paths.uploads,
            receiving=paths.receiving,
            limits=upload_limits_of(settings),
            probe=pool.probe_when_read,
            has_bytes=has_bytes,
            lacks_space=cache.lacks_space,
        )
        # Half of the memory is `http.hot`'s, which holds the same bodies under their URLs.
        renditions = Renditions(cache, memory_bytes=settings.cache.memory_bytes // 2)
        stack.push_async_callback(renditions.aclose)
        pipeline = Pipeline(
            origins=origins,
            mattes=mattes,
            cuttings=Cuttings(
                mattes=mattes,
                queue=queue,
                origins=origins,
                ledger=ledger,
                customers=customers,
                recipe=recipe,
                show_stale=settings.cache.show_stale,
                lacks_space=cache.lacks_space,
            ),
            renditions=renditions,
            pool=pool,
            max_output_pixels=settings.image.max_output_pixels,
            max_enlarged_pixels=settings.image.max_enlarged_pixels,
            wait_s=settings.web.wait_s,
            listening=listening_of(settings, guard),
        )
        sender = Sender(
            queue,
            webhooks=await stack.enter_async_context(message_session(settings, guard=guard, resolver=resolver)),
            purges=await stack.enter_async_context(message_session(settings, guard=ANYWHERE, resolver=resolver)),
            keys=signing_keys_of(settings),
            cdn=cdn,
            timeout_s=settings.notify.timeout_s,
            concurrency=settings.notify.concurrency,
        )
        await stack.enter_async_context(sending(sender))
        web = Web(
            pipeline=pipeline,
            queue=queue,
            database=database,
            ledger=ledger,
            blobs=blobs,
            pool=pool,
            recipe=recipe,
            instance=instance,
            mattes=mattes,
            cache=cache,
            origins=origins,
            uploads=shelf if settings.uploads.enabled else None,
            purges=purges,
            customers=customers,
            swap_script=settings.web.swap_script,
            purger=purger,
            readiness=Readiness(blobs=blobs, queue=queue, pool=pool, recipe=recipe),
        )
        # Uploads are swept also where no more are taken: those that are there expire.
        for chore in (
            keep_house(cache),
            keep_accounts(ledger, queue, mattes),
            sweep_uploads(shelf, web),
            changes.run(),
        ):
            stack.callback(asyncio.create_task(chore).cancel)
        yield web
