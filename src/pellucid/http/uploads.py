"""Pictures that people send here: `POST /-/uploads`, and `DELETE` with the key that its answer told."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from pellucid.errors import NotRawUploadError, UploadTimeoutError
from pellucid.http.authentication import Authenticator, bearer_key
from pellucid.http.problems import NO_SUCH_PAGE, describe_error, make_problem
from pellucid.http.responses import NO_STORE, Endpoint, json_answer, problem_answer, with_problem_responses
from pellucid.uploads.store import UPLOADS_ALIAS, AcceptedUpload
from pellucid.wiring.web import Web

UPLOADS = "/-/uploads"


class _Uploaded(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an upload. `path` names its pictures on this server; `delete_key` is told here only."""

    name: str
    path: str
    delete_key: str
    expires_at: str
    size_bytes: int
    width: int
    height: int
    format: str


def upload_routes(web: Web, authenticator: Authenticator) -> list[Route]:
    """Routes that take and delete uploads; they say that there is no such page where uploads are not taken."""
    upload_store = web.uploads
    if upload_store is None:
        methods = ["POST", "DELETE"]
        return [Route(path, _no_such_page, methods=methods) for path in (UPLOADS, UPLOADS + "/{name}")]

    async def accept(request: Request) -> Response:
        authorization = request.headers.get("authorization", "")
        token = authenticator.token_of(request.headers.get("host", ""), authorization)
        if request.headers.get("content-type", "").lower().lstrip().startswith("multipart/"):
            raise NotRawUploadError(
                "this is a form; send the picture's bytes as the body: "
                f"curl --data-binary @picture.jpg {request.url.replace(query='')}"
            )
        declared = request.headers.get("content-length", "")
        client = request.client.host if request.client is not None else ""
        async with aclosing(_chunks(request)) as chunks:
            accepted = await upload_store.accept(
                chunks,
                declared_bytes=int(declared) if declared.isascii() and declared.isdigit() else None,
                client=client,
                token=token,
            )
        answer = json_answer(_describe(accepted), status=201)
        answer.headers["location"] = _path(accepted.name)
        return answer

    async def delete(request: Request) -> Response:
        authorization = request.headers.get("authorization", "")
        key = None if authenticator.is_operator(authorization) else bearer_key(authorization)
        upload = await upload_store.find(request.path_params["name"], key=key)
        await upload_store.delete(upload, web)
        return Response(status_code=204, headers=NO_STORE)

    return [
        Route(UPLOADS, _not_kept(with_problem_responses(_closing(accept))), methods=["POST"]),
        Route(UPLOADS, _preflight("POST"), methods=["OPTIONS"]),
        Route(UPLOADS + "/{name}", _not_kept(with_problem_responses(delete)), methods=["DELETE"]),
        Route(UPLOADS + "/{name}", _preflight("DELETE"), methods=["OPTIONS"]),
    ]


def _describe(accepted: AcceptedUpload) -> _Uploaded:
    expires_at = datetime.fromtimestamp(int(accepted.expires_at), UTC)
    return _Uploaded(
        name=accepted.name,
        path=_path(accepted.name),
        delete_key=accepted.delete_key,
        expires_at=expires_at.isoformat().replace("+00:00", "Z"),
        size_bytes=accepted.size_bytes,
        width=accepted.facts.width,
        height=accepted.facts.height,
        format=str(accepted.facts.format),
    )


def _path(name: str) -> str:
    return f"/{UPLOADS_ALIAS}/{name}"


async def _chunks(request: Request) -> AsyncGenerator[bytes]:
    async with aclosing(request.stream()) as stream:
        async for chunk in stream:
            if chunk:
                yield chunk


def _not_kept(answer: Endpoint) -> Endpoint:
    """Whatever the answer is, it is for this request."""

    async def answer_once(request: Request) -> Response:
        response = await answer(request)
        response.headers.update(NO_STORE)
        return response

    return answer_once


def _closing(accept: Endpoint) -> Endpoint:
    """Clients that are too slow lose their connection, or they would go on; those that went away hear nothing."""

    async def take_or_close(request: Request) -> Response:
        try:
            return await accept(request)
        except UploadTimeoutError as error:
            answer = problem_answer(describe_error(error))
            answer.headers["connection"] = "close"
            return answer
        except ClientDisconnect:
            return Response(status_code=400)

    return take_or_close


def _preflight(method: str) -> Endpoint:
    """Pages of other sites may send and delete. `Authorization` must be named: `*` does not cover it."""

    async def allow(_: Request) -> Response:
        return Response(
            status_code=204,
            headers={
                "access-control-allow-methods": f"{method}, OPTIONS",
                "access-control-allow-headers": "authorization, content-type",
                "access-control-max-age": "86400",
            },
        )

    return allow


async def _no_such_page(request: Request) -> Response:
    detail = f"{request.url.path} is none of this server's pages: it takes no uploads"
    return problem_answer(make_problem(NO_SUCH_PAGE, detail=detail))
