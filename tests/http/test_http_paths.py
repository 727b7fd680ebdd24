"""Which paths are the server's own: decided and sliced on one spelling, the one that was sent."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import pytest_asyncio
from contract_world import ask, photo, running, settings_for
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp

from pellucid.http.headers import EVENTS, STATUS
from pellucid.http.paths import own_scope, raw_path


def _scope(raw: str) -> dict[str, Any]:
    """As uvicorn makes it."""
    return {"type": "http", "path": unquote(raw), "raw_path": raw.encode("ascii")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[ASGIApp, None]:
    settings = settings_for(tmp_path_factory.mktemp("paths"))
    (Path(settings.data_dir).parent / "pictures" / "a.jpg").write_bytes(photo(1))
    async with running(settings) as app:
        yield app


OWN = [
    # sent                                 status, of what picture
    ("/-/status/_p_/a.jpg", 200),
    ("/%2D/status/_p_/a.jpg", 200),
    ("/%2d/status/_p_/a.jpg", 200),
    ("/-/st%61tus/_p_/a.jpg", 200),
    ("/%2D/%73%74%61%74%75%73/_p_/a.jpg", 200),
    ("/-/status//_p_/a.jpg", 200),
    ("/%2D/status///_p_/a.jpg", 200),
    ("/-/status/%5Fp_/a.jpg", 200),
    ("/-/status/_p_/%61.jpg", 200),
    ("/-//status/_p_/a.jpg", 404),
    ("/-/status%2F_p_/a.jpg", 404),
    ("/-%2Fstatus/_p_/a.jpg", 400),
    ("/%2F-/status/_p_/a.jpg", 400),
    ("//-/status/_p_/a.jpg", 400),
    ("//%2D/status/_p_/a.jpg", 400),
    ("/%252D/status/_p_/a.jpg", 400),
    ("/-%2fstatus%2f_p_/a.jpg", 400),
    ("/./-/status/_p_/a.jpg", 400),
    ("/-/STATUS/_p_/a.jpg", 404),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("path", "status"), OWN)
async def test_status_by_every_spelling_is_the_status_of_the_picture(app: ASGIApp, path: str, status: int) -> None:
    answer = await ask(app, "GET", f"{path}?bg_remove=1&w=30")
    assert answer.status == status
    if status == 200:
        assert json.loads(answer.body)["image"] == "/_p_/a.jpg?w=30&bg_remove=1"
    else:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/%2D/health", 200),
        ("/-/h%65alth", 200),
        ("/%2d/%72eady", 503),
        ("/%66avicon.ico", 204),
        ("/robots%2Etxt", 200),
        ("/%2D/swap%2ejs", 200),
        ("/%2D/usage", 401),
        ("/%2D/invalidate", 404),
        ("/%2D/uploads", 404),
        ("/%2D/events", 400),
        ("/%2D/events/", 400),
        ("/-/nothing", 404),
        ("/-/nothing%2Fhere", 404),
        ("/%2D/", 404),
        ("/-", 400),
        ("/%2D", 400),
        ("/", 200),
        ("//", 400),
        ("/%2F", 400),
        ("/favicon%2Eico%2F", 400),
    ],
)
async def test_every_page_by_every_spelling(app: ASGIApp, path: str, status: int) -> None:
    assert (await ask(app, "GET", path)).status == status


@pytest.mark.asyncio(loop_scope="module")
async def test_pictures_are_asked_for_by_any_prefix_that_is_not_ours(app: ASGIApp) -> None:
    for path in ("/_p_/a.jpg", "//_p_/a.jpg", "/%5Fp%5F/a.jpg", "/v7//_p_/a.jpg"):
        assert (await ask(app, "GET", path)).status == 200


_SPELLINGS = {char: (char, f"%{ord(char):02X}", f"%{ord(char):02x}") for char in "-statuseventsh"}


@given(
    st.sampled_from([STATUS, EVENTS]).flatmap(
        lambda prefix: st.tuples(
            st.just(prefix),
            st.tuples(*(st.sampled_from(_SPELLINGS.get(char, (char,))) for char in prefix)).map("".join),
        )
    ),
    st.lists(st.sampled_from(["/", "//", "%2F", "%2D", "-", "a", "%C3%A9", "%25", "%", "..", "%3F", "host.example"])),
)
def test_what_is_found_is_sliced(prefixes: tuple[str, str], rest: list[str]) -> None:
    prefix, spelled = prefixes
    own = own_scope(_scope(f"{spelled}/{''.join(rest)}"))
    assert own is not None
    assert own["path"].startswith(f"{prefix}/")
    assert raw_path(own).startswith(f"{prefix}/")
    again = own_scope(own)
    assert again is not None
    assert raw_path(again) == raw_path(own)


@given(st.text(st.sampled_from("/-%2DdFfstau."), max_size=20).map("/".__add__))
def test_only_the_first_segment_decides(raw: str) -> None:
    first, slash, _ = raw[1:].partition("/")
    assert (own_scope(_scope(raw)) is not None) is (raw == "/" or (bool(slash) and first in ("-", "%2D", "%2d")))
