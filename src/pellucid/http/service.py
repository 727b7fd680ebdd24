"""The server's own routes: is it alive, is it ready, what it is."""

from __future__ import annotations

from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pellucid.http.problems import NO_SUCH_PAGE, make_problem
from pellucid.wiring.web import Web

_NO_STORE = {"cache-control": "no-store"}

_FRONT_PAGE = """\
Pellucid {version}: pictures without their background, by URL.

  /<host>/<path>?w=400                            400 px wide
  /<host>/<path>?w=400&bg_remove=1                without its background
  /<host>/<path>?w=400&bg_remove=1&bg_color=456   on #445566

The first answer to bg_remove is the original with `Pellucid-Cutout: pending` and 5 s to live; ask again.
"""


def service_routes(web: Web) -> list[Route]:
    """Routes that answer from `web`."""

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
        problem = make_problem(NO_SUCH_PAGE, detail=f"{request.url.path} is none of this server's pages")
        return Response(problem.body, status_code=problem.status, headers=_decoded(problem.headers))

    return [
        Route("/", front_page),
        Route("/favicon.ico", favicon),
        Route("/robots.txt", robots),
        Route("/-/health", health),
        Route("/-/ready", ready),
        Route("/{rest:path}", missing),
    ]


def _decoded(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}
