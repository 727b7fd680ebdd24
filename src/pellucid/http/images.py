"""The image route: parse, deliver, respond."""

from __future__ import annotations

import time
from collections.abc import Iterable

import structlog
from starlette.types import Receive, Scope, Send

from pellucid.errors import PellucidError
from pellucid.http.headers import ALWAYS, Headers, Lifetimes, delivery_headers, is_not_modified
from pellucid.http.negotiate import accepted_formats
from pellucid.http.problems import INTERNAL, METHOD_NOT_ALLOWED, Problem, describe_error, kind_of, make_problem
from pellucid.pipeline import Pipeline
from pellucid.spec import DEFAULT_TOKEN
from pellucid.url.parse import parse_url

_log = structlog.get_logger(__name__)

_LOGGED = 300
"""Characters of a path in the log."""

_PREFLIGHT: Headers = [
    *ALWAYS,
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-max-age", b"86400"),
    (b"content-length", b"0"),
]


class ImageApp:
    """An ASGI application: every path that is not one of our own names an origin."""

    def __init__(self, pipeline: Pipeline, *, lifetimes: Lifetimes) -> None:
        self._pipeline = pipeline
        self._lifetimes = lifetimes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        if method == "OPTIONS":
            await _send(send, status=204, headers=_PREFLIGHT, body=b"", head=False)
            return
        started = time.perf_counter()
        try:
            status, headers, body = await self._answer(scope)
        except PellucidError as error:
            problem = describe_error(error)
            level = "error" if kind_of(error).status >= 500 else "info"
            getattr(_log, level)("problem", status=problem.status, path=scope["path"][:_LOGGED], error=str(error))
            status, headers, body = _of(problem)
        except Exception:  # the edge: whatever it is, the client gets an answer and the log its traceback
            _log.exception("unexpected error", path=scope["path"])
            status, headers, body = _of(make_problem(INTERNAL))
        await _send(send, status=status, headers=headers, body=body, head=method == "HEAD")
        _log.debug("request", method=method, path=scope["path"], status=status, ms=_since_ms(started))

    async def _answer(self, scope: Scope) -> tuple[int, Headers, bytes]:
        if scope["method"] not in ("GET", "HEAD"):
            return _of(make_problem(METHOD_NOT_ALLOWED))
        request = _joined(scope["headers"])
        parsed = parse_url(_raw_path(scope), scope["query_string"].decode("latin-1"))
        delivery = await self._pipeline.deliver(
            DEFAULT_TOKEN, parsed.spec, accepted=accepted_formats(request.get(b"accept", ""))
        )
        headers = delivery_headers(delivery, ignored=parsed.ignored, lifetimes=self._lifetimes)
        if is_not_modified(request.get(b"if-none-match"), delivery.rendition.etag):
            return 304, headers, b""
        headers.append((b"content-type", delivery.rendition.media_type.encode()))
        return 200, headers, delivery.rendition.body


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """Header values by name; lines of one name are one list (RFC 9110, section 5.3)."""
    joined: dict[bytes, str] = {}
    for name, value in headers:
        text = value.decode("latin-1")
        joined[name] = f"{joined[name]}, {text}" if name in joined else text
    return joined


def _raw_path(scope: Scope) -> str:
    """The path as it was sent: `scope["path"]` is decoded, which would damage an encoded origin."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("latin-1")


async def _send(send: Send, *, status: int, headers: Headers, body: bytes, head: bool) -> None:
    if status not in (204, 304):
        headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


def _of(problem: Problem) -> tuple[int, Headers, bytes]:
    return problem.status, problem.headers, problem.body


def _since_ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
