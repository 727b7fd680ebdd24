"""`/-/events`: the states of pictures as server-sent events (WHATWG HTML, section 9.2).

An event is sent when a state changes, and at the beginning for every picture. The id of an event is a digest of all
states: a browser that comes back when nothing can change any more gets a 204, which ends its asking. States are read
from store and queue: which web process answers does not matter. What is read is read once for all streams (`http.hub`).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from pellucid.errors import PellucidError, SpecError
from pellucid.http.authentication import Authenticator, Caller, client_of
from pellucid.http.headers import EVENTS, STATUS
from pellucid.http.hub import CutoutHub, CutoutKey, Subscription, Watcher
from pellucid.http.problems import describe_error, kind_of
from pellucid.http.responses import NO_STORE, image_of, problem_answer, split_url
from pellucid.http.status import Links, StatusDocument, describe_cutout
from pellucid.spec import Spec
from pellucid.store import keys
from pellucid.url.build import build_url
from pellucid.url.parse import parse_url

MAX_WATCHED = 100
"""Pictures of one stream; their URLs must fit into one."""

_FIRST_S = 2.0
"""What a stream waits for the states of all pictures before it begins; those that take longer follow."""

_HEARTBEAT_S = 15.0
_RETRY_MS = 2000

_STOPPED_RETRY_MS = (500, 3000)
"""When browsers come back to a server that stops: not all at once."""

_MEDIA_TYPE = "text/event-stream"


class EventsEndpoint:
    """Answers `/-/events/<path?query>` and `/-/events?url=<path?query>&url=...` with what `hub` sees. Where there is no
    room for another stream or its pictures the answer is a 503.
    """

    def __init__(self, hub: CutoutHub, authenticator: Authenticator) -> None:
        self._hub = hub
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            pictures = _pictures(request)
            caller = self._authenticator.authenticate(scope["headers"])
            specs = [each.spec for each in pictures]
            async with self._hub.subscribe(caller, specs, client_of(scope)) as subscription:
                watch = Watch(self._hub, subscription, caller, pictures)
                response = await self._answer(request, watch)
                await response(scope, receive, send)
        except PellucidError as error:
            await problem_answer(describe_error(error))(scope, receive, send)

    async def _answer(self, request: Request, watch: Watch) -> Response:
        changed = await watch.first_read()
        if watch.settled and request.headers.get("last-event-id") == watch.id:
            return Response(status_code=204, headers=NO_STORE)
        headers = NO_STORE | {"x-accel-buffering": "no"}  # nginx would hold events back
        if request.method == "HEAD":
            return Response(media_type=_MEDIA_TYPE, headers=headers)
        return StreamingResponse(watch.stream(changed), media_type=_MEDIA_TYPE, headers=headers)


def _pictures(request: Request) -> list[Watched]:
    if request.scope["path"].rstrip("/") != EVENTS:
        return [Watched(parse_url(*image_of(request, EVENTS)).spec)]
    urls = request.query_params.getlist("url")[:MAX_WATCHED]
    if not urls:
        raise SpecError("name pictures: /-/events/<path?query>, or /-/events?url=<path?query>&url=...")
    return list(dict.fromkeys(Watched(parse_url(*split_url(url)).spec, url) for url in urls))


@dataclass(frozen=True, slots=True)
class Watched:
    """One picture of a stream: what is asked for, and the caller's spelling where there are several."""

    spec: Spec
    asked: str | None = None


class Watch:
    """The pictures of one stream."""

    def __init__(self, hub: CutoutHub, subscription: Subscription, caller: Caller, pictures: Sequence[Watched]) -> None:
        self._hub = hub
        self._subscription = subscription
        self._pictures = pictures
        self._by_key: dict[CutoutKey, list[Watched]] = {}
        for each in pictures:
            self._by_key.setdefault(CutoutKey.of(caller, each.spec), []).append(each)
        self._documents: dict[Watched, StatusDocument] = {}

    async def first_read(self) -> list[StatusDocument]:
        """What is known of the pictures within a moment."""
        watchers = list(self._subscription.watchers.values())
        try:
            async with asyncio.timeout(_FIRST_S):
                for watcher in watchers:
                    await watcher.known.wait()
        except TimeoutError:
            pass
        return self._read([each for each in watchers if each.known.is_set()])

    @property
    def settled(self) -> bool:
        """Whether nothing can change any more without a request."""
        return not self._subscription.watchers

    @property
    def id(self) -> str:
        """Names the states of all pictures."""
        documents = [self._documents.get(each) for each in self._pictures]
        return keys.digest(" ".join("?" if each is None else each.state for each in documents).encode())[:16]

    async def stream(self, changed: Sequence[StatusDocument]) -> AsyncIterator[bytes]:
        """`changed`, then events as they come, until all is settled or the process stops."""
        yield f"retry: {_RETRY_MS}\n\n".encode()
        spoke = time.monotonic()
        while True:
            if changed:
                yield self._events(changed)
                spoke = time.monotonic()
            if self.settled:
                return
            if self._hub.closing:
                yield f"retry: {random.randint(*_STOPPED_RETRY_MS)}\n\n".encode()  # noqa: S311 - no secret
                return
            changed = await self._next(_HEARTBEAT_S - (time.monotonic() - spoke))
            if not changed and time.monotonic() - spoke >= _HEARTBEAT_S:
                yield b": still here\n\n"
                spoke = time.monotonic()

    async def _next(self, timeout_s: float) -> list[StatusDocument]:
        """What changed, as soon as something does."""
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self._subscription.woken.wait()
        except TimeoutError:
            return []
        self._subscription.woken.clear()
        return self._read(list(self._subscription.changed))

    def _read(self, watchers: Sequence[Watcher]) -> list[StatusDocument]:
        """The documents of `watchers` that are news. Those that are settled are watched no longer."""
        fresh: dict[Watched, StatusDocument] = {}
        for watcher in watchers:
            self._subscription.changed.discard(watcher)
            for picture in self._by_key[watcher.key]:
                document = _describe(watcher, picture)
                if document is not None and not _same(self._documents.get(picture), document):
                    fresh[picture] = document
            if watcher.is_settled:
                self._hub.release(self._subscription, watcher)
        self._documents |= fresh
        return [fresh[each] for each in self._pictures if each in fresh]

    def _events(self, documents: Sequence[StatusDocument]) -> bytes:
        name = self.id
        return b"".join(
            f"id: {name}\nevent: {each.state}\ndata: {msgspec.json.encode(each).decode()}\n\n".encode()
            for each in documents
        )


_PROBLEM = "problem"
"""The state of a picture that cannot be had; `reason` is the problem's type."""


def _describe(watcher: Watcher, picture: Watched) -> StatusDocument | None:
    """What is known, as the caller wants it; None before the first look."""
    if watcher.problem is not None:
        url = build_url(picture.spec)
        links = Links(image=url, status=STATUS + url, events=EVENTS + url)
        reason = kind_of(watcher.problem).slug
        return StatusDocument(image=url, state=_PROBLEM, asked=picture.asked, links=links, reason=reason)
    if watcher.cutout is None:
        return None
    return describe_cutout(watcher.cutout, picture.spec, asked=picture.asked)


def _same(old: StatusDocument | None, new: StatusDocument) -> bool:
    """Whether nothing worth an event changed: estimates flicker."""
    return old is not None and (old.state, old.position, old.attempts) == (new.state, new.position, new.attempts)
