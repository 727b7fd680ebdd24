"""`/-/usage`: credits looked up by who pays them, and by the operator for all; in a browser, a page that shows them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pellucid.customers.customer import Customers
from pellucid.database.database import Database
from pellucid.errors import AuthenticationError, BadValueError
from pellucid.http.authentication import Authenticator
from pellucid.http.pages import guards
from pellucid.http.responses import NO_STORE, Endpoint, json_answer, with_problem_responses
from pellucid.ledger.report import csv_name, describe_usage, write_csv
from pellucid.ledger.usage import LOOKUP_S, UsageQuery, look_up, look_up_balances, parse_query
from pellucid.pages.files import read_text
from pellucid.pages.frame import USAGE, Frame
from pellucid.spec import Token

_LOOKUPS = 2
"""Look-ups at a time per process. A million charges by everything take SQLite 5 s, and the database has four threads,
which charging needs as well.
"""

_HEAD = """\
<meta name="robots" content="noindex">
<script type="module" src="/-/pages/usage/page.js"></script>"""

_JSON, _CSV, _HTML = "application/json", "text/csv", "text/html"
_FORMATS = {"json": _JSON, "csv": _CSV}


def usage_routes(database: Database, authenticator: Authenticator, customers: Customers, frame: Frame) -> list[Route]:
    """The look-up, and its page. Nothing of it is kept by caches."""
    turn = asyncio.Semaphore(_LOOKUPS)
    page = frame.around(
        read_text("usage/main.html"), title="Usage - Pellucid", name="usage", place=USAGE, head=_HEAD
    ).encode()

    async def usage(request: Request) -> Response:
        requested = _format(request.query_params, request.headers)
        if requested == _HTML:
            return Response(page, media_type=_HTML, headers=guards(scripts=True))
        token = _whose(request, authenticator)
        now = datetime.now(UTC)
        query = _query(request.query_params, token, now)
        async with turn:
            found = await database.read(lambda db: look_up(db, query), max_wait_s=LOOKUP_S)
        if requested == _CSV:
            disposition = f'attachment; filename="{csv_name(found)}"'
            return Response(write_csv(found), media_type=_CSV, headers={"content-disposition": disposition})
        async with turn:
            standing = await database.read(
                lambda db: look_up_balances(db, customers, now=now, token=query.token), max_wait_s=LOOKUP_S
            )
        return json_answer(describe_usage(found, standing[0] if token is not None else standing))

    return [Route(USAGE, _private(usage))]


def _private(answer: Endpoint) -> Endpoint:
    """`answer` and its problems, for the caller alone."""
    inner = with_problem_responses(answer)

    async def private(request: Request) -> Response:
        response = await inner(request)
        response.headers.update(NO_STORE)
        response.headers["vary"] = "Accept"
        return response

    return private


def _whose(request: Request, authenticator: Authenticator) -> Token | None:
    """The token whose key was sent, None for the operator's. Raises AuthenticationError for any other."""
    authorization = request.headers.get("authorization", "")
    if authenticator.is_operator(authorization):
        return None
    token = authenticator.token_of_key(authorization)
    if token is None:
        raise AuthenticationError(
            "send Authorization: Bearer KEY, where KEY is the operator's, which shows all tokens (the value of "
            "PELLUCID_WEB_ADMIN_KEY; set it if there is none), or a customer's, which shows its own token"
        )
    return token


def _query(params: QueryParams, token: Token | None, now: datetime) -> UsageQuery:
    """What is asked for; a customer asks for `token` whatever it says."""
    return parse_query(
        first=params.get("from"),
        last=params.get("to"),
        by=params.get("by"),
        token=token if token is not None else params.get("token"),
        today=now.date(),
    )


def _format(params: QueryParams, headers: Headers) -> str:
    """The media type of the answer: `format`, else what `Accept` likes best, else JSON."""
    named = params.get("format")
    if named is None:
        return preferred(headers.get("accept", ""), (_JSON, _CSV, _HTML))
    if named not in _FORMATS:
        raise BadValueError(parameter="format", value=named, grammar=" or ".join(_FORMATS))
    return _FORMATS[named]


def preferred(accept: str, offers: tuple[str, ...]) -> str:
    """The media type of `offers` that `accept` (RFC 9110, section 12.5.1) weighs most; of equals, and where it wants
    none, the first.
    """
    weights = dict(_weights(accept))

    def weight(offer: str) -> float:
        ranges = (offer, offer.partition("/")[0] + "/*", "*/*")
        return next((weights[each] for each in ranges if each in weights), 0.0)

    return max(offers, key=weight)


def _weights(accept: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for element in accept.split(","):
        media_range, *parameters = (part.strip().lower() for part in element.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        found.append((media_range, weight))
    return found
