"""Whole answers in memory: how long they are believed, what they weigh, how they are dropped."""

from __future__ import annotations

from pellucid.customers.customer import DEFAULT_CUSTOMER, Customer
from pellucid.formats import ImageFormat
from pellucid.http.authentication import Caller
from pellucid.http.hot import HotCache, HotKey
from pellucid.spec import Token

EVERYBODY = Caller(DEFAULT_CUSTOMER)
HEADERS = [(b"etag", b'"x"'), (b"cache-status", b"Pellucid; fwd=miss"), (b"server-timing", b"render;dur=30")]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _key(name: str) -> HotKey:
    return name.encode(), b"w=1", frozenset({ImageFormat.WEBP}), EVERYBODY


def _put(
    hot: HotCache, name: str, *, size: int = 10, record: str = "r", fresh_s: float = 1000, generation: int | None = None
) -> None:
    hot.put(
        _key(name),
        etag='"x"',
        headers=HEADERS,
        content=[(b"content-type", b"image/png")],
        body=bytes(size),
        record_key=record,
        fresh_s=fresh_s,
        generation=hot.generation if generation is None else generation,
    )


def test_an_answer_is_kept_whole() -> None:
    hot = HotCache(max_bytes=1_000_000)
    _put(hot, "a")
    answer = hot.get(_key("a"))
    assert answer is not None
    assert dict(answer.headers)[b"content-length"] == b"10"
    assert dict(answer.headers)[b"cache-status"] == b"Pellucid; hit; detail=hot"
    assert b"server-timing" not in dict(answer.headers), "that was another request's time"
    assert b"content-type" not in dict(answer.not_modified)
    assert hot.get((b"a", b"w=1", frozenset(), EVERYBODY)) is None, "another Accept"
    somebody = Caller(Customer(token=Token("shop")))
    assert hot.get((b"a", b"w=1", frozenset({ImageFormat.WEBP}), somebody)) is None, "another token"


def test_it_is_believed_as_long_as_its_origin_but_not_for_ever() -> None:
    clock = Clock()
    hot = HotCache(max_bytes=1_000_000, clock=clock)
    _put(hot, "short", fresh_s=5)
    _put(hot, "long", fresh_s=1000)
    _put(hot, "stale", fresh_s=0)
    assert hot.get(_key("stale")) is None
    clock.now += 6
    assert hot.get(_key("short")) is None
    assert hot.get(_key("long")) is not None
    clock.now += 30
    assert hot.get(_key("long")) is None


def test_it_stays_within_its_bytes() -> None:
    hot = HotCache(max_bytes=100_000)
    for number in range(100):
        _put(hot, str(number), size=5000)
    kept = [number for number in range(100) if hot.get(_key(str(number)))]
    assert kept == list(range(100 - len(kept), 100))
    assert 5 < len(kept) < 20
    _put(hot, "huge", size=50_000)
    assert hot.get(_key("huge")) is None, "one huge picture must not push out the others"
    assert hot.get(_key("99")) is not None


def test_some_origins_or_all_are_dropped() -> None:
    hot = HotCache(max_bytes=1_000_000)
    _put(hot, "a", record="one")
    _put(hot, "b", record="two")
    hot.forget({"one", "three"})
    assert hot.get(_key("a")) is None
    assert hot.get(_key("b")) is not None
    hot.forget(None)
    assert hot.get(_key("b")) is None


def test_an_answer_begun_before_something_was_dropped_is_not_kept() -> None:
    hot = HotCache(max_bytes=1_000_000)
    generation = hot.generation
    hot.forget({"r"})
    _put(hot, "old", generation=generation)
    assert hot.get(_key("old")) is None
    _put(hot, "new")
    assert hot.get(_key("new")) is not None


def test_long_urls_weigh_what_they_are() -> None:
    """One picture under thousands of URLs that differ in what nobody reads."""
    hot = HotCache(max_bytes=1_000_000)
    for number in range(500):
        _put(hot, f"{number:04}" + "x" * 10_000)
    kept = [number for number in range(500) if hot.get(_key(f"{number:04}" + "x" * 10_000)) is not None]
    assert 0 < len(kept) < 100
