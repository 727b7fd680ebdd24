"""Credits in the queue: a hold and its job are written together and end together."""

from __future__ import annotations

import asyncio
from typing import Any

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
    break_down,
    find_nothing,
    forget,
    make_info,
    make_submission,
    refuse,
    statements,
    until,
    working,
)
from queue_outbox_contract import HOOK

from pellucid.database.tables import charges, holds, listeners, mattes, removals
from pellucid.ledger.values import ClaimStatus
from pellucid.queue import outbox, transitions
from pellucid.queue import submission as submission_module
from pellucid.queue.turns import RetryPolicy
from pellucid.queue.values import Failed, Handler, Pending


class HoldsContract:
    """A pending job holds its price, a delivered cutout is charged. Part of `QueueContract`."""

    async def test_a_job_is_held_once_however_often_it_is_submitted(self, make_process: MakeProcess) -> None:
        here, there = await make_process(), await make_process()
        for each in (here, there, here):
            answer = await each.submit("k")
            assert answer.claim_status is ClaimStatus.HELD
        assert answer.account.held == 200
        assert await here.account() == (0, 200)
        assert await here.rows(sa.select(holds.c.token, holds.c.store, holds.c.job)) == [("shop", "here", "k")]

    async def test_a_cutout_is_charged_once_to_each_token(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.enqueue("k")
        await here.enqueue("k", token=BLOG)
        for _ in range(2):
            async with working(here, Recorder()):
                assert await here.wait("k")
            for token in (SHOP, BLOG):
                assert await here.account(token) == (200, 0)
            assert (await here.submit("k")).claim_status is ClaimStatus.PAID
            assert (await here.submit("k", token=BLOG)).claim_status is ClaimStatus.PAID
        (known,) = await here.queue.known_mattes(SHOP, ["origin-of-k"])
        assert known.charged == 200
        await here.wait("k", 0)

    @pytest.mark.parametrize(
        "handler", [find_nothing, refuse, break_down, forget], ids=["empty", "refused", "used-up", "discarded"]
    )
    async def test_a_job_without_a_cutout_costs_nothing(self, make_process: MakeProcess, handler: Handler) -> None:
        here = await make_process(retry_policy=RetryPolicy(attempts=2, backoff_s=0.01))
        for token in (SHOP, BLOG):
            await here.enqueue("k", token=token, notify=[HOOK])
        async with working(here, handler):
            assert await here.wait("k")
        for token in (SHOP, BLOG):
            assert await here.account(token) == (0, 0)
        assert await here.column(holds.c.job) == []
        assert await here.column(listeners.c.key) == []

    async def test_a_job_that_killed_its_last_worker_costs_nothing(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock, lease_s=30, retry_policy=RetryPolicy(attempts=1))
        await here.enqueue("k")
        gate = Gate()
        async with working(here, gate):
            await gate.reached()
            clock.now += 31
            await here.queue.sweep(leases=True)
            assert await here.account() == (0, 0)
            assert isinstance((await here.submit("k")).receipt, Failed)
            gate.opened.set()
        assert await here.account() == (0, 0), "done too late: charged when it is delivered"

    async def test_a_hold_stays_while_its_job_is_retried_or_postponed(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("k")
        async with working(here, break_down):
            await until(lambda: has_attempts(here, 1))
            await until(here.is_idle)
        assert await here.account() == (0, 200)
        task = asyncio.create_task(here.worker_loop.run(Gate(), info=make_info("w1"), stop=asyncio.Event()))
        clock.now += 2
        await until(lambda: has_attempts(here, 2))
        task.cancel()
        await asyncio.wait({task})
        assert await here.account() == (0, 200)

    async def test_a_failed_job_that_is_retried_is_held_again(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("k")
        async with working(here, refuse):
            assert await here.wait("k")
        answer = await here.submit("k")
        assert (type(answer.receipt), answer.claim_status) == (Failed, None)
        assert await here.account() == (0, 0)
        clock.now += 301
        assert (await here.submit("k")).claim_status is ClaimStatus.HELD
        assert await here.account() == (0, 200)

    async def test_a_token_that_may_not_pay_submits_nothing(self, make_process: MakeProcess) -> None:
        here = await make_process(limit=300)
        await here.enqueue("k")
        answer = await here.submit("other")
        assert (answer.receipt, answer.claim_status) == (None, ClaimStatus.REFUSED)
        answer = await here.submit("other", token=BLOG, may_spend=False)
        assert (answer.receipt, answer.claim_status) == (None, ClaimStatus.REFUSED)
        assert await here.counts() == (1, 0, 0)
        assert (await here.submit("k")).claim_status is ClaimStatus.HELD, "a held job stays held"
        await here.enqueue("other", token=BLOG)
        answer = await here.submit("other", notify=[HOOK])
        assert (type(answer.receipt), answer.claim_status) == (Pending, ClaimStatus.REFUSED), (
            "pending for another token"
        )
        assert await here.column(listeners.c.url) == []
        assert await here.account() == (0, 200)

    async def test_simultaneous_submissions_do_not_exceed_the_limit(self, make_process: MakeProcess) -> None:
        here, there = await make_process(limit=1000), await make_process(limit=1000)
        answers = await asyncio.gather(*(each.submit(f"k{n}-{id(each)}") for n in range(10) for each in (here, there)))
        assert sum(answer.claim_status is ClaimStatus.HELD for answer in answers) == 5
        assert await here.account() == (0, 1000)
        assert await here.counts() == (5, 0, 0)

    async def test_a_paid_cutout_is_computed_again_for_free(self, make_process: MakeProcess) -> None:
        """By a newer recipe, or because its file was lost."""
        here = await make_process(limit=200)
        for key, recipe in (("k", "r1"), ("k", "r1"), ("newer", "r2")):
            await here.enqueue(key, origin="o", recipe=recipe)
            async with working(here, Recorder(), recipes=("r1", "r2")):
                assert await here.wait(key)
            assert await here.account() == (200, 0)

    async def test_an_existing_matte_is_charged_when_it_is_delivered(self, make_process: MakeProcess) -> None:
        here = await make_process(limit=300)
        await here.enqueue("k", token=BLOG)
        async with working(here, Recorder()):
            assert await here.wait("k")
        claims = [make_submission(key, origin=f"origin-of-{key}").claim for key in ("k", "other")]
        assert await here.queue.charge(claims[0], may_spend=False) == (ClaimStatus.REFUSED, 0)
        for _ in range(2):
            assert await here.queue.charge(claims[0], may_spend=True) == (ClaimStatus.PAID, 200)
        with statements(here) as sent:
            assert await here.queue.charge(claims[1], may_spend=True) == (ClaimStatus.REFUSED, 0)
            assert await here.queue.charge(claims[0], may_spend=False) == (ClaimStatus.PAID, 200)
        assert len(sent) == 2, "one each, and no write"
        assert await here.account() == (200, 0)

    async def test_records_of_lost_mattes_are_deleted_and_stay_paid(self, make_process: MakeProcess) -> None:
        here, elsewhere = await make_process(), await make_process(store="elsewhere")
        for key in ("a", "b"):
            await here.enqueue(key, origin="o")
            async with working(here, Recorder()):
                assert await here.wait(key)
        assert await here.column(mattes.c.name) == ["a", "b"]
        await elsewhere.queue.forget_mattes(["a", "b"])
        await here.queue.forget_mattes(["a", "unknown"])
        assert await here.column(mattes.c.name) == ["b"]
        assert [each.facts.name for each in await here.queue.known_mattes(SHOP, ["o"])] == ["b"]
        assert (await here.submit("a", origin="o")).claim_status is ClaimStatus.PAID

    async def test_a_hold_belongs_to_the_job_that_was_submitted_last(self, make_process: MakeProcess) -> None:
        """The settings changed while the first waited: it ends without a charge, and the second is paid."""
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("old", origin="o", recipe="old")
        await here.enqueue("new", origin="o")
        assert await here.account() == (0, 200)
        await here.queue.expire()
        clock.now += 601
        session = make_process.registry.register(make_info("w0"))
        await here.workers_are("w0")
        await here.enqueue("new", origin="o")
        await here.queue.expire()
        assert await here.column(removals.c.key) == ["new"]
        assert await here.account() == (0, 200)
        async with working(here, Recorder()):
            assert await here.wait("new")
        assert await here.account() == (200, 0)
        session.unregister()

    @pytest.mark.parametrize("part", ["insert", "hold", "add_listeners"])
    async def test_a_submission_that_fails_halfway_writes_nothing(
        self, make_process: MakeProcess, monkeypatch: pytest.MonkeyPatch, part: str
    ) -> None:
        here = await make_process()
        whole = {"insert": submission_module.rows, "hold": submission_module.entries, "add_listeners": outbox}[part]
        done = getattr(whole, part)

        def stumble(*args: object, **kwargs: object) -> None:
            done(*args, **kwargs)
            raise KeyError(part)

        with monkeypatch.context() as patch:
            patch.setattr(whole, part, stumble)
            with pytest.raises(KeyError):
                await here.submit("k", notify=[HOOK])
        assert await here.counts() == (0, 0, 0)
        assert await here.account() == (0, 0)
        assert await here.column(listeners.c.url) == []
        await here.enqueue("k", notify=[HOOK])

    @pytest.mark.parametrize("handler", [Recorder(), refuse, forget], ids=["done", "refused", "discarded"])
    async def test_a_job_end_that_fails_halfway_changes_nothing(
        self, make_process: MakeProcess, monkeypatch: pytest.MonkeyPatch, handler: Handler
    ) -> None:
        """The worker ends with an error, and the next one ends the job: charge, message and deletion together."""
        here = await make_process()
        await here.enqueue("k", notify=[HOOK])
        with monkeypatch.context() as patch:
            for part in ("enqueue_webhooks", "remove_listeners"):
                patch.setattr(transitions.outbox, part, stumbles)
            with pytest.raises(KeyError):
                await here.worker_loop.run(handler, info=make_info("w1"), stop=asyncio.Event())
        assert await here.counts() == (1, 0, 0)
        assert await here.account() == (0, 200)
        assert await here.queue.known_mattes(SHOP, ["origin-of-k"]) == []
        assert await here.column(listeners.c.url) == [HOOK.url]
        async with working(here, handler):
            assert await here.wait("k")
        assert await here.column(holds.c.job) == []
        assert await here.column(listeners.c.url) == []
        assert len(await here.column(charges.c.token)) == (1 if isinstance(handler, Recorder) else 0)

    async def test_jobs_of_a_machine_that_is_gone_expire_too(self, make_process: MakeProcess) -> None:
        """Its store is not used any more, so no process of that store would release the credits."""
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("k", notify=[HOOK])
        await here.enqueue("runs")
        await here.change("runs", state="running", owner="w9", due_at=clock.now + 30)
        for table in (removals, holds, listeners):
            await here.database.run(lambda db, table=table: db.execute(table.update().values(store="gone")))
        clock.now += 6 * 3600 + 60
        await here.queue.expire()
        assert await here.account() == (0, 400), "the machine may come back"
        clock.now += 3600
        await here.queue.expire()
        assert await here.account() == (0, 0)
        assert await here.rows(sa.select(removals)) == []
        assert await here.rows(sa.select(listeners)) == []

    async def test_an_outcome_that_cannot_be_saved_blocks_no_other_job(
        self, make_process: MakeProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The job would otherwise be claimed again and again, before all others."""
        complete = transitions.JobTransitions.complete

        def fails(self: transitions.JobTransitions, db: sa.Connection, **more: Any) -> None:
            if more["job"].key == "bad":
                raise ValueError("no such number")
            complete(self, db, **more)

        monkeypatch.setattr(transitions.JobTransitions, "complete", fails)
        here = await make_process(retry_policy=RetryPolicy(backoff_s=0))
        await here.enqueue("bad")
        await here.enqueue("good")
        async with working(here, Recorder()):
            assert await here.wait("good")
            assert await here.wait("bad")
        assert isinstance((await here.status("bad")).receipt, Failed)
        assert await here.account() == (200, 0)


async def has_attempts(process: Process, attempts: int) -> bool:
    return await process.column(removals.c.attempts) == [attempts]


def stumbles(*_: object, **__: object) -> None:
    raise KeyError
