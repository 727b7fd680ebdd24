"""The order of jobs: fair between tokens, urgent ones first, a depth for each token, and the expiry of jobs that
no worker computes or that are not requested any more. `tests/queue/test_queue_turns.py` tests the rules alone.
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
from pellucid.queue import transitions
from pellucid.queue.turns import Urgency
from pellucid.queue.values import Full, Pending
from pellucid.spec import Token


async def order_of(process: Process, count: int) -> list[str]:
    """The keys in the order in which one worker computes them."""
    done = Recorder()
    async with working(process, done):
        await until(lambda: len(done.jobs) == count)
    return done.keys


class TurnsContract:
    """Which job runs next. Part of `QueueContract`."""

    async def test_pages_run_first_and_equals_in_order(self, make_process: MakeProcess) -> None:
        here = await make_process()
        for key in ("z-warm", "a-warm"):
            await here.enqueue(key, urgency=Urgency.WARM_UP)
        for key in ("z-upgrade", "a-upgrade"):
            await here.enqueue(key, urgency=Urgency.UPGRADE)
        for key in ("z-page", "a-page"):
            await here.enqueue(key)
        pages, others = ["z-page", "a-page"], ["z-upgrade", "a-upgrade", "z-warm", "a-warm"]
        assert await order_of(here, 6) == pages + others

    async def test_a_second_submission_may_raise_an_urgency_and_never_lowers_it(
        self, make_process: MakeProcess
    ) -> None:
        here = await make_process()
        for key in ("a", "b", "c"):
            await here.enqueue(key, urgency=Urgency.UPGRADE)
        assert (await here.enqueue("c")).position == 1
        await here.enqueue("c", urgency=Urgency.WARM_UP)
        assert await order_of(here, 3) == ["c", "a", "b"]

    async def test_sixty_jobs_of_one_token_do_not_delay_the_first_of_another(self, make_process: MakeProcess) -> None:
        here = await make_process()
        for n in range(60):
            await here.enqueue(f"many-{n:02}")
        gate = Gate()
        async with working(here, gate):
            await gate.reached()
            # Equal ranks are ordered by name, so these names come last.
            position = (await here.enqueue("z0", token=BLOG)).position
            await here.enqueue("z1", token=BLOG)
            gate.opened.set()
        assert position <= 3, "at most one of the others before it, beside the one that runs"
        keys = await order_of(here, 61)
        assert keys.index("z0") <= 1
        assert keys.index("z1") <= 3
        ours = [key for key in keys if key.startswith("many")]
        assert ours == sorted(ours), "jobs of one token run in the order of their submission"

    async def test_an_idle_token_saves_up_no_turns(self, make_process: MakeProcess) -> None:
        """Turns are shared from the moment when both tokens have jobs."""
        here = await make_process()
        for n in range(10):
            await here.enqueue(f"early-{n}")
        await order_of(here, 10)
        for n in range(10):
            await here.enqueue(f"shop-{n}")
        for n in range(10):
            await here.enqueue(f"blog-{n}", token=BLOG)
        first = (await order_of(here, 20))[:10]
        assert 4 <= sum(key.startswith("blog") for key in first) <= 6

    async def test_a_rank_is_fixed_when_the_job_is_queued(self, make_process: MakeProcess) -> None:
        """The rank is the virtual finish time: jobs that run or come meanwhile do not change it."""
        here = await make_process()
        await here.enqueue("first")
        await here.enqueue("k")
        await here.enqueue("heavy", pixels=24_000_000, token=BLOG)
        ranks = sa.select(removals.c.key, removals.c.rank).order_by(removals.c.key)
        assert await here.rows(ranks) == [("first", 1.0), ("heavy", 2.0), ("k", 2.0)]
        gate = Gate()
        async with working(here, gate):
            await gate.reached()
            await here.enqueue("k")
            await here.enqueue("new", token=BLOG)
            await here.enqueue("newest", token=Token("third"))
            assert (await here.rows(ranks))[1:] == [("heavy", 2.0), ("k", 2.0), ("new", 3.0), ("newest", 2.0)]
            gate.opened.set()

    async def test_a_backlog_of_pages_does_not_starve_a_warm_up(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.enqueue("warm", urgency=Urgency.WARM_UP)
        await here.enqueue("upgrade", urgency=Urgency.UPGRADE)
        for n in range(20):
            await here.enqueue(f"page-{n:02}")
        keys = await order_of(here, 22)
        assert 3 <= keys.index("upgrade") <= 5
        assert 15 <= keys.index("warm") <= 18

    async def test_a_key_submitted_by_two_tokens_is_one_job_with_the_earlier_turn(
        self, make_process: MakeProcess
    ) -> None:
        here = await make_process()
        for n in range(5):
            await here.enqueue(f"shop-{n}")
        pending = await here.enqueue("shop-4", token=BLOG)
        assert pending.position <= 2
        assert await here.counts() == (5, 0, 0)
        found = await here.rows(sa.select(removals.c.token, removals.c.rank).where(removals.c.key == "shop-4"))
        assert found == [("blog", 1.0)]
        await here.enqueue("shop-4")
        assert await here.rows(sa.select(removals.c.token).where(removals.c.key == "shop-4")) == [("blog",)]
        assert await here.account(SHOP) == (0, 1000)
        assert await here.account(BLOG) == (0, 200)
        assert (await order_of(here, 5)).index("shop-4") <= 1
        assert await here.account(SHOP) == (1000, 0)
        assert await here.account(BLOG) == (200, 0), "each of them pays"

    async def test_a_later_turn_is_ignored(self, make_process: MakeProcess) -> None:
        here = await make_process()
        for n in range(3):
            await here.enqueue(f"blog-{n}", token=BLOG)
        await here.enqueue("k")
        await here.enqueue("k", token=BLOG)
        assert await here.rows(sa.select(removals.c.token).where(removals.c.key == "k")) == [("shop",)]

    async def test_one_token_at_its_depth_does_not_make_another_busy(self, make_process: MakeProcess) -> None:
        here = await make_process(depth=4)
        for n in range(4):
            await here.enqueue(f"shop-{n}")
        assert (await here.submit("shop-4")).receipt == Full(of_token=4, depth=4)
        await here.enqueue("blog-0", token=BLOG)
        await here.enqueue("blog-1", token=BLOG)
        assert (await here.submit("blog-2", token=BLOG)).receipt == Full(of_token=2, depth=2), "half of it each"
        assert (await here.submit("shop-4")).receipt == Full(of_token=4, depth=2)
        assert await here.counts() == (6, 0, 0), "the first token keeps its jobs"
        await here.enqueue("shop-0", token=BLOG)  # pending already: it takes no room

    async def test_unserved_jobs_take_no_room_from_served_ones(self, make_process: MakeProcess) -> None:
        """Jobs of a recipe of older settings stay while their token goes on with new ones."""
        here = await make_process(depth=3)
        for n in range(3):
            await here.enqueue(f"old-{n}", recipe="old")
        assert isinstance((await here.submit("old-3", recipe="old")).receipt, Full)
        await here.enqueue("early")
        session = make_process.registry.register(make_info("w1"))
        await here.workers_are("w1")
        await here.enqueue("new-1")
        assert (await here.enqueue("new-2")).position == 3, "it does not wait for them either"
        assert isinstance((await here.submit("new-3")).receipt, Full)
        assert isinstance((await here.submit("old-3", recipe="old")).receipt, Full)
        session.unregister()


class TurnsEndContract:
    """Jobs that wait too long. Part of `QueueContract`."""

    async def test_an_unserved_job_expires_ten_minutes_after_its_last_request(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        session = make_process.registry.register(make_info("w1"))
        await here.workers_are("w1")
        await here.enqueue("old", recipe="old", notify=[HOOK])
        await here.enqueue("again", recipe="old")
        await here.enqueue("made")
        assert await here.account() == (0, 600)
        await here.queue.expire()
        clock.now += 599
        await here.enqueue("again", recipe="old")
        await here.queue.expire()
        assert await here.counts() == (3, 0, 0)
        clock.now += 2
        waiting = here.wait("old")
        await here.queue.expire()
        assert await waiting
        assert await here.column(removals.c.key) == ["again", "made"]
        assert await here.account() == (0, 400), "its hold was released with it"
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
        await here.enqueue("old", recipe="old")  # it can be submitted again: an expired job is not remembered as failed
        session.unregister()

    async def test_workers_have_the_same_time_to_load_their_model_after_a_start(
        self, make_process: MakeProcess
    ) -> None:
        """A server that was down for a quarter of an hour continues its pending jobs."""
        clock = MovableClock()
        before = await make_process(clock=clock)
        await before.enqueue("k")
        clock.now += 900
        here = await make_process(clock=clock)
        await here.queue.expire()
        clock.now += 599
        await here.queue.expire()
        assert await here.counts() == (1, 0, 0)
        clock.now += 2
        await here.queue.expire()
        assert await here.counts() == (0, 0, 0)

    async def test_a_recipe_stays_served_for_the_same_time_after_its_last_worker(
        self, make_process: MakeProcess
    ) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("k")
        await here.queue.expire()
        clock.now += 700
        session = make_process.registry.register(make_info("w1"))
        await here.workers_are("w1")
        await here.queue.expire()
        session.unregister()
        await here.workers_are()
        clock.now += 599
        await here.queue.expire()
        assert await here.counts() == (1, 0, 0), "the worker may come back soon"
        clock.now += 2
        await here.queue.expire()
        assert await here.counts() == (0, 0, 0)

    async def test_a_served_job_waits_six_hours(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        session = make_process.registry.register(make_info("w1"))
        await here.workers_are("w1")
        await here.enqueue("k", notify=[HOOK])
        await here.enqueue("again")
        clock.now += 6 * 3600 - 1
        await here.enqueue("again")
        await here.queue.expire()
        assert await here.counts() == (2, 0, 0)
        clock.now += 2
        await here.queue.expire()
        assert await here.column(removals.c.key) == ["again"]
        assert await here.account() == (0, 200)
        assert json.loads((await claim_all(here))[HOOK.url].body)["data"]["reason"] == "expired"
        session.unregister()

    async def test_running_and_failed_jobs_do_not_expire(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock, lease_s=1e9)
        await here.enqueue("bad")
        await here.change("bad", state="failed", due_at=clock.now + 1e9)
        await here.enqueue("k")
        gate = Gate()
        async with working(here, gate):
            await gate.reached()
            clock.now += 1e6
            await here.queue.expire()
            assert await here.counts() == (0, 1, 1)
            gate.opened.set()
            assert await here.wait("k")

    async def test_a_polling_page_renews_the_request_once_a_minute(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("k")
        begun = clock.now
        for after_s, written_s in ((59, 0), (61, 61), (100, 61), (122, 122)):
            clock.now = begun + after_s
            await here.enqueue("k")
            assert await here.column(removals.c.asked_at) == [pytest.approx(begun + written_s, rel=0, abs=0.01)]

    async def test_all_overdue_jobs_expire_however_many(
        self, make_process: MakeProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In batches, so that other transactions run in between."""
        monkeypatch.setattr(transitions, "_EXPIRE_BATCH", 3)
        clock = MovableClock()
        here = await make_process(clock=clock)
        for n in range(10):
            await here.enqueue(f"k{n}")
        clock.now += 1e6
        await here.queue.expire()
        assert await here.counts() == (0, 0, 0)
        assert await here.account() == (0, 0)

    async def test_holds_without_a_job_by_an_older_version_end_too(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("k")
        await here.change("k", version=1)
        await here.hold_lost()
        clock.now += 6 * 3600 - 60
        await here.enqueue("k")
        await here.queue.expire()
        assert await here.account() == (0, 400)
        clock.now += 120
        await here.queue.expire()
        assert await here.account() == (0, 200)
        assert isinstance((await here.status("k")).receipt, Pending)
