"""A web process that follows invalidations: what it drops of the answers that it holds in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Set
from types import SimpleNamespace
from typing import Any

import pytest

from pellucid.errors import DatabaseAwayError
from pellucid.invalidation.log import Invalidation
from pellucid.spec import DEFAULT_TOKEN, OriginRef, Token
from pellucid.store import keys
from pellucid.wiring import web as module
from pellucid.wiring.web import Web

SHOP, BLOG = Token("shop"), Token("blog")
REF, OTHER = OriginRef(host="shop.example", path="/1.jpg"), OriginRef(host="shop.example", path="/2.jpg")


class Told:
    """News as they are listed: errors are raised, and the last ends the test's wait."""

    def __init__(self, *news: list[Invalidation] | DatabaseAwayError | None, has_started: bool = True) -> None:
        self.has_started = has_started
        self.over = asyncio.Event()
        self._news = list(news)

    async def read_new(self) -> list[Invalidation] | None:
        if not self._news:
            self.over.set()
            return []
        news = self._news.pop(0)
        if isinstance(news, DatabaseAwayError):
            raise news
        self.has_started = True
        return news


async def _forgotten(told: Told, monkeypatch: pytest.MonkeyPatch) -> list[Set[str] | None]:
    monkeypatch.setattr(module, "FOLLOW_S", 0)
    web: Any = object.__new__(Web)
    object.__setattr__(web, "invalidations", told)
    object.__setattr__(web, "customers", SimpleNamespace(tokens=[SHOP, BLOG]))
    forgotten: list[Set[str] | None] = []
    following = asyncio.create_task(web.follow_invalidations(forgotten.append))
    await asyncio.wait_for(told.over.wait(), 10)
    following.cancel()
    return forgotten


def _of(ref: OriginRef, token: str = "") -> Invalidation:
    return Invalidation(origin=keys.origin_digest_of(ref), token=token)


async def test_all_that_one_look_brought_is_dropped_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each token by itself, thousands of records would be looked for in thousands of answers."""
    told = Told([_of(REF), _of(OTHER, "shop")], [], [_of(OTHER)])
    everybody = {DEFAULT_TOKEN, SHOP, BLOG}
    assert await _forgotten(told, monkeypatch) == [
        {*(keys.origin_record_key(token, REF) for token in everybody), keys.origin_record_key(SHOP, OTHER)},
        {keys.origin_record_key(token, OTHER) for token in everybody},
    ]


@pytest.mark.parametrize("news", [None, [Invalidation(origin="")], [_of(REF)] * 4000])
async def test_where_too_much_is_named_everything_is_dropped(
    monkeypatch: pytest.MonkeyPatch, news: list[Invalidation] | None
) -> None:
    assert await _forgotten(Told(news), monkeypatch) == [None]


async def test_while_the_database_is_away_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(DatabaseAwayError("away"), DatabaseAwayError("away"), [_of(REF, "shop")])
    assert await _forgotten(told, monkeypatch) == [{keys.origin_record_key(SHOP, REF)}]


async def test_the_first_news_of_a_database_that_was_away_at_the_start_drop_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Answers were made of records that nobody could say anything about."""
    assert await _forgotten(Told(DatabaseAwayError("away"), [], has_started=False), monkeypatch) == [None]
