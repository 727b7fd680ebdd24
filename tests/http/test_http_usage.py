"""`/-/usage`: who sees what, in which format; nothing is kept, nothing is shown without a key."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncGenerator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from contract_world import Answer, ask, running, settings_for
from starlette.types import ASGIApp

from pellucid.customers.customer import hash_key, make_key
from pellucid.http.usage import preferred
from pellucid.settings.model import SettingsTree
from pellucid.wiring.storage import open_database
from usage_rows import Charge, many, write_charges, write_hold

OPERATOR = {"Authorization": "Bearer the-operators"}
SHOP_KEY, BLOG_KEY = make_key(), make_key()
SHOP = {"Authorization": f"Bearer {SHOP_KEY}"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}
TODAY = datetime.now(UTC).date()
OCTOBER = date(2026, 10, 5)


in_modules_loop = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SettingsTree:
    return settings_for(
        tmp_path_factory.mktemp("usage"),
        web={"admin_key": "the-operators"},
        tokens={
            "shop": {"key_hash": hash_key(SHOP_KEY), "credits_per_month": 1000},
            "blog": {"key_hash": hash_key(BLOG_KEY)},
        },
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(world: SettingsTree) -> AsyncGenerator[ASGIApp]:
    """One for all questions here: none of them changes anything."""
    async with open_database(world) as database:
        rows = [
            *many(Charge(day=TODAY, token="shop"), 3),
            Charge(day=TODAY, token="blog", tier="best", credits=400, host='=cmd|"/c calc"!A1'),
            *many(Charge(day=OCTOBER, token="shop", tier="fast", credits=100, host="_samples_"), 2),
        ]
        await database.run(lambda db: (write_charges(db, rows), write_hold(db, "shop")))
    async with running(world) as app:
        yield app


async def _json(app: ASGIApp, query: str, who: dict[str, str]) -> Any:
    answer = await ask(app, "GET", f"/-/usage?{query}", who)
    assert answer.status == 200, answer.body
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.body)


def _problem(answer: Answer) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    return json.loads(answer.body)


@in_modules_loop
async def test_the_operator_sees_all_tokens(app: ASGIApp) -> None:
    found = await _json(app, "by=token", OPERATOR)
    assert (found["from"], found["to"], found["by"]) == (TODAY.replace(day=1).isoformat(), TODAY.isoformat(), ["token"])
    assert found["rows"] == [
        {"token": "shop", "removals": 3, "credits": 600},
        {"token": "blog", "removals": 1, "credits": 400},
    ]
    assert (found["total"], found["truncated"]) == ({"removals": 4, "credits": 1000}, False)
    first_of_next = (TODAY.replace(day=1) + timedelta(days=32)).replace(day=1)
    resets_at = f"{first_of_next}T00:00:00Z"
    assert found["balance"] == [
        {"token": "blog", "limit": None, "charged": 400, "held": 0, "remaining": None, "resets_at": resets_at},
        {"token": "shop", "limit": 1000, "charged": 600, "held": 200, "remaining": 200, "resets_at": resets_at},
    ]


@in_modules_loop
async def test_the_operator_may_choose_a_token_days_and_groups(app: ASGIApp) -> None:
    found = await _json(app, "by=tier,host&token=shop&from=2026-10-01&to=2026-10-31", OPERATOR)
    assert found["rows"] == [{"tier": "fast", "host": "_samples_", "removals": 2, "credits": 200}]
    assert [each["token"] for each in found["balance"]] == ["shop"]
    by_day = await _json(app, "from=2026-10-04&to=2026-10-06", OPERATOR)
    assert by_day["rows"] == [
        {"day": "2026-10-04", "removals": 0, "credits": 0},
        {"day": "2026-10-05", "removals": 2, "credits": 200},
        {"day": "2026-10-06", "removals": 0, "credits": 0},
    ]


@in_modules_loop
@pytest.mark.parametrize("more", ["", "&token=blog", "&token=shop&token=blog", "&token=No%20Such"])
async def test_a_customer_sees_its_own_token_whatever_it_asks_for(app: ASGIApp, more: str) -> None:
    found = await _json(app, "by=token,tier" + more, SHOP)
    assert found["rows"] == [{"token": "shop", "tier": "standard", "removals": 3, "credits": 600}]
    assert found["balance"]["token"] == "shop"
    assert found["balance"]["remaining"] == 200


@in_modules_loop
@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer pel_nobodys"}, {"Authorization": "Basic dTpw"}])
@pytest.mark.parametrize("query", ["", "?format=csv", "?from=nonsense"])
async def test_without_a_key_nothing_is_shown(app: ASGIApp, sent: dict[str, str], query: str) -> None:
    answer = await ask(app, "GET", f"/-/usage{query}", sent)
    problem = _problem(answer)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert problem["type"].endswith(":key-needed")
    assert "PELLUCID_WEB_ADMIN_KEY" in problem["detail"]


async def test_without_an_operators_key_there_is_no_operator(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as app:
        for sent in ("", "Bearer", "Bearer ", "bearer   "):
            assert (await ask(app, "GET", "/-/usage", {"Authorization": sent})).status == 401


@in_modules_loop
@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("from=2026-02-30", "from"),
        ("to=yesterday", "to"),
        ("from=2024-01-01", "from"),
        ("by=colour", "by"),
        ("by=", "by"),
        ("token=A", "token"),
        ("format=xml", "format"),
    ],
)
async def test_bad_values_are_problems_that_nobody_keeps(app: ASGIApp, query: str, parameter: str) -> None:
    answer = await ask(app, "GET", f"/-/usage?{query}", OPERATOR)
    problem = _problem(answer)
    assert answer.status == 400
    assert problem["type"].endswith(":bad-value")
    assert problem["parameter"] == parameter
    assert problem["grammar"]


@in_modules_loop
@pytest.mark.parametrize(("query", "accept"), [("&format=csv", "*/*"), ("", "text/csv"), ("&format=csv", "text/html")])
async def test_csv(app: ASGIApp, query: str, accept: str) -> None:
    answer = await ask(app, "GET", f"/-/usage?by=token,host{query}", OPERATOR | {"Accept": accept})
    assert (answer.status, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert answer.headers["cache-control"] == "no-store"
    name = f"usage-{TODAY.replace(day=1)}-to-{TODAY}.csv"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert list(csv.reader(io.StringIO(answer.body.decode(), newline=""))) == [
        ["token", "host", "removals", "credits"],
        ["shop", "shop.example", "3", "600"],
        ["blog", '\'=cmd|"/c calc"!A1', "1", "400"],
    ]


@in_modules_loop
async def test_a_browser_gets_the_page_without_a_key_and_without_data(app: ASGIApp) -> None:
    for who in ({}, OPERATOR):
        answer = await ask(app, "GET", "/-/usage?from=nonsense", BROWSER | who)
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["vary"] == "Accept"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert b"shop" not in answer.body
    assert (await ask(app, "GET", "/-/usage?format=json", BROWSER)).status == 401


@in_modules_loop
async def test_head_and_other_methods(app: ASGIApp) -> None:
    assert (await ask(app, "HEAD", "/-/usage", OPERATOR)).status == 200
    assert (await ask(app, "POST", "/-/usage", OPERATOR)).status == 405


OFFERS = ("application/json", "text/csv", "text/html")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/*", "text/csv"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV ; Q=0.5, application/json;q=0.4", "text/csv"),
        ("text/html;q=0.5, */*;q=0.6", "application/json"),
        (BROWSER["Accept"], "text/html"),
        ("application/json;q=0, */*", "text/csv"),
        ("image/png", "application/json"),
        ("text/html;q=x, text/csv;q=0.1", "text/csv"),
    ],
)
def test_what_accept_likes_best(accept: str, chosen: str) -> None:
    assert preferred(accept, OFFERS) == chosen
