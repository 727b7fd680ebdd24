"""What the queue must do about turns: fair between tokens, urgent ones first, each token its own depth, and an end for
what nobody makes or nobody asks for any more. The rules are tried by themselves in `tests/queue/test_queue_turns.py`.
"""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from queue_helpers import (
    BLOG,
    SHOP,
    Gate,
    MakeProcess,
    MovableClock,
    Process,
    Recorder,
    make_info,
    until,
    working,
)
from queue_outbox_contract import HOOK, claim_all

from pellucid.database.tables import listeners, removals
from pellucid.queue import course
from pellucid.queue.turns import Urgency
from pellucid.queue.values import Full, Pending
from pellucid.spec import Token


async def order_of(process: Process, count: int) -> list[str]:
    """The keys in the order in which one worker makes them."""
    done = Recorder()
    async with working(process, done):
        await until(lambda: len(done.jobs) == count)
    return done.keys


class TurnsContract:
    """Whose turn it is. Part of `QueueContract`."""

    async def test_pages_run_first_and_equals_in_order(self, make_process: MakeProcess) -> None:
        here = await make_process()
        for key in ("z-warm", "a-warm"):
            await here.owe(key, urgency=Urgency.WARM_UP)
        for key in ("z-upgrade", "a-upgrade"):
            await here.owe(key, urgency=Urgency.UPGRADE)
        for key in ("z-page", "a-page"):
            await here.owe(key)
        pages, others = ["z-page", "a-page"], ["z-upgrade", "a-upgrade", "z-warm", "a-warm"]
        assert await order_of(here, 6) == pages + others

    async def test_who_asks_again_may_raise_an_urgency_and_never_lowers_one(self, make_process: MakeProcess) -> None:
        here = await make_process()
        for key in ("a", "b", "c"):
            await here.owe(key, urgency=Urgency.UPGRADE)
        assert (await here.owe("c")).position == 1
        await here.owe("c", urgency=Urgency.WARM_UP)
        assert await order_of(here, 3) == ["c", "a", "b"]

    async def test_sixty_of_one_token_do_not_keep_the_first_of_another_from_its_turn(
        self, make_process: MakeProcess
    ) -> None:
        here = await make_process()
        for n in range(60):
            await here.owe(f"many-{n:02}")
        gate = Gate()
        async with working(here, gate):
            await gate.reached()
            # Names come last where ranks are alike, so these have no luck.
            position = (await here.owe("z0", token=BLOG)).position
            await here.owe("z1", token=BLOG)
            gate.opened.set()
        assert position <= 3, "at most one of the others before it, beside the one that runs"
        keys = await order_of(here, 61)
        assert keys.index("z0") <= 1
        assert keys.index("z1") <= 3
        ours = [key for key in keys if key.startswith("many")]
        assert ours == sorted(ours), "each token's own in the order in which they were asked for"

    async def test_a_token_gains_nothing_by_having_waited_for_nothing(self, make_process: MakeProcess) -> None:
        """Turns are shared from when both ask; nobody saves them up."""
        here = await make_process()
        for n in range(10):
            await here.owe(f"early-{n}")
        await order_of(here, 10)
        for n in range(10):
            await here.owe(f"shop-{n}")
        for n in range(10):
            await here.owe(f"blog-{n}", token=BLOG)
        first = (await order_of(here, 20))[:10]
        assert 4 <= sum(key.startswith("blog") for key in first) <= 6

    async def test_a_rank_is_fixed_when_the_removal_is_owed(self, make_process: MakeProcess) -> None:
        """Its virtual finish time: what runs or comes meanwhile does not move it."""
        here = await make_process()
        await here.owe("first")
        await here.owe("k")
        await here.owe("heavy", pixels=24_000_000, token=BLOG)
        ranks = sa.select(removals.c.key, removals.c.rank).order_by(removals.c.key)
        assert await here.rows(ranks) == [("first", 1.0), ("heavy", 2.0), ("k", 2.0)]
        gate = Gate()
        async with working(here, gate):
            await gate.reached()
            await here.owe("k")
            await here.owe("new", token=BLOG)
            await here.owe("newest", token=Token("third"))
            assert (await here.rows(ranks))[1:] == [("heavy", 2.0), ("k", 2.0), ("new", 3.0), ("newest", 2.0)]
            gate.opened.set()

    async def test_a_backlog_of_pages_does_not_starve_a_warm_up(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.owe("warm", urgency=Urgency.WARM_UP)
        await here.owe("upgrade", urgency=Urgency.UPGRADE)
        for n in range(20):
            await here.owe(f"page-{n:02}")
        keys = await order_of(here, 22)
        assert 3 <= keys.index("upgrade") <= 5
        assert 15 <= keys.index("warm") <= 18

    async def test_a_key_that_two_tokens_want_is_one_removal_and_gains_the_earlier_turn(
        self, make_process: MakeProcess
    ) -> None:
        here = await make_process()
        for n in range(5):
            await here.owe(f"shop-{n}")
        owed = await here.owe("shop-4", token=BLOG)
        assert owed.position <= 2
        assert await here.counts() == (5, 0, 0)
        found = await here.rows(sa.select(removals.c.token, removals.c.rank).where(removals.c.key == "shop-4"))
        assert found == [("blog", 1.0)]
        await here.owe("shop-4")
        assert await here.rows(sa.select(removals.c.token).where(removals.c.key == "shop-4")) == [("blog",)]
        assert await here.account(SHOP) == (0, 1000)
        assert await here.account(BLOG) == (0, 200)
        assert (await order_of(here, 5)).index("shop-4") <= 1
        assert await here.account(SHOP) == (1000, 0)
        assert await here.account(BLOG) == (200, 0), "each of them pays"

    async def test_a_later_turn_is_not_taken(self, make_process: MakeProcess) -> None:
        here = await make_process()
        for n in range(3):
            await here.owe(f"blog-{n}", token=BLOG)
        await here.owe("k")
        await here.owe("k", token=BLOG)
        assert await here.rows(sa.select(removals.c.token).where(removals.c.key == "k")) == [("shop",)]

    async def test_one_token_at_its_depth_does_not_make_another_busy(self, make_process: MakeProcess) -> None:
        here = await make_process(depth=4)
        for n in range(4):
            await here.owe(f"shop-{n}")
        assert (await here.submit("shop-4")).receipt == Full(of_token=4, depth=4)
        await here.owe("blog-0", token=BLOG)
        await here.owe("blog-1", token=BLOG)
        assert (await here.submit("blog-2", token=BLOG)).receipt == Full(of_token=2, depth=2), "half of it each"
        assert (await here.submit("shop-4")).receipt == Full(of_token=4, depth=2)
        assert await here.counts() == (6, 0, 0), "who came first keeps what it had"
        await here.owe("shop-0", token=BLOG)  # owed already: it takes no room

    async def test_what_nobody_makes_takes_no_room_from_what_is_made(self, make_process: MakeProcess) -> None:
        """Removals of a recipe of yesterday's settings lie there while their token goes on with today's."""
        here = await make_process(depth=3)
        for n in range(3):
            await here.owe(f"old-{n}", recipe="old")
        assert isinstance((await here.submit("old-3", recipe="old")).receipt, Full)
        await here.owe("early")
        seat = make_process.registry.join(make_info("w1"))
        await here.workers_are("w1")
        await here.owe("new-1")
        assert (await here.owe("new-2")).position == 3, "nor does it wait for them"
        assert isinstance((await here.submit("new-3")).receipt, Full)
        assert isinstance((await here.submit("old-3", recipe="old")).receipt, Full)
        seat.leave()


class TurnsEndContract:
    """What waits too long. Part of `QueueContract`."""

    async def test_what_nobody_makes_ends_ten_minutes_after_it_was_asked_for_last(
        self, make_process: MakeProcess
    ) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        seat = make_process.registry.join(make_info("w1"))
        await here.workers_are("w1")
        await here.owe("old", recipe="old", notify=[HOOK])
        await here.owe("again", recipe="old")
        await here.owe("made")
        assert await here.account() == (0, 600)
        await here.queue.expire()
        clock.now += 599
        await here.owe("again", recipe="old")
        await here.queue.expire()
        assert await here.counts() == (3, 0, 0)
        clock.now += 2
        waiting = here.wait("old")
        await here.queue.expire()
        assert await waiting
        assert await here.column(removals.c.key) == ["again", "made"]
        assert await here.account() == (0, 400), "its hold has ended with it"
        message = json.loads((await claim_all(here))[HOOK.url].body)
        assert message["type"] == "cutout.failed"
        assert message["data"] == {
            "image": HOOK.image,
            "origin_digest": "origin-of-old",
            "recipe_id": "old",
            "attempts": 0,
            "reason": "expired",
        }
        assert await here.column(listeners.c.url) == []
        await here.owe("old", recipe="old")  # whoever asks has it owed again: it is not remembered as failed
        seat.leave()

    async def test_workers_have_as_long_to_load_their_model_after_a_start(self, make_process: MakeProcess) -> None:
        """A server that was down for a quarter of an hour goes on with what it owed."""
        clock = MovableClock()
        before = await make_process(clock=clock)
        await before.owe("k")
        clock.now += 900
        here = await make_process(clock=clock)
        await here.queue.expire()
        clock.now += 599
        await here.queue.expire()
        assert await here.counts() == (1, 0, 0)
        clock.now += 2
        await here.queue.expire()
        assert await here.counts() == (0, 0, 0)

    async def test_a_recipe_is_served_for_as_long_after_its_last_worker_left(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.owe("k")
        await here.queue.expire()
        clock.now += 700
        seat = make_process.registry.join(make_info("w1"))
        await here.workers_are("w1")
        await here.queue.expire()
        seat.leave()
        await here.workers_are()
        clock.now += 599
        await here.queue.expire()
        assert await here.counts() == (1, 0, 0), "it comes back in a moment"
        clock.now += 2
        await here.queue.expire()
        assert await here.counts() == (0, 0, 0)

    async def test_what_a_living_worker_makes_waits_six_hours(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        seat = make_process.registry.join(make_info("w1"))
        await here.workers_are("w1")
        await here.owe("k", notify=[HOOK])
        await here.owe("again")
        clock.now += 6 * 3600 - 1
        await here.owe("again")
        await here.queue.expire()
        assert await here.counts() == (2, 0, 0)
        clock.now += 2
        await here.queue.expire()
        assert await here.column(removals.c.key) == ["again"]
        assert await here.account() == (0, 200)
        assert json.loads((await claim_all(here))[HOOK.url].body)["data"]["reason"] == "expired"
        seat.leave()

    async def test_what_runs_or_has_failed_does_not_expire(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock, lease_s=1e9)
        await here.owe("bad")
        await here.change("bad", state="failed", due_at=clock.now + 1e9)
        await here.owe("k")
        gate = Gate()
        async with working(here, gate):
            await gate.reached()
            clock.now += 1e6
            await here.queue.expire()
            assert await here.counts() == (0, 1, 1)
            gate.opened.set()
            assert await here.wait("k")

    async def test_a_page_that_waits_renews_it_once_a_minute(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.owe("k")
        begun = clock.now
        for after_s, written_s in ((59, 0), (61, 61), (100, 61), (122, 122)):
            clock.now = begun + after_s
            await here.owe("k")
            assert await here.column(removals.c.asked_at) == [pytest.approx(begun + written_s, rel=0, abs=0.01)]

    async def test_all_that_waited_too_long_ends_however_many(
        self, make_process: MakeProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Some at a time, so that others get at the database in between."""
        monkeypatch.setattr(course, "_AT_A_TIME", 3)
        clock = MovableClock()
        here = await make_process(clock=clock)
        for n in range(10):
            await here.owe(f"k{n}")
        clock.now += 1e6
        await here.queue.expire()
        assert await here.counts() == (0, 0, 0)
        assert await here.account() == (0, 0)

    async def test_an_older_versions_holds_without_a_removal_end_too(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.owe("k")
        await here.change("k", version=1)
        await here.hold_lost()
        clock.now += 6 * 3600 - 60
        await here.owe("k")
        await here.queue.expire()
        assert await here.account() == (0, 400)
        clock.now += 120
        await here.queue.expire()
        assert await here.account() == (0, 200)
        assert isinstance((await here.status("k")).receipt, Pending)
