"""`/-/events`: the states of pictures as server-sent events (WHATWG HTML, section 9.2).

An event is sent when a state changes, and at the beginning for every picture. The id of an event is a digest of all
states: a browser that comes back when nothing can change any more gets a 204, which ends its asking. States are read
from store and queue: which web process answers does not matter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from pellucid import keys
from pellucid.errors import BusyError, PellucidError, SpecError
from pellucid.http.answers import NO_STORE, guarded, image_of, split_url
from pellucid.http.callers import Caller, Callers
from pellucid.http.headers import EVENTS, STATUS
from pellucid.http.problems import kind_of
from pellucid.http.status import Links, StatusDocument, describe_cutting
from pellucid.pipeline.deliver import Pipeline
from pellucid.pipeline.states import FINAL, Cutting
from pellucid.spec import Spec
from pellucid.url.build import build_url
from pellucid.url.parse import parse_url

MAX_WATCHED = 100
"""Pictures of one stream; their URLs must fit into one."""

_LOOK_S = 1.0
"""Positions are told anew this often; the end of a job is seen within 50 ms."""

_HEARTBEAT_S = 15.0
_RETRY_MS = 2000
_FULL_RETRY_S = 10


class EventsEndpoint:
    """Answers `/-/events/<path?query>` and `/-/events?url=<path?query>&url=...`. More than `max_streams` at a time get
    a 503; a stream counts from its request on.
    """

    def __init__(self, pipeline: Pipeline, callers: Callers, *, max_streams: int) -> None:
        self._pipeline = pipeline
        self._callers = callers
        self._max_streams = max_streams
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._open += 1
        try:
            response = await guarded(self._answer)(Request(scope, receive))
            await response(scope, receive, send)
        finally:
            self._open -= 1

    async def _answer(self, request: Request) -> Response:
        pictures = _pictures(request)
        if self._open > self._max_streams:
            raise BusyError("too many streams of events are open", retry_after_s=_FULL_RETRY_S)
        watch = Watch(self._pipeline, self._callers.of(request.scope["headers"]), pictures)
        news = await watch.look()
        if watch.settled and request.headers.get("last-event-id") == watch.id:
            return Response(status_code=204, headers=NO_STORE)
        headers = NO_STORE | {"x-accel-buffering": "no"}  # nginx would hold events back
        return StreamingResponse(watch.stream(news), media_type="text/event-stream", headers=headers)


def _pictures(request: Request) -> list[Watched]:
    if request.scope["path"].rstrip("/") != EVENTS:
        return [Watched(parse_url(*image_of(request, EVENTS)).spec)]
    urls = request.query_params.getlist("url")[:MAX_WATCHED]
    if not urls:
        raise SpecError("name pictures: /-/events/<path?query>, or /-/events?url=<path?query>&url=...")
    return [Watched(parse_url(*split_url(url)).spec, url) for url in urls]


@dataclass(frozen=True, slots=True)
class Watched:
    """One picture of a stream: what is asked for, and the caller's spelling where there are several."""

    spec: Spec
    asked: str | None = None


class Watch:
    """The pictures of one stream."""

    def __init__(self, pipeline: Pipeline, caller: Caller, pictures: Sequence[Watched]) -> None:
        self._pipeline = pipeline
        self._caller = caller
        self._pictures = tuple(dict.fromkeys(pictures))
        self._cuttings: dict[Watched, Cutting] = {}
        self._documents: dict[Watched, StatusDocument] = {}

    async def look(self) -> list[StatusDocument]:
        """Ask for every picture that may have changed; returns the documents that did."""
        unsettled = [each for each in self._pictures if not self._is_settled(each)]
        found = await asyncio.gather(*(self._document(each) for each in unsettled))
        news = [new for each, new in zip(unsettled, found, strict=True) if not _same(self._documents.get(each), new)]
        self._documents |= dict(zip(unsettled, found, strict=True))
        return news

    @property
    def settled(self) -> bool:
        """Whether nothing can change any more without a request."""
        return all(self._is_settled(each) for each in self._pictures)

    @property
    def id(self) -> str:
        """Names the states of all pictures."""
        return keys.digest(" ".join(self._documents[each].state for each in self._pictures).encode())[:16]

    async def stream(self, news: Sequence[StatusDocument]) -> AsyncIterator[bytes]:
        """`news`, then events as they come, until all is settled."""
        yield f"retry: {_RETRY_MS}\n\n".encode()
        spoke = time.monotonic()
        while True:
            for document in news:
                yield self._event(document)
                spoke = time.monotonic()
            if self.settled:
                return
            await self._pause()
            news = await self.look()
            if not news and time.monotonic() - spoke > _HEARTBEAT_S:
                yield b": still here\n\n"
                spoke = time.monotonic()

    def _event(self, document: StatusDocument) -> bytes:
        data = msgspec.json.encode(document).decode()
        return f"id: {self.id}\nevent: {document.state}\ndata: {data}\n\n".encode()

    async def _pause(self) -> None:
        """Until one of the jobs ends, at most until positions are to be told anew."""
        owed = [self._cuttings[each] for each in self._pictures if not self._is_settled(each) and self._is_owed(each)]
        waits = [asyncio.ensure_future(self._pipeline.wait(each, timeout_s=_LOOK_S)) for each in owed]
        if not waits:
            await asyncio.sleep(_LOOK_S)
            return
        _, others = await asyncio.wait(waits, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        for each in others:
            each.cancel()

    def _is_owed(self, picture: Watched) -> bool:
        cutting = self._cuttings.get(picture)
        return cutting is not None and cutting.is_owed

    def _is_settled(self, picture: Watched) -> bool:
        document = self._documents.get(picture)
        return document is not None and (document.state in FINAL or document.state == _PROBLEM)

    async def _document(self, picture: Watched) -> StatusDocument:
        try:
            caller = self._caller
            cutting = await self._pipeline.look(caller.token, picture.spec, keyed=caller.keyed)
        except PellucidError as error:
            kind = kind_of(error)
            known = self._documents.get(picture)
            if kind.status >= 500 and known is not None:
                return known  # a queue or an origin that stumbles: looked at again
            url = build_url(picture.spec)
            links = Links(image=url, status=STATUS + url, events=EVENTS + url)
            return StatusDocument(image=url, state=_PROBLEM, asked=picture.asked, links=links, reason=kind.slug)
        self._cuttings[picture] = cutting
        return describe_cutting(cutting, picture.spec, asked=picture.asked)


_PROBLEM = "problem"
"""The state of a picture that cannot be had; `reason` is the problem's type."""


def _same(old: StatusDocument | None, new: StatusDocument) -> bool:
    """Whether nothing worth an event changed: estimates flicker."""
    return old is not None and (old.state, old.position, old.attempts) == (new.state, new.position, new.attempts)
