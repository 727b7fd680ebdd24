"""The server's own routes: is it alive, is it ready, what it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from hmac import compare_digest
from importlib import resources
from importlib.metadata import version

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from pellucid.errors import BusyError, PellucidError, SpecError
from pellucid.http.events import MAX_WATCHED, Watch, Watched
from pellucid.http.headers import EVENTS, STATUS
from pellucid.http.images import raw_path
from pellucid.http.problems import KEY_NEEDED, NO_SUCH_PAGE, Problem, describe_error, make_problem
from pellucid.http.status import describe_cutting
from pellucid.spec import DEFAULT_TOKEN
from pellucid.url.parse import parse_url
from pellucid.wiring.web import Web

_NO_STORE = {"cache-control": "no-store"}

_STREAMS_RETRY_S = 10
_SWAP_SCRIPT = resources.files("pellucid.http").joinpath("swap.js").read_bytes()


class _Invalidation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `/-/invalidate`: URLs on this server, or their paths and queries. One picture stands for all of its
    origin's.
    """

    urls: list[str]


_FRONT_PAGE = """\
Pellucid {version}: pictures without their background, by URL.

  /<host>/<path>?w=400                            400 px wide
  /<host>/<path>?w=400&bg_remove=1                without its background
  /<host>/<path>?w=400&bg_remove=1&bg_color=456   on #445566

The first answer to bg_remove is the original with `Pellucid-Cutout: pending` and 5 s to live; ask again.
"""


def service_routes(web: Web) -> list[Route]:
    """Routes that answer from `web`."""
    streams = 0

    async def status(request: Request) -> Response:
        spec = parse_url(*_image_of(request, STATUS)).spec
        cutting = await web.pipeline.look(DEFAULT_TOKEN, spec)
        return _json(describe_cutting(cutting, spec))

    async def events(request: Request) -> Response:
        nonlocal streams
        if request.scope["path"].rstrip("/") == EVENTS:
            urls = request.query_params.getlist("url")[:MAX_WATCHED]
            pictures = [Watched(parse_url(*_split(url)).spec, url) for url in urls]
        else:
            pictures = [Watched(parse_url(*_image_of(request, EVENTS)).spec)]
        if not pictures:
            raise SpecError("name pictures: /-/events/<path?query>, or /-/events?url=<path?query>&url=...")
        if streams >= web.max_event_streams:
            raise BusyError("too many streams of events are open", retry_after_s=_STREAMS_RETRY_S)
        watch = Watch(web.pipeline, DEFAULT_TOKEN, pictures)
        news = await watch.look()
        if watch.settled and request.headers.get("last-event-id") == watch.id:
            return Response(status_code=204, headers=_NO_STORE)

        async def stream() -> AsyncIterator[bytes]:
            nonlocal streams
            streams += 1
            try:
                async for part in watch.stream(news):
                    yield part
            finally:
                streams -= 1

        headers = _NO_STORE | {"x-accel-buffering": "no"}  # nginx would hold events back
        return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)

    async def invalidate(request: Request) -> Response:
        if not web.admin_key or not compare_digest(
            request.headers.get("authorization", "").encode(), f"Bearer {web.admin_key}".encode()
        ):
            return _problem(make_problem(KEY_NEEDED, detail="send Authorization: Bearer <PELLUCID_WEB_ADMIN_KEY>"))
        try:
            wish = msgspec.json.decode(await request.body(), type=_Invalidation)
        except msgspec.DecodeError as error:
            raise SpecError(f'the body must be JSON like {{"urls": ["/host/path.jpg"]}} ({error})') from error
        refs = {parse_url(*_split(url)).spec.origin for url in wish.urls}
        await web.invalidate(DEFAULT_TOKEN, refs, ["?".join(filter(None, _split(url))) for url in wish.urls])
        return _json({"invalidated": sorted(str(ref) for ref in refs)})

    async def swap_script(_: Request) -> Response:
        return Response(_SWAP_SCRIPT, media_type="text/javascript", headers={"cache-control": "public, max-age=3600"})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "version": version("pellucid")}, headers=_NO_STORE)

    async def ready(_: Request) -> Response:
        checks, workers = await web.check_ready()
        fine = all(check == "ok" for check in checks.values())
        return JSONResponse(
            {"status": "ready" if fine else "not ready", "checks": checks, "workers": workers},
            status_code=200 if fine else 503,
            headers=_NO_STORE,
        )

    async def front_page(_: Request) -> Response:
        return PlainTextResponse(_FRONT_PAGE.format(version=version("pellucid")))

    async def favicon(_: Request) -> Response:
        return Response(status_code=204, headers={"cache-control": "public, max-age=86400"})

    async def robots(_: Request) -> Response:
        return PlainTextResponse("User-agent: *\nDisallow: /-/\n")

    async def missing(request: Request, _: Exception | None = None) -> Response:
        return _problem(make_problem(NO_SUCH_PAGE, detail=f"{request.url.path} is none of this server's pages"))

    return [
        Route("/", front_page),
        Route("/favicon.ico", favicon),
        Route("/robots.txt", robots),
        Route("/-/health", health),
        Route("/-/ready", ready),
        Route(STATUS + "/{rest:path}", _guarded(status)),
        Route(EVENTS, _guarded(events)),
        Route(EVENTS + "/{rest:path}", _guarded(events)),
        Route("/-/invalidate", _guarded(invalidate), methods=["POST"]),
        *([Route("/-/swap.js", swap_script)] if web.swap_script else []),
        Route("/{rest:path}", missing),
    ]


def _guarded(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Our errors as problem documents, as the image route gives them."""

    async def guarded(request: Request) -> Response:
        try:
            return await answer(request)
        except PellucidError as error:
            return _problem(describe_error(error))

    return guarded


def _image_of(request: Request, prefix: str) -> tuple[str, str]:
    """Raw path and query of the picture whose URL follows `prefix`."""
    return raw_path(request.scope)[len(prefix) :], request.scope["query_string"].decode("latin-1")


def _split(url: str) -> tuple[str, str]:
    """Raw path and query of a picture's URL on this server; its scheme and host, if any, do not matter."""
    _, scheme, rest = url.partition("://")
    if scheme and not url.startswith("/"):
        url = "/" + rest.partition("/")[2]
    path, _, query = url.partition("?")
    return (path if path.startswith("/") else "/" + path), query


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json", headers=_NO_STORE)


def _problem(problem: Problem) -> Response:
    return Response(problem.body, status_code=problem.status, headers=_decoded(problem.headers))


def _decoded(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}
