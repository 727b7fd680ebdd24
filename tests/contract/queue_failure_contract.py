"""What the queue must do when jobs fail."""

from __future__ import annotations

import asyncio
import logging

import pytest
import sqlalchemy as sa
from queue_helpers import (
    NEVER_S,
    SHOP,
    MakeProcess,
    MovableClock,
    Recorder,
    break_down,
    forget,
    refuse,
    until,
    working,
)

from pellucid.database.tables import removals
from pellucid.errors import DatabaseError, StoreError
from pellucid.queue import rows
from pellucid.queue.turns import RetryPolicy
from pellucid.queue.values import Failed, Full, Job, Pending


class FailureContract:
    """Permanent failures, failed attempts, and how they are remembered. Part of `QueueContract`."""

    async def test_a_status_submits_nothing(self, make_process: MakeProcess) -> None:
        here = await make_process()
        answer = await here.status("k")
        assert (answer.receipt, answer.claim_status) == (None, None)
        assert await here.counts() == (0, 0, 0)
        await here.enqueue("k")
        assert (await here.status("k")).receipt == Pending(position=1, eta_s=pytest.approx(1), attempts=0)
        async with working(here, refuse):
            assert await here.wait("k")
        receipt = (await here.status("k")).receipt
        assert receipt == Failed(reason="undecodable", retry_in_s=pytest.approx(300, abs=5), attempts=1)

    async def test_a_permanent_failure_is_remembered_and_then_retried(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        refused = Recorder(refuse)
        async with working(here, refused):
            for left_alone_s in (300, 600, 1200):
                await here.enqueue("k")
                assert await here.wait("k")
                receipt = (await here.submit("k")).receipt
                assert receipt == Failed(reason="undecodable", retry_in_s=pytest.approx(left_alone_s), attempts=1)
                clock.now += left_alone_s - 1
                receipt = (await here.submit("k")).receipt
                assert receipt == Failed(reason="undecodable", retry_in_s=pytest.approx(1), attempts=1)
                assert (await here.queue.stats()).failed == 1
                clock.now += 2
        assert refused.attempts == [1, 1, 1]

    async def test_the_pause_after_a_failure_has_a_maximum(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        async with working(here, refuse):
            for _ in range(11):
                await here.enqueue("k")
                assert await here.wait("k")
                receipt = (await here.submit("k")).receipt
                assert isinstance(receipt, Failed)
                clock.now += receipt.retry_in_s + 1
        assert receipt.retry_in_s == pytest.approx(86_400)

    async def test_a_success_resets_the_count_of_failures(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        answers = [refuse, None, refuse]

        async def act(job: Job) -> None:
            answer = answers.pop(0)
            if answer is not None:
                await answer(job)

        async with working(here, Recorder(act)):
            for _ in range(3):
                await here.enqueue("k")
                assert await here.wait("k")
                clock.now += 301
        await here.enqueue("k")  # 300 s after its only failure in a row

    async def test_a_full_queue_still_reports_a_failure(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock, depth=1)
        await here.enqueue("k")
        async with working(here, refuse):
            assert await here.wait("k")
        await here.enqueue("other")
        assert isinstance((await here.submit("k")).receipt, Failed)
        clock.now += 301
        assert (await here.submit("k")).receipt == Full(of_token=1, depth=1)

    async def test_attempts_have_pauses_and_are_used_up(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("k")
        broken = Recorder(break_down)
        async with working(here, broken):
            for attempt, pause_s in ((1, 1), (2, 4)):
                await until(lambda attempt=attempt: len(broken.jobs) == attempt)
                await until(here.is_idle)
                clock.now += pause_s - 0.1
                assert not await here.wait("k", NEVER_S)
                assert len(broken.jobs) == attempt, "too early"
                clock.now += 0.2
            assert await here.wait("k")
        assert broken.attempts == [1, 2, 3]
        receipt = (await here.submit("k")).receipt
        assert receipt == Failed(reason="attempts-used-up", retry_in_s=pytest.approx(300), attempts=3)

    @pytest.mark.parametrize("error", [StoreError, DatabaseError])
    async def test_a_job_whose_store_is_unavailable_uses_up_no_attempt(
        self, make_process: MakeProcess, error: type[Exception]
    ) -> None:
        """Its pauses grow: 5 s, doubled up to a minute."""
        clock = MovableClock()
        here = await make_process(clock=clock, retry_policy=RetryPolicy(attempts=2))
        await here.enqueue("k")

        async def act(job: Job) -> None:
            if len(tried.jobs) <= 6:
                raise error("the disk is full")

        tried = Recorder(act)
        async with working(here, tried):
            for times, pause_s in enumerate((5, 10, 20, 40, 60, 60), 1):
                await until(lambda times=times: len(tried.jobs) == times)
                await until(here.is_idle)
                clock.now += pause_s - 0.2
                assert not await here.wait("k", NEVER_S)
                assert len(tried.jobs) == times, "too early"
                clock.now += 0.3
            assert await here.wait("k")
        assert tried.attempts == [1] * 7
        assert (await here.queue.stats()).failed == 0

    async def test_an_attempt_resets_the_count_of_pauses(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("k")
        raised: list[Exception] = [StoreError("away"), StoreError("away"), OSError("no luck"), StoreError("away")]

        async def act(job: Job) -> None:
            raise raised[len(tried.jobs) - 1]

        tried = Recorder(act)
        async with working(here, tried):
            for times, pause_s in enumerate((5, 10, 1), 1):
                await until(lambda times=times: len(tried.jobs) == times)
                await until(here.is_idle)
                clock.now += pause_s + 0.1
            await until(lambda: len(tried.jobs) == 4)
            await until(here.is_idle)
            assert await here.column(removals.c.due_at) == [pytest.approx(clock.now + 5, rel=0, abs=0.01)]
            assert await here.column(removals.c.reason) == ["store-away"]
        assert tried.attempts == [1, 1, 1, 2]

    async def test_a_job_that_is_postponed_too_often_fails(
        self, make_process: MakeProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that cannot be read: while pages request it, its credits would be held for ever."""
        monkeypatch.setattr("pellucid.queue.transitions.MAX_PAUSES", 3)
        monkeypatch.setattr("pellucid.queue.transitions.pause_s", lambda _: 0.0)
        here = await make_process(retry_policy=RetryPolicy(attempts=2, backoff_s=0))

        async def unreadable(job: Job) -> None:
            raise StoreError("Input/output error")

        await here.enqueue("k")
        tried = Recorder(unreadable)
        async with working(here, tried):
            assert await here.wait("k")
        assert len(tried.jobs) == 8, "three postponements per attempt"
        assert isinstance((await here.status("k")).receipt, Failed)
        assert await here.account() == (0, 0)

    async def test_a_job_in_its_back_off_blocks_no_other(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("broken")
        await here.enqueue("sound")

        async def act(job: Job) -> None:
            if job.key == "broken":
                raise OSError

        async with working(here, Recorder(act)):
            assert await here.wait("sound")
        assert not await here.wait("broken", 0)

    async def test_a_discarded_job_is_deleted(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.enqueue("k")
        async with working(here, forget):
            assert await here.wait("k")
        assert await here.counts() == (0, 0, 0)
        assert await here.queue.known_mattes(SHOP, ["origin-of-k"]) == []
        await here.enqueue("k")

    async def test_the_exception_of_a_handler_is_logged_and_stored(
        self, make_process: MakeProcess, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        here = await make_process(retry_policy=RetryPolicy(attempts=1))
        await here.enqueue("k")
        with caplog.at_level(logging.WARNING):
            async with working(here, break_down):
                assert await here.wait("k")
        found = await here.rows(sa.select(removals.c.reason, removals.c.error, removals.c.failures))
        assert found == [("attempts-used-up", "OSError", 1)]
        assert "no luck" in caplog.text + capsys.readouterr().out

    async def test_old_failures_are_deleted(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        async with working(here, refuse):
            await here.enqueue("old")
            assert await here.wait("old")
            clock.now += 8 * 86_400
            await here.enqueue("new")
            assert await here.wait("new")
        assert await here.column(removals.c.key) == ["new"]

    async def test_the_number_of_remembered_failures_is_bounded(
        self, make_process: MakeProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those that may be retried first are deleted; pending jobs stay."""
        monkeypatch.setattr(rows, "_MAX_FAILURES", 3)
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("pending", recipe="unserved")
        async with working(here, refuse):
            for n in range(6):
                await here.enqueue(f"k{n}")
                assert await here.wait(f"k{n}")
                clock.now += 1
        assert await here.column(removals.c.key) == ["k3", "k4", "k5", "pending"]

    async def test_a_closed_queue_raises(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.enqueue("k")
        waiter = asyncio.create_task(here.wait("k"))
        await asyncio.sleep(0.02)
        await here.queue.aclose()
        await here.queue.aclose()
        with pytest.raises(DatabaseError, match="closed"):
            await waiter
        with pytest.raises(DatabaseError, match="closed"):
            await here.queue.version()
