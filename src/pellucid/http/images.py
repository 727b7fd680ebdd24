"""The image route: parse, deliver, respond."""

from __future__ import annotations

import time
from collections.abc import Iterable

import structlog
from starlette.types import Receive, Scope, Send

from pellucid.errors import NoSuchPageError, PellucidError
from pellucid.http.authentication import Authenticator, client_of
from pellucid.http.headers import (
    ALWAYS,
    Headers,
    content_headers,
    credits_header,
    delivery_headers,
    depending,
    for_one_caller,
    is_not_modified,
)
from pellucid.http.hot import HotAnswer, HotCache, HotKey
from pellucid.http.hub import CutoutHub
from pellucid.http.negotiate import accepted_formats
from pellucid.http.paths import raw_path
from pellucid.http.prefer import preferred_wait_s
from pellucid.http.problems import INTERNAL, METHOD_NOT_ALLOWED, Problem, describe_error, kind_of, make_problem
from pellucid.http.status_responses import status_response
from pellucid.pipeline.deliver import Pipeline
from pellucid.pipeline.states import CutoutState, CutoutStatus, Dependence, ImageResult, StatusResult
from pellucid.source.loops import following, read_trail
from pellucid.url.parse import ParsedUrl, parse_url

_log = structlog.get_logger(__name__)

_READING = frozenset({"GET", "HEAD"})

_LOGGED = 300
"""Characters of a path in the log."""

_LASTING = frozenset({CutoutState.READY, CutoutState.NO_SUBJECT})

_PREFLIGHT: Headers = [
    *ALWAYS,
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", b"*, authorization"),  # which `*` does not cover
    (b"access-control-max-age", b"86400"),
]


class ImageApp:
    """An ASGI application: every path that is not one of our own names an origin. `instance` is this server's name in
    `CDN-Loop`: a request that came through here before is refused, unless its answer is at hand.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        authenticator: Authenticator,
        hot: HotCache,
        hub: CutoutHub,
        send_credits_header: bool,
        instance: str,
    ) -> None:
        self._pipeline = pipeline
        self._authenticator = authenticator
        self._hot = hot
        self._hub = hub
        self._send_credits_header = send_credits_header
        self._instance = instance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        if method in _READING:
            accept = if_none_match = b""
            for name, value in scope["headers"]:
                if name == b"accept":
                    accept = accept + b"," + value if accept else value
                elif name == b"if-none-match":
                    if_none_match = if_none_match + b"," + value if if_none_match else value
            accepted = accepted_formats(accept.decode("latin-1"))
            caller = self._authenticator.authenticate_or_none(scope["headers"])
            answer = self._hot.get((scope["raw_path"], scope["query_string"], accepted, caller)) if caller else None
            if answer is not None:
                await _send_hot(send, answer, if_none_match.decode("latin-1"), head=method == "HEAD")
                return
        if method == "OPTIONS":
            await _send(send, status=204, headers=_PREFLIGHT, body=b"", head=False)
            return
        started = time.perf_counter()
        dependence = Dependence()
        try:
            status, headers, body = await self._answer(scope, dependence)
        except PellucidError as error:
            problem = describe_error(error)
            getattr(_log, _level_of(error))(
                "problem", status=problem.status, path=scope["path"][:_LOGGED], error=str(error)
            )
            status, headers, body = _of(problem)
            headers = depending(headers, negotiable=dependence.negotiable, waited_s=dependence.waited_s)
            caller = self._authenticator.authenticate_or_none(scope["headers"])
            if caller is not None and caller.has_key:
                headers = for_one_caller(headers)
        except Exception:  # the edge: whatever it is, the client gets an answer and the log its traceback
            _log.exception("unexpected error", path=scope["path"][:_LOGGED])
            status, headers, body = _of(make_problem(INTERNAL))
        await _send(send, status=status, headers=headers, body=body, head=method == "HEAD")
        _log.debug("request", method=method, path=scope["path"][:_LOGGED], status=status, ms=_since_ms(started))

    async def _answer(self, scope: Scope, dependence: Dependence) -> tuple[int, Headers, bytes]:
        if scope["method"] not in ("GET", "HEAD"):
            return _of(make_problem(METHOD_NOT_ALLOWED))
        trail = read_trail(scope["headers"])
        trail.check(self._instance)
        with following(trail):
            return await self._answer_picture(scope, dependence)

    async def _answer_picture(self, scope: Scope, dependence: Dependence) -> tuple[int, Headers, bytes]:
        caller = self._authenticator.authenticate(scope["headers"])
        request = _joined(scope["headers"])
        parsed = parse_url(raw_path(scope), scope["query_string"].decode("latin-1"))
        accepted = accepted_formats(request.get(b"accept", ""))
        generation = self._hot.generation
        wait_s = preferred_wait_s(request[b"prefer"]) if b"prefer" in request else None
        delivery = await self._pipeline.deliver(
            caller.customer,
            parsed.spec,
            accepted=accepted,
            client=client_of(scope),
            max_wait_s=float(wait_s or 0),
            has_key=caller.has_key,
            dependence=dependence,
        )
        if delivery.cutout is not None:
            self._hub.observe(caller, parsed.spec, delivery.cutout)
        if isinstance(delivery, StatusResult):
            status, headers, body = status_response(delivery, parsed.spec)
            return status, [*headers, *self._credits(delivery.cutout)], body
        headers = delivery_headers(
            delivery,
            customer=caller.customer,
            spec=parsed.spec,
            ignored=_ignored(parsed, delivery.cutout),
            waited_s=dependence.waited_s,
        )
        headers += self._credits(delivery.cutout)
        content = content_headers(delivery, parsed.spec)
        if caller.has_key:
            headers = for_one_caller(headers)
        if not delivery.waited:
            key: HotKey = (scope["raw_path"], scope["query_string"], accepted, caller)
            self._keep(key, delivery, headers, content, generation=generation)
        if is_not_modified(request.get(b"if-none-match"), delivery.rendition.etag):
            return 304, headers, b""
        return 200, [*headers, *content], delivery.rendition.body

    def _credits(self, cutout: CutoutStatus | None) -> Headers:
        bill = cutout.bill if cutout is not None and self._send_credits_header else None
        return [] if bill is None else credits_header(bill)

    def _keep(self, key: HotKey, delivery: ImageResult, headers: Headers, content: Headers, *, generation: int) -> None:
        lasts = delivery.cutout is None or delivery.cutout.state in _LASTING
        if lasts and not delivery.origin.facts.damaged:
            self._hot.put(
                key,
                etag=delivery.rendition.etag,
                headers=headers,
                content=content,
                body=delivery.rendition.body,
                record_key=delivery.origin.record_key,
                fresh_s=delivery.origin.fresh_until - time.time(),
                generation=generation,
            )


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """Header values by name; lines of one name are one list (RFC 9110, section 5.3)."""
    joined: dict[bytes, str] = {}
    for name, value in headers:
        text = value.decode("latin-1")
        joined[name] = f"{joined[name]}, {text}" if name in joined else text
    return joined


async def _send_hot(send: Send, answer: HotAnswer, if_none_match: str, *, head: bool) -> None:
    if if_none_match and is_not_modified(if_none_match, answer.etag):
        await send({"type": "http.response.start", "status": 304, "headers": answer.not_modified})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": answer.headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})


async def _send(send: Send, *, status: int, headers: Headers, body: bytes, head: bool) -> None:
    if status not in (204, 304):
        headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


def _level_of(error: PellucidError) -> str:
    """How loud a problem is in the log: what robots try at every server is no news."""
    if isinstance(error, NoSuchPageError):
        return "debug"
    return "error" if kind_of(error).status >= 500 else "info"


def _of(problem: Problem) -> tuple[int, Headers, bytes]:
    return problem.status, problem.headers, problem.body


def _since_ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)


def _ignored(parsed: ParsedUrl, cutout: CutoutStatus | None) -> tuple[str, ...]:
    """What of the URL counts for nothing: also a callback for which there was no room."""
    unregistered = cutout is not None and cutout.unregistered and parsed.spec.removal.notify is not None
    return (*parsed.ignored, "bg_notify") if unregistered else parsed.ignored
