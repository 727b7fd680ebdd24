"""The server's own routes: is it alive, is it ready, what it is."""

from __future__ import annotations

from importlib.metadata import version

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pellucid.errors import AuthenticationError, SpecError
from pellucid.http.authentication import Authenticator, client_of
from pellucid.http.events import EventsEndpoint
from pellucid.http.headers import EVENTS, STATUS
from pellucid.http.hub import CutoutHub
from pellucid.http.problems import NO_SUCH_PAGE, make_problem
from pellucid.http.responses import NO_STORE, image_of, json_answer, problem_answer, split_url, with_problem_responses
from pellucid.http.status import describe_cutout
from pellucid.http.uploads import upload_routes
from pellucid.http.usage import usage_routes
from pellucid.pages.files import read_text
from pellucid.pages.frame import Frame
from pellucid.url.parse import parse_url
from pellucid.wiring.readiness import Report
from pellucid.wiring.web import Web

_SWAP_SCRIPT = read_text("swap/swap.js").encode()


class _Invalidation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `/-/invalidate`: URLs on this server, or their paths and queries. One picture stands for all of its
    origin's.
    """

    urls: list[str]


def health_document() -> dict[str, str]:
    """The document of `/-/health`. Its `name` tells a server that finds its port taken who has it."""
    return {"status": "ok", "name": "pellucid", "version": version("pellucid")}


def describe_ready(report: Report) -> dict[str, object]:
    """The document of `/-/ready`; what there is nothing to say about is left out."""
    workers = [{"model": each.model, "device": each.device, "precision": each.precision} for each in report.workers]
    document: dict[str, object] = {"status": report.status, "checks": report.checks, "workers": workers}
    optional = {"unserved": report.unserved, "works": report.works, "waits": report.waits}
    return document | {name: value for name, value in optional.items() if value}


def service_routes(web: Web, authenticator: Authenticator, hub: CutoutHub, frame: Frame) -> list[Route]:
    """Routes that answer from `web`, and streams of events from `hub`. Pages stand in `frame`."""
    events = EventsEndpoint(hub, authenticator)

    async def status(request: Request) -> Response:
        spec = parse_url(*image_of(request, STATUS)).spec
        caller = authenticator.authenticate(request.scope["headers"])
        cutout = await web.pipeline.cutout_status(
            caller.customer, spec, client=client_of(request.scope), has_key=caller.has_key
        )
        return json_answer(describe_cutout(cutout, spec))

    async def invalidate(request: Request) -> Response:
        if not authenticator.is_operator(request.headers.get("authorization", "")):
            raise AuthenticationError("send Authorization: Bearer <PELLUCID_WEB_ADMIN_KEY>")
        try:
            wish = msgspec.json.decode(await request.body(), type=_Invalidation)
        except msgspec.DecodeError as error:
            raise SpecError(f'the body must be JSON like {{"urls": ["/host/path.jpg"]}} ({error})') from error
        refs = {parse_url(*split_url(url)).spec.origin for url in wish.urls}
        await web.invalidate(refs, ["?".join(filter(None, split_url(url))) for url in wish.urls])
        return json_answer({"invalidated": sorted(str(ref) for ref in refs)})

    async def swap_script(_: Request) -> Response:
        return Response(_SWAP_SCRIPT, media_type="text/javascript", headers={"cache-control": "public, max-age=3600"})

    async def health(_: Request) -> Response:
        return JSONResponse(health_document(), headers=NO_STORE)

    async def ready(_: Request) -> Response:
        report = await web.check_ready()
        return json_answer(describe_ready(report), status=503 if report.status == "not ready" else 200)

    async def favicon(_: Request) -> Response:
        return Response(status_code=204, headers={"cache-control": "public, max-age=86400"})

    async def robots(_: Request) -> Response:
        return PlainTextResponse("User-agent: *\nDisallow: /-/\n")

    async def missing(request: Request, _: Exception | None = None) -> Response:
        return problem_answer(make_problem(NO_SUCH_PAGE, detail=f"{request.url.path} is none of this server's pages"))

    return [
        Route("/favicon.ico", favicon),
        Route("/robots.txt", robots),
        Route("/-/health", health),
        Route("/-/ready", ready),
        Route(STATUS + "/{rest:path}", with_problem_responses(status)),
        Route(EVENTS, events, methods=["GET"]),
        Route(EVENTS + "/{rest:path}", events, methods=["GET"]),
        Route("/-/invalidate", with_problem_responses(invalidate), methods=["POST"]),
        *usage_routes(web.database, authenticator, web.customers, frame),
        *upload_routes(web, authenticator),
        *([Route("/-/swap.js", swap_script)] if web.swap_script else []),
        Route("/{rest:path}", missing),
    ]
