"""The ASGI application of one web process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pellucid.cutout.recipe import Recipe
from pellucid.http.callers import Callers
from pellucid.http.demo import demo_routes
from pellucid.http.headers import ALWAYS, UPLOAD_LIFE_S, Lifetimes
from pellucid.http.hot import HotCache
from pellucid.http.images import ImageApp
from pellucid.http.paths import own_scope
from pellucid.http.service import service_routes
from pellucid.settings.model import SettingsTree
from pellucid.wiring.web import Web, open_web


def create_app(settings: SettingsTree, *, recipe: Recipe) -> ASGIApp:
    """The application. Everything it needs is opened by its lifespan and closed with it."""
    return _App(settings, recipe=recipe)


class _App:
    def __init__(self, settings: SettingsTree, *, recipe: Recipe) -> None:
        self._settings = settings
        self._recipe = recipe
        self._images: ImageApp | None = None
        self._service: Starlette = Starlette(lifespan=self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Pictures go past the router: its path handling decodes what an origin's URL needs encoded, and costs time.
        if scope["type"] == "http" and self._images is not None:
            own = own_scope(scope)
            if own is None:
                await self._images(scope, receive, send)
                return
            scope = own
        await self._service(scope, receive, _with_always(send) if scope["type"] == "http" else send)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncGenerator[None, None]:
        async with open_web(self._settings, recipe=self._recipe) as web:
            hot = self._open(web)
            follower = asyncio.create_task(web.follow_purges(hot.forget))
            yield
            follower.cancel()

    def _open(self, web: Web) -> HotCache:
        cache = self._settings.cache
        lifetimes = Lifetimes(
            browser_s=cache.browser_s,
            cdn_s=cache.cdn_s,
            pending_s=cache.pending_s,
            failed_s=cache.failed_s,
            stale_s=cache.stale_s,
            upload_s=min(UPLOAD_LIFE_S, int(self._settings.uploads.keep_s)),
            targeted=self._settings.cdn.targeted,
        )
        hot = HotCache(max_bytes=cache.memory_bytes // 2)
        callers = Callers(web.customers, admin_key=self._settings.web.admin_key.get_secret_value())
        tell_credits = self._settings.credits.header
        self._images = ImageApp(web.pipeline, callers=callers, lifetimes=lifetimes, hot=hot, tell_credits=tell_credits)
        self._service.router.routes.extend([*demo_routes(self._settings), *service_routes(web, callers)])
        return hot


def _with_always(send: Send) -> Send:
    """`send`, with the headers that every answer has added to those that lack them."""

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(pair for pair in ALWAYS if pair[0] not in present)]
        await send(message)

    return adding
