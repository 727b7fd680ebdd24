"""The ASGI application of one web process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pellucid.cutout.recipe import Recipe
from pellucid.errors import LoopDetectedError, PellucidError
from pellucid.http.authentication import Authenticator
from pellucid.http.connections import ConnectionLimits
from pellucid.http.demo import demo_routes
from pellucid.http.headers import ALWAYS
from pellucid.http.hot import HotCache
from pellucid.http.hub import CutoutHub, HubLimits
from pellucid.http.images import ImageApp
from pellucid.http.pages import open_pages, page_routes
from pellucid.http.paths import own_scope
from pellucid.http.problems import describe_error
from pellucid.http.responses import problem_answer
from pellucid.http.service import service_routes
from pellucid.settings.model import SettingsTree
from pellucid.source.loops import following, read_trail
from pellucid.wiring.background import restarting
from pellucid.wiring.web import Web, open_web


def create_app(settings: SettingsTree, *, recipe: Recipe) -> ASGIApp:
    """The application."""
    return App(settings, recipe=recipe)


class App:
    """An ASGI application. Everything it needs is opened by its lifespan and closed with it."""

    def __init__(self, settings: SettingsTree, *, recipe: Recipe) -> None:
        self.failure: Exception | None = None
        """Why it could not start."""
        self._stop_waiting: list[Callable[[], None]] = []
        self._settings = settings
        self._recipe = recipe
        self._images: ImageApp | None = None
        self._instance = ""
        self._service: Starlette = Starlette(lifespan=self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Pictures go past the router: its path handling decodes what an origin's URL needs encoded, and costs time.
        if scope["type"] == "http" and self._images is not None:
            own = own_scope(scope)
            if own is None:
                await self._images(scope, receive, send)
                return
            await self._answer_own(own, receive, _with_always(send))
            return
        await self._service(scope, receive, self._telling(send))

    async def _answer_own(self, scope: Scope, receive: Receive, send: Send) -> None:
        trail = read_trail(scope["headers"])
        try:
            trail.check(self._instance)
        except LoopDetectedError as error:
            await problem_answer(describe_error(error))(scope, receive, send)
            return
        with following(trail):
            await self._service(scope, receive, send)

    def stop_waiting(self) -> None:
        """Give every answer that is held back on purpose: waiting ends with the interim, streams of events with word to
        come back.
        """
        for stop in self._stop_waiting:
            stop()

    def _telling(self, send: Send) -> Send:
        """`send`, without the traceback of what `failure` says in a sentence."""

        async def telling(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed" and isinstance(self.failure, PellucidError):
                message = {"type": message["type"], "message": ""}
            await send(message)

        return telling

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncGenerator[None, None]:
        async with AsyncExitStack() as stack:
            try:
                web = await stack.enter_async_context(open_web(self._settings, recipe=self._recipe))
            except Exception as error:
                self.failure = error
                raise
            hub = CutoutHub(web.pipeline.cutout_status, web.queue, limits=_hub_limits_of(self._settings))
            stack.push_async_callback(hub.aclose)
            hot = self._open(web, hub)
            stack.callback(asyncio.create_task(restarting(partial(web.follow_invalidations, hot.forget))).cancel)
            self._stop_waiting = [hub.close, web.queue.stop_waiting]
            yield

    def _open(self, web: Web, hub: CutoutHub) -> HotCache:
        hot = HotCache(max_bytes=self._settings.cache.memory_bytes // 2)
        authenticator = Authenticator(web.customers, admin_key=self._settings.web.admin_key.get_secret_value())
        send_credits_header = self._settings.credits.header
        self._images = ImageApp(
            web.pipeline,
            authenticator=authenticator,
            hot=hot,
            hub=hub,
            send_credits_header=send_credits_header,
            instance=web.instance,
        )
        self._instance = web.instance
        pages = open_pages(demo=self._settings.web.demo)
        self._service.router.routes.extend(
            [
                *demo_routes(self._settings, authenticator, pages.frame),
                *page_routes(pages),
                *service_routes(web, authenticator, hub, pages.frame),
            ]
        )
        return hot


def connection_limits_of(settings: SettingsTree) -> ConnectionLimits:
    """Bounds on what comes in."""
    web = settings.web
    limits = ConnectionLimits(
        per_client=web.connections_per_client,
        trusted=web.trusted_proxies,
        head_s=web.head_timeout_s,
        idle_s=web.idle_timeout_s,
        stall_s=web.stall_timeout_s,
        unsent_bytes=web.unsent_bytes,
        unsent_bytes_per_client=web.unsent_bytes_per_client,
    )
    return limits if web.connections is None else replace(limits, total=web.connections)


def _hub_limits_of(settings: SettingsTree) -> HubLimits:
    web = settings.web
    return HubLimits(
        streams=web.event_streams,
        streams_per_client=web.event_streams_per_client,
        pictures=web.event_pictures,
        pictures_per_client=web.event_pictures_per_client,
    )


def _with_always(send: Send) -> Send:
    """`send`, with the headers that every answer has added to those that lack them."""

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(pair for pair in ALWAYS if pair[0] not in present)]
        await send(message)

    return adding
