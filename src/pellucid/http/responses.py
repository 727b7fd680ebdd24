"""What the server's own routes share: their answers, and how a picture's URL is read from a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pellucid.errors import PellucidError
from pellucid.http.paths import raw_path
from pellucid.http.problems import Problem, describe_error

NO_STORE = {"cache-control": "no-store"}

Endpoint = Callable[[Request], Awaitable[Response]]


def with_problem_responses(answer: Endpoint) -> Endpoint:
    """Our errors as problem documents, as the image route gives them."""

    async def guard(request: Request) -> Response:
        try:
            return await answer(request)
        except PellucidError as error:
            return problem_answer(describe_error(error))

    return guard


def json_answer(value: object, *, status: int = 200) -> Response:
    """`value` as JSON that nobody keeps."""
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json", headers=NO_STORE)


def problem_answer(problem: Problem) -> Response:
    """The problem document."""
    headers = {name.decode(): value.decode() for name, value in problem.headers}
    return Response(problem.body, status_code=problem.status, headers=headers)


def image_of(request: Request, prefix: str) -> tuple[str, str]:
    """Raw path and query of the picture whose URL follows `prefix`, which the raw path begins with (`own_scope`)."""
    return raw_path(request.scope)[len(prefix) :], request.scope["query_string"].decode("latin-1")


def split_url(url: str) -> tuple[str, str]:
    """Raw path and query of a picture's URL on this server; its scheme and host, if any, do not matter."""
    _, scheme, rest = url.partition("://")
    if scheme and not url.startswith("/"):
        url = "/" + rest.partition("/")[2]
    path, _, query = url.partition("?")
    return (path if path.startswith("/") else "/" + path), query
