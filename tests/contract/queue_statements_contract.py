"""What the queue may say to the database: pages ask every few seconds, so an answer that changes nothing costs one
statement and no write. And what it must leave alone.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest
import sqlalchemy as sa
from queue_helpers import (
    BLOG,
    NEVER_S,
    SHOP,
    Gate,
    MakeProcess,
    MovableClock,
    Recorder,
    is_write,
    kill,
    make_info,
    refuse,
    statements,
    working,
)
from queue_outbox_contract import HOOK, OTHER_HOOK

from pellucid.database.tables import removals
from pellucid.ledger.values import ClaimStatus
from pellucid.queue.turns import Urgency
from pellucid.queue.values import Failed, Full, Pending


class StatementsContract:
    """Part of `QueueContract`."""

    async def test_an_owed_key_is_answered_with_one_statement(self, make_process: MakeProcess) -> None:
        here, there = await make_process(depth=1), await make_process(depth=1)
        await here.owe("k", notify=[HOOK])
        for each in (here, there):
            for submission in (
                {},
                {"notify": [HOOK]},
                {"urgency": Urgency.WARM_UP},
                {"may_spend": False},
                {"pixels": 10**8},
            ):
                with statements(each) as said:
                    answer = await each.submit("k", **submission)
                assert isinstance(answer.receipt, Pending)
                assert answer.claim_status is ClaimStatus.HELD
                assert len(said) == 1
                assert not is_write(said[0])

    async def test_an_owed_key_that_runs_is_answered_with_one_statement(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.owe("k")
        gate = Gate()
        async with working(here, gate):
            await gate.reached()
            there = await make_process()
            with statements(there) as said:
                assert isinstance((await there.submit("k")).receipt, Pending)
            assert len(said) == 1
            gate.opened.set()

    async def test_knowing_and_asking_take_two_statements(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.owe("k")
        with statements(here) as said:
            assert await here.queue.known(SHOP, ["origin-of-k"]) == []
            await here.submit("k")
        assert len(said) == 2
        assert not any(map(is_write, said))

    async def test_who_is_told_that_nothing_is_owed_costs_no_write(self, make_process: MakeProcess) -> None:
        here, poor = await make_process(depth=1), await make_process(depth=1, limit=300)
        await here.owe("bad")
        async with working(here, refuse):
            assert await here.wait("bad")
        await here.owe("k")
        here = await make_process(depth=1)  # which waits for nothing
        with statements(here) as said:
            assert isinstance((await here.submit("bad", notify=[HOOK])).receipt, Failed)
        assert len(said) == 1
        with statements(poor) as said:
            assert (await poor.submit("other", notify=[HOOK])).claim_status is ClaimStatus.REFUSED
        assert len(said) == 1
        assert not is_write(said[0])
        await here.owe("of-blog", token=BLOG)
        with statements(here) as said:
            assert isinstance((await here.submit("new", token=BLOG, notify=[HOOK])).receipt, Full)
        assert len(said) <= 2
        assert not any(map(is_write, said))
        with statements(here) as said:
            assert isinstance((await here.submit("of-blog", token=BLOG)).receipt, Pending)
        assert len(said) == 1, "owed already, though its token is full"

    async def test_what_changes_is_written(self, make_process: MakeProcess) -> None:
        """Each of these is worth a write, and the next who asks the same costs none."""
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.owe("k", urgency=Urgency.WARM_UP)
        upgrade = {"urgency": Urgency.UPGRADE}
        told = {"urgency": Urgency.UPGRADE, "notify": [OTHER_HOOK]}
        for submission, passed_s in ((upgrade, 0), (told, 0), ({}, 0), ({"token": BLOG}, 0), ({}, 61)):
            clock.now += passed_s
            for is_news in (True, False):
                with statements(here) as said:
                    await here.submit("k", **submission)
                assert any(map(is_write, said)) == is_news, (submission, passed_s)

    async def test_a_look_costs_one_statement(self, make_process: MakeProcess) -> None:
        here = await make_process()
        for _ in range(2):
            with statements(here) as said:
                await here.status("k", notify=[HOOK])
            assert len(said) == 1
            assert not is_write(said[0])
            await here.owe("k")

    async def test_an_idle_worker_says_nothing_to_the_database(self, make_process: MakeProcess) -> None:
        """Beside a look now and then, in PostgreSQL once a second."""
        here, there = await make_process(), await make_process()
        async with working(here, Recorder()):
            await there.owe("k")
            assert await there.wait("k")
            await asyncio.sleep(NEVER_S)
            began = time.monotonic()
            with statements(here) as said:
                await asyncio.sleep(NEVER_S)
            took_s = time.monotonic() - began
        assert len(said) <= 1 + took_s
        assert not any(map(is_write, said))

    async def test_a_removal_of_a_later_version_is_left_alone(self, make_process: MakeProcess) -> None:
        """A newer Pellucid on the same database, for the length of an upgrade: we do not know what its rows mean."""
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.owe("theirs")
        await here.change("theirs", version=2, urgency="undreamt-of")
        (theirs,) = await here.rows(sa.select(removals))
        await here.owe("ours")
        done = Recorder()
        async with working(here, done):
            assert await here.wait("ours")
            assert not await here.database.run(
                partial(here.queue.course.claim, worker_id="w2", recipes=["r1", "undreamt-of"])
            )
        assert done.keys == ["ours"]
        answer = await here.submit("theirs", notify=[OTHER_HOOK])
        assert answer.receipt == Pending(position=1, eta_s=pytest.approx((await here.queue.stats()).job_s))
        assert answer.unregistered == (OTHER_HOOK,)
        assert (await here.status("theirs")).receipt is not None
        await here.queue.expire()
        clock.now += 5 * 3600
        await here.queue.expire()
        assert await here.rows(sa.select(removals)) == [theirs]
        assert await here.queue.pending_keys() == frozenset()
        assert await here.counts() == (0, 0, 0)
        clock.now += 2 * 3600
        await here.queue.expire()
        assert await here.rows(sa.select(removals)) == [], "after a step back nobody would ever end it"
        assert await here.account() == (200, 0)

    async def test_what_a_later_version_runs_is_left_to_it(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.owe("theirs")
        await here.change("theirs", version=2, state="running", owner="w9", due_at=0.0)
        seat = make_process.registry.join(make_info("w9"))
        kill(seat)
        await here.queue.sweep(leases=True)
        assert await here.column(removals.c.state) == ["running"]
