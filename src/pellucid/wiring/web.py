"""A web process: its stores, queue, fetcher and render pool, opened in order and closed in reverse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from pellucid.customers.customer import Customers
from pellucid.cutout.recipe import Recipe, tier_of
from pellucid.database.database import Database
from pellucid.errors import DatabaseError
from pellucid.formats import ImageFormat
from pellucid.invalidation.log import Invalidation, InvalidationLog
from pellucid.invalidation.validity import Validity
from pellucid.mattes.catalogue import Catalogue
from pellucid.mattes.files import MatteFiles
from pellucid.notify.cdn import ANYWHERE
from pellucid.notify.purge import CdnPurger
from pellucid.notify.sender import Sender
from pellucid.pipeline.cutouts import CutoutResolver
from pellucid.pipeline.deliver import Pipeline
from pellucid.pipeline.insights import InsightResolver
from pellucid.pipeline.pages import PageResolver
from pellucid.queue.queue import Queue
from pellucid.render.pool import RenderPool
from pellucid.settings.model import SettingsTree
from pellucid.source.bodies import Bodies
from pellucid.source.fetch import Fetcher
from pellucid.source.memory import BodyMemory
from pellucid.source.netguard import Guard
from pellucid.source.origins import Origins
from pellucid.source.resolver import NameResolver
from pellucid.spec import DEFAULT_TOKEN, OriginRef, Token
from pellucid.store import keys
from pellucid.store.bounded import BoundedBlobs
from pellucid.store.objects import ObjectBlobs, free_bytes
from pellucid.store.renditions import Renditions
from pellucid.uploads.store import UPLOADS_ALIAS, UploadStore
from pellucid.wiring.accounts import charge_every_s_of, customers_of, ledger_of
from pellucid.wiring.background import (
    restarting,
    run_eviction,
    run_matte_upkeep,
    run_queue_upkeep,
    run_sender,
    run_upload_expiry,
)
from pellucid.wiring.changes import ChangedOrigins
from pellucid.wiring.readiness import Readiness, Report
from pellucid.wiring.storage import (
    Paths,
    instance_name,
    open_blobs,
    open_database,
    open_outbox,
    open_queue,
    store_name,
)
from pellucid.wiring.values import (
    cdn_api_of,
    fetch_limits_of,
    freshness_of,
    message_session,
    origin_headers_of,
    pool_limits_of,
    signing_keys_of,
    upload_limits_of,
    webhook_targets_of,
)

_log = structlog.get_logger(__name__)

FOLLOW_S = 1.0
"""How often a process looks for invalidations that another one was told."""

_PROPAGATION_S = FOLLOW_S + 0.2

_SLACK_S = 5.0
"""Beyond the longest rendering, an answer that was begun before an invalidation is out."""

_LOGGED_AGAIN_S = 60.0
"""Between two lines in the log about one trouble that lasts."""

_NAMED = 10_000
"""Records that one look at the answers in memory drops by name; of more, all answers are dropped."""

_THREADS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """What a web process holds open."""

    pipeline: Pipeline
    queue: Queue
    database: Database
    blobs: ObjectBlobs
    pool: RenderPool
    recipe: Recipe
    instance: str
    """This server's name in `CDN-Loop`."""
    mattes: Catalogue
    cache: BoundedBlobs
    origins: Origins
    uploads: UploadStore | None
    """None where uploads are not taken."""
    invalidations: InvalidationLog
    customers: Customers
    swap_script: bool
    purger: CdnPurger
    readiness: Readiness

    async def invalidate(self, refs: Collection[OriginRef], paths: Sequence[str]) -> None:
        """On return no web process believes what it knew of these origins, for whichever token, and the CDN is being
        told to drop what has their tags or lies at `paths`: in this order, or it would fetch the old answers again.
        Raises DatabaseError.
        """
        await self._invalidate(list(refs), paths)

    async def invalidate_uploads(self, names: Sequence[str]) -> None:
        """`invalidate` for uploads of these names, whoever asked for them."""
        refs = [OriginRef(alias=UPLOADS_ALIAS, path=f"/{name}") for name in names]
        await self._invalidate(refs, [f"/{ref}" for ref in refs])

    async def drop_bytes(self, digest: str) -> None:
        """Remove an origin's bytes from the store, and the mattes made of them. Raises StoreError."""
        await self.cache.delete(keys.origin_bytes_key(digest))
        await self.mattes.drop(digest)

    async def _invalidate(self, refs: Sequence[OriginRef], paths: Sequence[str]) -> None:
        await self.invalidations.append([Invalidation(origin=keys.origin_digest_of(ref)) for ref in refs])
        await asyncio.sleep(_PROPAGATION_S)
        tags = [keys.origin_tag(token, ref) for token in self._everybody for ref in refs]
        await self.purger.purge(tags, paths)

    @property
    def _everybody(self) -> set[Token]:
        return {DEFAULT_TOKEN, *self.customers.tokens}

    async def follow_invalidations(self, forget: Callable[[Set[str] | None], None]) -> None:
        """Hear what other processes, and this one, invalidated; `forget` gets the record keys, None for everything.
        While the database is away, what is known is kept; what was told meanwhile is heard afterwards.
        """
        failed_at: float | None = None
        while True:
            begun = self.invalidations.has_started
            try:
                appended = await self.invalidations.read_new()
            except DatabaseError as error:
                if failed_at is None or time.monotonic() > failed_at + _LOGGED_AGAIN_S:
                    _log.error("invalidations cannot be read now", error=str(error))
                    failed_at = time.monotonic()
            else:
                failed_at = None
                if appended is None:
                    _log.error("invalidations are lost, every origin is asked again")
                named = self._named_by(appended) if begun and appended is not None else None
                if named is None or named:
                    forget(named)
            await asyncio.sleep(FOLLOW_S)

    def _named_by(self, appended: Sequence[Invalidation]) -> Set[str] | None:
        """The records that are named, None for all."""
        everybody = self._everybody
        if any(not each.origin for each in appended) or len(appended) * len(everybody) > _NAMED:
            return None
        return {
            keys.record_key_of(token, each.origin)
            for each in appended
            for token in ((Token(each.token),) if each.token else everybody)
        }

    async def check_ready(self) -> Report:
        """Whether this process can do its work."""
        return await self.readiness.check()


class Pins:
    """What eviction must not touch: the origins of all that is owed. While the database is away, those of before:
    nothing new is owed then, and the cache must not grow.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._last: frozenset[str] = frozenset()

    async def ask(self) -> frozenset[str]:
        try:
            self._last = frozenset(keys.origin_bytes_key(owed) for owed in await self._queue.pending_origins())
        except DatabaseError as error:
            _log.warning("what is owed is not known now", error=str(error), known=len(self._last))
        return self._last


@asynccontextmanager
async def open_web(settings: SettingsTree, *, recipe: Recipe) -> AsyncGenerator[Web, None]:
    """Everything a web process needs, opened in order and closed in reverse."""
    paths = Paths.below(settings.data_dir)
    # Files of aliases are read and bytes hashed on the default executor; asyncio's own has six threads on two cores,
    # and as many reads from a slow share would stop all of that. Host names are resolved without threads.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="io"))
    async with AsyncExitStack() as stack:
        blobs = open_blobs(settings)
        database = await stack.enter_async_context(open_database(settings))
        queue = await stack.enter_async_context(open_queue(settings, database))
        outbox = open_outbox(settings, database)
        customers = customers_of(settings)

        cache = BoundedBlobs(
            blobs,
            index=paths.cache_index,
            prefixes=("bytes", "origins", "renditions", "insights"),
            max_bytes=settings.cache.max_bytes,
            pinned=Pins(queue).ask,
            min_free_bytes=settings.cache.min_free_bytes,
            free_bytes=partial(free_bytes, settings.data_dir),
        )
        await cache.open()
        stack.push_async_callback(cache.aclose)
        pool = await stack.enter_async_context(RenderPool(pool_limits_of(settings)))
        instance = await asyncio.to_thread(instance_name, paths)
        freshness = freshness_of(settings)
        validity = Validity()
        store = await asyncio.to_thread(store_name, paths)
        invalidations = InvalidationLog(database, validity, store=store)
        cdn = cdn_api_of(settings)
        # An answer that was begun before an invalidation may wait for its lane, twice, before it is rendered.
        again_s = 2 * settings.render.wait_s + settings.render.timeout_s + _SLACK_S
        purger = CdnPurger(outbox, api=cdn, again_s=again_s)
        # Closed after what fetches, which may find a change until then.
        changes = ChangedOrigins(invalidations, purger, store=store, propagation_s=_PROPAGATION_S)
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
                instance=instance,
                contact=settings.origin.contact,
                resolver=resolver,
            )
        )
        origins = Origins(
            fetcher=fetcher,
            records=cache,
            bodies=Bodies(cache, probe=pool.probe_when_read),
            memory=BodyMemory(settings.origin.memory_bytes, largest_bytes=settings.origin.max_bytes),
            freshness=freshness,
            headers=origin_headers_of(settings),
            validity=validity,
            changed=changes.add,
        )
        try:
            while await invalidations.read_new():
                pass
        except DatabaseError as error:
            _log.error("invalidations cannot be read now", error=str(error))  # `follow_invalidations` will

        mattes = Catalogue(database, blobs, store=store, tier_of=tier_of)

        async def has_bytes(digest: str) -> bool:
            """Somebody else's picture as well; its bytes may have been evicted, while its mattes stay."""
            return await blobs.exists(keys.origin_bytes_key(digest)) or await mattes.has(digest)

        upload_store = await UploadStore.open(
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
        cutouts = CutoutResolver(
            queue=queue,
            origins=origins,
            ledger=ledger_of(settings),
            customers=customers,
            recipe=recipe,
            show_stale=settings.cache.show_stale,
            charge_every_s=charge_every_s_of(settings),
            lacks_space=cache.lacks_space,
            adopt=mattes.adopt,
        )
        pipeline = Pipeline(
            origins=origins,
            pages=PageResolver(origins=origins, pool=pool),
            insights=InsightResolver(blobs=cache, origins=origins, pool=pool),
            mattes=MatteFiles(blobs),
            cutouts=cutouts,
            renditions=renditions,
            pool=pool,
            max_output_pixels=settings.image.max_output_pixels,
            max_enlarged_pixels=settings.image.max_enlarged_pixels,
            wait_s=settings.web.wait_s,
            negotiate=frozenset(map(ImageFormat, settings.image.negotiate)),
            render_memory_bytes=settings.render.memory_bytes,
            webhook_targets=webhook_targets_of(settings, guard),
        )
        sender = Sender(
            outbox,
            webhooks=await stack.enter_async_context(message_session(settings, guard=guard, resolver=resolver)),
            purges=await stack.enter_async_context(message_session(settings, guard=ANYWHERE, resolver=resolver)),
            keys=signing_keys_of(settings),
            cdn=cdn,
            timeout_s=settings.notify.timeout_s,
            concurrency=settings.notify.concurrency,
        )
        await stack.enter_async_context(run_sender(sender))
        web = Web(
            pipeline=pipeline,
            queue=queue,
            database=database,
            blobs=blobs,
            pool=pool,
            recipe=recipe,
            instance=instance,
            mattes=mattes,
            cache=cache,
            origins=origins,
            uploads=upload_store if settings.uploads.enabled else None,
            invalidations=invalidations,
            customers=customers,
            swap_script=settings.web.swap_script,
            purger=purger,
            readiness=Readiness(blobs=blobs, queue=queue, pool=pool, recipe=recipe),
        )
        # Uploads are swept also where no more are taken: those that are there expire.
        for task in (
            partial(run_eviction, cache),
            partial(run_queue_upkeep, queue),
            partial(run_matte_upkeep, mattes, cutouts.take_uses, warn_bytes=settings.mattes.warn_bytes),
            partial(run_upload_expiry, upload_store, web),
            changes.run,
        ):
            stack.callback(asyncio.create_task(restarting(task)).cancel)
        yield web
