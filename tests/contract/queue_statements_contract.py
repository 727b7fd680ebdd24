"""Statements that the queue sends: pages poll every few seconds, so an answer that changes nothing costs one
statement and no write. And rows that it must leave alone.
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

    async def test_a_pending_key_is_answered_with_one_statement(self, make_process: MakeProcess) -> None:
        here, there = await make_process(depth=1), await make_process(depth=1)
        await here.enqueue("k", notify=[HOOK])
        for each in (here, there):
            for submission in (
                {},
                {"notify": [HOOK]},
                {"urgency": Urgency.WARM_UP},
                {"may_spend": False},
                {"pixels": 10**8},
            ):
                with statements(each) as sent:
                    answer = await each.submit("k", **submission)
                assert isinstance(answer.receipt, Pending)
                assert answer.claim_status is ClaimStatus.HELD
                assert len(sent) == 1
                assert not is_write(sent[0])

    async def test_a_running_key_is_answered_with_one_statement(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.enqueue("k")
        gate = Gate()
        async with working(here, gate):
            await gate.reached()
            there = await make_process()
            with statements(there) as sent:
                assert isinstance((await there.submit("k")).receipt, Pending)
            assert len(sent) == 1
            gate.opened.set()

    async def test_a_lookup_and_a_submission_take_two_statements(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.enqueue("k")
        with statements(here) as sent:
            assert await here.queue.known_mattes(SHOP, ["origin-of-k"]) == []
            await here.submit("k")
        assert len(sent) == 2
        assert not any(map(is_write, sent))

    async def test_an_answer_without_a_job_costs_no_write(self, make_process: MakeProcess) -> None:
        here, poor = await make_process(depth=1), await make_process(depth=1, limit=300)
        await here.enqueue("bad")
        async with working(here, refuse):
            assert await here.wait("bad")
        await here.enqueue("k")
        here = await make_process(depth=1)  # which waits for nothing
        with statements(here) as sent:
            assert isinstance((await here.submit("bad", notify=[HOOK])).receipt, Failed)
        assert len(sent) == 1
        with statements(poor) as sent:
            assert (await poor.submit("other", notify=[HOOK])).claim_status is ClaimStatus.REFUSED
        assert len(sent) == 1
        assert not is_write(sent[0])
        await here.enqueue("of-blog", token=BLOG)
        with statements(here) as sent:
            assert isinstance((await here.submit("new", token=BLOG, notify=[HOOK])).receipt, Full)
        assert len(sent) <= 2
        assert not any(map(is_write, sent))
        with statements(here) as sent:
            assert isinstance((await here.submit("of-blog", token=BLOG)).receipt, Pending)
        assert len(sent) == 1, "pending already, though its token is full"

    async def test_changes_are_written(self, make_process: MakeProcess) -> None:
        """Each of these costs a write, and the same submission again costs none."""
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("k", urgency=Urgency.WARM_UP)
        upgrade = {"urgency": Urgency.UPGRADE}
        with_listener = {"urgency": Urgency.UPGRADE, "notify": [OTHER_HOOK]}
        for submission, passed_s in ((upgrade, 0), (with_listener, 0), ({}, 0), ({"token": BLOG}, 0), ({}, 61)):
            clock.now += passed_s
            for is_new in (True, False):
                with statements(here) as sent:
                    await here.submit("k", **submission)
                assert any(map(is_write, sent)) == is_new, (submission, passed_s)

    async def test_a_status_costs_one_statement(self, make_process: MakeProcess) -> None:
        here = await make_process()
        for _ in range(2):
            with statements(here) as sent:
                await here.status("k", notify=[HOOK])
            assert len(sent) == 1
            assert not is_write(sent[0])
            await here.enqueue("k")

    async def test_an_idle_worker_sends_nothing_to_the_database(self, make_process: MakeProcess) -> None:
        """Apart from a poll now and then, in PostgreSQL once a second."""
        here, there = await make_process(), await make_process()
        async with working(here, Recorder()):
            await there.enqueue("k")
            assert await there.wait("k")
            await asyncio.sleep(NEVER_S)
            began = time.monotonic()
            with statements(here) as sent:
                await asyncio.sleep(NEVER_S)
            took_s = time.monotonic() - began
        assert len(sent) <= 1 + took_s
        assert not any(map(is_write, sent))

    async def test_a_removal_of_a_later_version_is_left_alone(self, make_process: MakeProcess) -> None:
        """A newer Pellucid uses the same database during an upgrade: this version does not know what its rows mean."""
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("theirs")
        await here.change("theirs", version=2, urgency="undreamt-of")
        (theirs,) = await here.rows(sa.select(removals))
        await here.enqueue("ours")
        done = Recorder()
        async with working(here, done):
            assert await here.wait("ours")
            assert not await here.database.run(
                partial(here.queue.transitions.claim, worker_id="w2", recipes=["r1", "undreamt-of"])
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
        assert await here.rows(sa.select(removals)) == [], "after a downgrade no other process would end it"
        assert await here.account() == (200, 0)

    async def test_a_job_that_a_later_version_runs_is_left_alone(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.enqueue("theirs")
        await here.change("theirs", version=2, state="running", owner="w9", due_at=0.0)
        session = make_process.registry.register(make_info("w9"))
        kill(session)
        await here.queue.sweep(leases=True)
        assert await here.column(removals.c.state) == ["running"]
