"""Every field of a customer that changes an answer does so, for that customer alone, from whichever cache it comes.

A field that is new belongs into `CASES`, or with its reason into `ELSEWHERE`.
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from contract_world import OLDER, Answer, ask, fail_matte, pay, photo, put_matte, running, settings_for
from PIL import Image
from starlette.types import ASGIApp

from pellucid.customers.customer import DEFAULT_CUSTOMER, Customer, Customers
from pellucid.customers.defaults import Defaults
from pellucid.customers.lifetimes import Lifetimes
from pellucid.http.authentication import Caller
from pellucid.settings.model import SettingsTree
from pellucid.spec import Tier, Token
from pellucid.wiring.accounts import customers_of

ELSEWHERE = {
    "hosts": "whose request it is: tests/customers/test_customers.py",
    "key_hash": "whose request it is: tests/customers/test_customers.py",
    "notify_urls": "who else is told: tests/notify/test_notify_targets.py",
}

OTHER = "other"
STATES = ("plain", "pending", "failed", "stale")
PHOTOS = {name: photo(seed, suffix="PNG") for seed, name in enumerate((*STATES, OTHER, "remote", "upload"))}


def _header(name: str) -> Callable[[Answer], object]:
    return lambda answer: answer.headers.get(name)


def _status(answer: Answer) -> object:
    return answer.status


def _lives(answer: Answer) -> object:
    return answer.headers["cache-control"].removeprefix("public, ")


def _price(answer: Answer) -> object:
    return json.loads(answer.body)["credits"]["price"]


def _picture(answer: Answer) -> object:
    pixels = Image.open(io.BytesIO(answer.body)).convert("RGB").tobytes()
    return next(
        name for name, data in PHOTOS.items() if Image.open(io.BytesIO(data)).convert("RGB").tobytes() == pixels
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The answer to `url` is `before` (as `tells` says), and `after` for a customer whose field has the value `value`.
    Both have `base` besides. In URLs REMOTE is a host and UPLOAD an upload's name; an alias leads to a folder.
    """

    value: object
    url: str
    tells: Callable[[Answer], object]
    before: object
    after: object
    base: dict[str, object] = field(default_factory=dict[str, object])


LIMITED = {"credits_per_month": 1000}
REMOTE_CUT = "/http://REMOTE/public.png?bg_remove=1"
NOT_LISTED = "no-credits;reason=origin-not-listed"
MONTH_S, YEAR_S = 30 * 86_400, 365 * 86_400

CASES = {
    "token": Case(value=None, url="/_p_/plain.png", tells=_status, before=200, after=200),
    "credits_per_month": Case(
        value=0,
        url="/_p_/pending.png?bg_remove=1&bg_pending=423",
        tells=_status,
        before=423,
        after=200,
    ),
    "origins": Case(
        value=("127.0.0.1",),
        url=f"{REMOTE_CUT}&bg_pending=202",
        tells=_status,
        before=200,
        after=202,
        base=LIMITED,
    ),
    "open": Case(
        value=True,
        url=f"{REMOTE_CUT}&bg_pending=202",
        tells=_status,
        before=200,
        after=202,
        base=LIMITED,
    ),
    "aliases": Case(
        value={"_p_": OTHER},
        url="/_p_/plain.png?force_format=png",
        tells=_picture,
        before="plain",
        after=OTHER,
    ),
    "allow_hosts": Case(value=("shop.example",), url="/http://REMOTE/public.png", tells=_status, before=200, after=403),
    "defaults.tier": Case(
        value=Tier.BEST, url="/-/status/_p_/plain.png?bg_remove=1", tells=_price, before=200, after=400
    ),
    "lifetimes.browser_s": Case(
        value=7,
        url="/_p_/plain.png",
        tells=_lives,
        before=f"max-age={MONTH_S}, s-maxage={YEAR_S}",
        after=f"max-age=7, s-maxage={YEAR_S}",
    ),
    "lifetimes.cdn_s": Case(
        value=7,
        url="/_p_/plain.png",
        tells=_lives,
        before=f"max-age={MONTH_S}, s-maxage={YEAR_S}",
        after=f"max-age={MONTH_S}, s-maxage=7",
    ),
    "lifetimes.pending_s": Case(
        value=7,
        url="/_p_/pending.png?bg_remove=1",
        tells=_lives,
        before="max-age=5, s-maxage=5",
        after="max-age=7, s-maxage=7",
    ),
    "lifetimes.failed_s": Case(
        value=7,
        url="/_p_/failed.png?bg_remove=1",
        tells=_lives,
        before="max-age=300, s-maxage=300",
        after="max-age=7, s-maxage=7",
    ),
    "lifetimes.stale_s": Case(
        value=7,
        url="/_p_/stale.png?bg_remove=1",
        tells=_lives,
        before="max-age=60, s-maxage=60",
        after="max-age=7, s-maxage=7",
    ),
    "lifetimes.upload_s": Case(
        value=7,
        url="/_upload_/UPLOAD",
        tells=_lives,
        before="max-age=3600, s-maxage=3600",
        after="max-age=7, s-maxage=7",
    ),
    "lifetimes.targeted": Case(
        value=True,
        url="/_p_/plain.png",
        tells=_header("cdn-cache-control"),
        before=None,
        after=f"max-age={YEAR_S}",
    ),
    "lifetimes.respect_origin": Case(
        value=False,
        url="/http://REMOTE/private.png",
        tells=lambda answer: answer.headers["cache-control"].partition(",")[0],
        before="private",
        after="public",
    ),
}


def _paths(values: Any, prefix: str = "") -> Iterator[str]:
    """The dotted names of all fields, those of what a field holds in place of it."""
    for each in fields(values):
        value = getattr(values, each.name)
        yield from _paths(value, f"{each.name}.") if is_dataclass(value) else (prefix + each.name,)


def _with(customer: Customer, path: str, value: Any) -> Customer:
    name, _, inner = path.partition(".")
    if name == "aliases":
        value = {**customer.aliases, **value}
    if inner:
        held: Defaults | Lifetimes = getattr(customer, name)
        value = replace(held, **{inner: value})
    changes: dict[str, Any] = {name: value}
    return replace(customer, **changes)


def test_all_fields_are_covered() -> None:
    assert sorted(_paths(DEFAULT_CUSTOMER)) == sorted([*CASES, *ELSEWHERE])


@pytest.mark.parametrize("path", [*CASES, *ELSEWHERE])
def test_what_was_answered_before_a_field_changed_is_not_found_afterwards(path: str) -> None:
    value = CASES[path].value if path in CASES else "x"
    changed = _with(DEFAULT_CUSTOMER, path, Token("x") if path == "token" else value)
    assert {Caller(DEFAULT_CUSTOMER): "answer"}.get(Caller(changed)) is None


@asynccontextmanager
async def _remote() -> AsyncGenerator[str]:
    """The host of an origin that says of one picture that it is for its caller alone."""

    async def answer(request: web.BaseRequest) -> web.Response:
        headers = {"Cache-Control": "private"} if request.path == "/private.png" else {}
        return web.Response(body=PHOTOS["remote"], content_type="image/png", headers=headers)

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _name(path: str, when: str) -> str:
    return f"{path}-{when}".replace("_", "-").replace(".", "-")


def _all_customers(settings: SettingsTree, folder: Path) -> Customers:
    """Two for each case, at host names of their own."""
    usual = customers_of(settings).get(DEFAULT_CUSTOMER.token)
    assert usual is not None
    customers = [usual]
    for path, case in CASES.items():
        base: dict[str, Any] = case.base
        value = {"_p_": (folder / OTHER).as_uri()} if path == "aliases" else case.value
        for when in ("before", "after"):
            name = _name(path, when)
            customer = replace(usual, token=Token(name), hosts=(f"{name}.example",), **base)
            customers.append(_with(customer, path, value) if when == "after" and path != "token" else customer)
    return Customers(customers)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    app: ASGIApp
    remote: str
    upload: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[World]:
    folder = tmp_path_factory.mktemp("fields")
    settings = settings_for(folder, origin={"allow_networks": "127.0.0.0/8", "allow_ports": "*"})
    for state in STATES:
        (folder / "pictures" / f"{state}.png").write_bytes(PHOTOS[state])
    (folder / OTHER).mkdir()
    (folder / OTHER / "plain.png").write_bytes(PHOTOS["other"])
    customers = _all_customers(settings, folder)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("accounts", "values", "web"):
            patch.setattr(f"pellucid.wiring.{module}.customers_of", lambda _: customers)
        await fail_matte(settings, PHOTOS["failed"])
        await put_matte(settings, PHOTOS["stale"], recipe=OLDER)
        for when in ("before", "after"):
            await pay(settings, PHOTOS["stale"], token=Token(_name("lifetimes.stale_s", when)))
        async with running(settings) as app, _remote() as remote:
            sent = await ask(app, "POST", "/-/uploads", body=PHOTOS["upload"])
            yield World(app=app, remote=remote, upload=json.loads(sent.body)["name"])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", CASES)
async def test_a_field_changes_the_answers_of_its_customer(world: World, path: str) -> None:
    """Asked in turns: what one was answered is at hand when the other asks."""
    case = CASES[path]
    url = case.url.replace("REMOTE", world.remote).replace("UPLOAD", world.upload)
    for _ in range(3):
        for when, expected in (("before", case.before), ("after", case.after)):
            answer = await ask(world.app, "GET", url, {"host": f"{_name(path, when)}.example"})
            assert case.tells(answer) == expected, when


@pytest.mark.asyncio(loop_scope="module")
async def test_a_token_is_in_every_key(world: World) -> None:
    """Two customers who differ by nothing else have tags, and so purges, of their own."""
    answers = [
        await ask(world.app, "GET", "/_p_/plain.png", {"host": f"{_name('token', when)}.example"})
        for when in ("before", "after")
    ]
    assert answers[0].headers["cache-tag"] != answers[1].headers["cache-tag"]
