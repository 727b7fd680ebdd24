"""The contract as a table: every state x choice of the interim x method x Accept x conditional header.

`STATES` and `INTERIMS` read like the tables of docs/states.md; every combination is asked twice, because the second
answer comes from another place (the cache of whole answers) and must be the same.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from contract_world import OLDER, Answer, ask, fail_matte, pay, photo, put_matte, running, settings_for
from starlette.types import ASGIApp

from pellucid.store import keys

LONG = r"public, max-age=2592000, s-maxage=31536000"
PENDING = r"public, max-age=5, s-maxage=5"
JITTERED = r"public, max-age=([5-9]|[12]\d|30), s-maxage=\1"
MINUTE = r"public, max-age=60, s-maxage=60"
MINUTES = r"public, max-age=300, s-maxage=300"
NOT_KEPT = r"no-store"


@dataclass(frozen=True, slots=True)
class Row:
    """`shows`: interim, cutout, blank, or nothing but a document. Patterns are matched whole; None: no such header."""

    status: int
    shows: str
    cache_control: str
    cutout: str | None
    credits: str | None = r"charged=0"


# state      what is answered by default
STATES = {
    "plain": Row(200, "interim", LONG, None, None),
    "pending": Row(200, "interim", PENDING, r"pending;position=\d+;eta=\d+"),
    "busy": Row(200, "interim", JITTERED, r"busy"),
    "ready": Row(200, "cutout", LONG, r"ready", r"charged=200"),
    "stale": Row(200, "cutout", MINUTE, r"stale;position=\d+;eta=\d+", r"charged=200"),
    "failed": Row(200, "interim", MINUTES, r"failed;reason=undecodable"),
    "no-subject": Row(200, "interim", LONG, r"no-subject"),
    "no-credits": Row(200, "interim", MINUTES, r"no-credits", r"charged=0;remaining=150;resets=\d{10}"),
    "no-credits, matte there": Row(200, "interim", MINUTES, r"no-credits", r"charged=0;remaining=150;resets=\d{10}"),
    "missing": Row(404, "problem", r"public, max-age=30, s-maxage=30", None, None),
    "undecodable": Row(422, "problem", MINUTE, None, None),
    "damaged": Row(200, "interim", MINUTE, r"failed;reason=damaged"),
    "damaged, said by a worker": Row(200, "interim", MINUTE, r"failed;reason=damaged"),
    "damaged, matte there": Row(200, "interim", MINUTE, r"failed;reason=damaged"),
}
FIXED = frozenset({"missing", "undecodable"})
"""Whose format depends on nothing that a client says."""

# what the caller's choice changes, while pending and while busy
INTERIMS = {
    ("pending", "blank"): Row(200, "blank", PENDING, r"pending;position=\d+;eta=\d+"),
    ("pending", "202"): Row(202, "status", NOT_KEPT, r"pending;position=\d+;eta=\d+"),
    ("pending", "423"): Row(423, "problem", NOT_KEPT, r"pending;position=\d+;eta=\d+"),
    ("busy", "blank"): Row(200, "blank", JITTERED, r"busy"),
    ("busy", "202"): Row(503, "problem", NOT_KEPT, r"busy"),
    ("busy", "423"): Row(503, "problem", NOT_KEPT, r"busy"),
}
CHOICES = ("", "original", "wait", "blank", "202", "423")
METHODS = ("GET", "HEAD")
ACCEPTS = {"none": None, "webp": "image/avif,image/webp,*/*;q=0.8", "any": "*/*", "webp refused": "image/webp;q=0, */*"}
CONDITIONALS = ("none", "same", "same, weak", "any", "another", "date")

TYPES = {"status": "application/json", "problem": "application/problem+json"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apps(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[dict[str, ASGIApp], None]:
    folder = tmp_path_factory.mktemp("contract")
    settings = settings_for(folder / "open")
    full = settings_for(folder / "full", queue={"depth": 1})
    poor = settings_for(folder / "poor", credits={"per_month": 150})
    places = {"busy": full, "no-credits": poor, "no-credits, matte there": poor}
    for seed, state in enumerate(STATES):
        where = places.get(state, settings)
        data = photo(seed)
        picture = Path(where.data_dir).parent / "pictures" / f"{state}.jpg"
        picture.write_bytes(data)
        match state:
            case "ready" | "no-credits, matte there":
                await put_matte(where, data)
            case "stale":
                await put_matte(where, data, recipe=OLDER)
                await pay(where, data)
            case "no-subject":
                await put_matte(where, data, empty=True)
            case "failed":
                await fail_matte(where, data)
            case "damaged":
                picture.write_bytes(data[: len(data) // 2])
            case "damaged, said by a worker":
                await fail_matte(where, data, reason="damaged")
            case "damaged, matte there":
                picture.write_bytes(half := data[: len(data) // 2])
                await put_matte(where, half)
                await pay(where, half)
            case "undecodable":
                picture.write_bytes(b"GIF89a, but no more of it")
            case "missing":
                picture.unlink()
            case _:
                pass
    (folder / "full" / "pictures" / "first.jpg").write_bytes(photo(99))
    async with running(settings) as app, running(full) as full_app, running(poor) as poor_app:
        assert (await ask(full_app, "GET", "/_p_/first.jpg?bg_remove=1")).status == 200  # takes the only place
        others = {"busy": full_app, "no-credits": poor_app, "no-credits, matte there": poor_app}
        yield dict.fromkeys(STATES, app) | others


def _url(state: str, choice: str) -> str:
    removal = "" if state == "plain" else "&bg_remove=1"
    return f"/_p_/{state.replace(' ', '%20')}.jpg?w=30{removal}" + (f"&bg_pending={choice}" if choice else "")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("accept", ACCEPTS)
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("state", STATES)
async def test_contract(apps: dict[str, ASGIApp], state: str, choice: str, accept: str) -> None:
    row = INTERIMS.get((state, choice), STATES[state])
    url, app = _url(state, choice), apps[state]
    wish = {} if ACCEPTS[accept] is None else {"accept": ACCEPTS[accept] or ""}
    whole = await ask(app, "GET", url, wish)
    for conditional, method, time in itertools.product(CONDITIONALS, METHODS, ("first", "second")):
        answer = await ask(app, method, url, wish | _condition(conditional, whole))
        not_modified = row.status == 200 and conditional in ("same", "same, weak", "any")
        try:
            _check_head(answer, row, whole, state=state, not_modified=not_modified)
            _check_body(
                answer, row, whole, state=state, method=method, webp=accept == "webp", not_modified=not_modified
            )
        except AssertionError as error:
            error.add_note(f"{method}, condition: {conditional}, asked the {time} time")
            raise


def _condition(conditional: str, whole: Answer) -> dict[str, str]:
    etag = whole.headers.get("etag", '"none"')
    return {
        "none": {},
        "same": {"if-none-match": etag},
        "same, weak": {"if-none-match": f'"x", W/{etag}'},
        "any": {"if-none-match": "*"},
        "another": {"if-none-match": '"another"'},
        "date": {"if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    }[conditional]


def _check_head(answer: Answer, row: Row, whole: Answer, *, state: str, not_modified: bool) -> None:
    assert answer.status == (304 if not_modified else row.status)
    assert re.fullmatch(row.cache_control, answer.headers["cache-control"])
    if row.cutout is None:
        assert "pellucid-cutout" not in answer.headers
    else:
        assert re.fullmatch(row.cutout, answer.headers["pellucid-cutout"])
    if row.credits is None:
        assert "pellucid-credits" not in answer.headers
    else:
        assert re.fullmatch(row.credits, answer.headers["pellucid-credits"])
    # The format of a cutout depends on Accept, so every answer of its URL says so.
    assert answer.headers.get("vary") == (None if state in FIXED else "Accept")
    assert answer.headers.get("etag") == (f'"{keys.digest(whole.body)}"' if row.status == 200 else None)
    assert ("link" in answer.headers) is (state in ("pending", "busy", "stale"))
    assert answer.headers.get("pellucid-origin") == ("damaged" if "damaged" in state else None)
    assert ("retry-after" in answer.headers) is (row.status in (202, 423, 503))
    assert "last-modified" not in answer.headers


def _check_body(
    answer: Answer, row: Row, whole: Answer, *, state: str, method: str, webp: bool, not_modified: bool
) -> None:
    if not_modified:
        assert answer.body == b""
        assert not {"content-type", "content-disposition"} & set(answer.headers)
        return
    transparent = "image/webp" if webp else "image/png"
    # Who names WebP here names AVIF, too. An interim keeps its family: it is seen for seconds.
    opaque = "image/avif" if webp and state == "plain" else "image/jpeg"
    expected = TYPES.get(row.shows) or (opaque if row.shows == "interim" else transparent)
    assert answer.headers["content-type"] == expected
    ending = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/avif": "avif"}.get(expected)
    saved = f'inline; filename="{state}.{ending}"' if row.status == 200 else None
    assert answer.headers.get("content-disposition") == saved
    if row.status == 200:
        assert answer.headers["content-length"] == str(len(whole.body))
        assert answer.body == (b"" if method == "HEAD" else whole.body)
    else:
        assert bool(answer.body) is (method == "GET")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
@pytest.mark.parametrize("state", STATES)
async def test_other_methods(apps: dict[str, ASGIApp], state: str, method: str) -> None:
    answer = await ask(apps[state], method, _url(state, ""))
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("state", STATES)
async def test_preflight(apps: dict[str, ASGIApp], state: str) -> None:
    answer = await ask(apps[state], "OPTIONS", _url(state, ""), {"origin": "https://shop.example"})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "*")
    assert "content-length" not in answer.headers, "RFC 9110, section 8.6"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("state", STATES)
async def test_the_preference_to_wait(apps: dict[str, ASGIApp], state: str) -> None:
    """Honoured where waiting can help, without effect elsewhere."""
    answer = await ask(apps[state], "GET", _url(state, ""), {"prefer": "respond-async, wait=0"})
    assert "preference-applied" not in answer.headers
    answer = await ask(apps[state], "GET", _url(state, ""), {"prefer": "wait=1"})
    waited = state == "pending"
    assert answer.headers.get("preference-applied") == ("wait=1" if waited else None)
    assert (answer.headers["cache-control"] == "no-store") is waited
    assert ("Prefer" in answer.headers.get("vary", "")) is waited


@pytest.mark.asyncio(loop_scope="module")
async def test_a_forced_format_leaves_nothing_to_negotiate(apps: dict[str, ASGIApp]) -> None:
    for state, colour in itertools.product(("plain", "pending", "ready"), ("", "&bg_color=456")):
        for accept in ("image/avif,image/webp", "*/*"):
            url = f"{_url(state, 'blank')}{colour}&force_format=png"
            answer = await ask(apps[state], "GET", url, {"accept": accept})
            assert "vary" not in answer.headers
            assert answer.headers["content-type"] == "image/png"


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_cut_out_on_a_colour_is_negotiated_and_its_interim_is_not(apps: dict[str, ASGIApp]) -> None:
    for state, choice, media_type in (
        ("pending", "", "image/jpeg"),
        ("pending", "blank", "image/avif"),
        ("ready", "", "image/avif"),
        ("stale", "", "image/avif"),
        ("failed", "", "image/jpeg"),
    ):
        url = _url(state, choice) + "&bg_color=456"
        answer = await ask(apps[state], "GET", url, {"accept": "image/avif,image/webp"})
        assert (answer.headers["vary"], answer.headers["content-type"]) == ("Accept", media_type)
        plain = await ask(apps[state], "GET", url)
        assert (plain.headers["vary"], plain.headers["content-type"]) == ("Accept", "image/jpeg")


@pytest.mark.asyncio(loop_scope="module")
async def test_unknown_parameters_make_no_second_rendition(apps: dict[str, ASGIApp]) -> None:
    plain = await ask(apps["ready"], "GET", _url("ready", ""))
    odd = await ask(apps["ready"], "GET", _url("ready", "") + "&utm_source=x")
    assert odd.headers["pellucid-ignored"] == '"utm_source"'
    assert odd.headers["etag"] == plain.headers["etag"]
    assert "hit" in odd.headers["cache-status"]
