"""What every queue adapter must do when jobs or workers fail."""

from __future__ import annotations

import asyncio

import pytest
from queue_helpers import (
    NEVER_S,
    SOON_S,
    Gate,
    MakeQueue,
    MovableClock,
    Recorder,
    break_down,
    make_job,
    refuse,
    until,
    working,
)

from pellucid.queue.port import Failed, Full, Job, JobMootError, JobPostponedError, Owed, Priority


class FailureContract:
    """What fails: refusals, attempts, leases, and the memory of them. Part of `QueueContract`."""

    async def test_a_look_owes_nothing(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()
        assert await queue.look("k") is None
        assert (await queue.stats()).waiting == 0
        await queue.submit(make_job("k"), priority=Priority.IMPATIENT)
        assert await queue.look("k") == Owed(position=1, eta_s=pytest.approx(1), attempts=0)
        async with working(queue, Recorder(refuse)):
            assert await queue.wait("k", timeout_s=SOON_S)
        assert await queue.look("k") == Failed(reason="undecodable", retry_in_s=pytest.approx(300, abs=5), attempts=1)

    async def test_a_refused_job_is_remembered_then_tried_again(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock)
        refused = Recorder(refuse)
        async with working(queue, refused):
            for left_alone_s in (300, 600, 1200):
                assert isinstance(await queue.submit(make_job("k"), priority=Priority.PATIENT), Owed)
                assert await queue.wait("k", timeout_s=SOON_S)
                receipt = await queue.submit(make_job("k"), priority=Priority.IMPATIENT)
                assert receipt == Failed(reason="undecodable", retry_in_s=pytest.approx(left_alone_s), attempts=1)
                clock.now += left_alone_s - 1
                receipt = await queue.submit(make_job("k"), priority=Priority.IMPATIENT)
                assert receipt == Failed(reason="undecodable", retry_in_s=pytest.approx(1), attempts=1)
                assert (await queue.stats()).failed == 1
                clock.now += 2
        assert refused.attempts == [1, 1, 1]

    async def test_the_memory_of_failures_has_a_longest_time(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock)
        async with working(queue, refuse):
            for _ in range(11):
                await queue.submit(make_job("k"), priority=Priority.PATIENT)
                assert await queue.wait("k", timeout_s=SOON_S)
                receipt = await queue.submit(make_job("k"), priority=Priority.PATIENT)
                assert isinstance(receipt, Failed)
                clock.now += receipt.retry_in_s + 1
        assert receipt.retry_in_s == pytest.approx(86_400)

    async def test_a_success_wipes_the_memory(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock)
        answers = [refuse, None, refuse]

        async def act(job: Job) -> None:
            answer = answers.pop(0)
            if answer is not None:
                await answer(job)

        async with working(queue, act):
            for _ in range(3):
                await queue.submit(make_job("k"), priority=Priority.PATIENT)
                assert await queue.wait("k", timeout_s=SOON_S)
                clock.now += 301
        receipt = await queue.submit(make_job("k"), priority=Priority.PATIENT)
        assert isinstance(receipt, Owed), "300 s after its only failure in a row"

    async def test_a_full_queue_still_tells_of_a_failure(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock, depth_limit=1)
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        async with working(queue, refuse):
            assert await queue.wait("k", timeout_s=SOON_S)
        await queue.submit(make_job("other"), priority=Priority.PATIENT)
        assert isinstance(await queue.submit(make_job("k"), priority=Priority.PATIENT), Failed)
        clock.now += 301
        assert await queue.submit(make_job("k"), priority=Priority.PATIENT) == Full(depth=1)

    async def test_attempts_are_spaced_then_used_up(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock)
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        broken = Recorder(break_down)
        async with working(queue, broken):
            for attempt, pause_s in ((1, 1), (2, 4)):
                await until(lambda attempt=attempt: len(broken.jobs) == attempt)
                await asyncio.sleep(NEVER_S)
                clock.now += pause_s - 0.1
                assert not await queue.wait("k", timeout_s=NEVER_S)
                assert len(broken.jobs) == attempt, "too early"
                clock.now += 0.2
            assert await queue.wait("k", timeout_s=SOON_S)
        assert broken.attempts == [1, 2, 3]
        receipt = await queue.submit(make_job("k"), priority=Priority.PATIENT)
        assert receipt == Failed(reason="attempts-used-up", retry_in_s=pytest.approx(300), attempts=3)

    async def test_a_postponed_job_uses_no_attempt_up(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock, max_attempts=2)
        await queue.submit(make_job("k"), priority=Priority.PATIENT)

        async def postpone(job: Job) -> None:
            if len(postponed.jobs) < 5:
                raise JobPostponedError("the ledger is away", pause_s=7)

        postponed = Recorder(postpone)
        async with working(queue, postponed):
            for times in range(1, 5):
                await until(lambda times=times: len(postponed.jobs) == times)
                await asyncio.sleep(NEVER_S)
                clock.now += 6.9
                assert not await queue.wait("k", timeout_s=NEVER_S)
                assert len(postponed.jobs) == times, "too early"
                clock.now += 0.2
            assert await queue.wait("k", timeout_s=SOON_S)
        assert postponed.attempts == [1] * 5
        assert (await queue.stats()).failed == 0

    async def test_a_backed_off_job_holds_up_no_other(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock)
        await queue.submit(make_job("broken"), priority=Priority.IMPATIENT)
        await queue.submit(make_job("sound"), priority=Priority.PATIENT)

        async def act(job: Job) -> None:
            if job.key == "broken":
                raise OSError

        async with working(queue, act):
            assert await queue.wait("sound", timeout_s=SOON_S)
        assert not await queue.wait("broken", timeout_s=0)

    async def test_a_moot_job_is_forgotten(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()

        async def act(job: Job) -> None:
            raise JobMootError("its bytes are gone")

        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        async with working(queue, act):
            assert await queue.wait("k", timeout_s=SOON_S)
        assert (await queue.stats()).failed == 0
        assert isinstance(await queue.submit(make_job("k"), priority=Priority.PATIENT), Owed)

    async def test_a_worker_that_hangs_loses_its_job_and_cannot_settle_it_late(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock, lease_s=30)
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        hung, owner = Gate(), Gate()
        async with working(queue, hung, "w1"):
            assert (await hung.reached()).attempt == 1
            async with working(queue, owner, "w2"):
                clock.now += 31
                assert (await owner.reached()).attempt == 2
                hung.opened.set()  # done, but no longer its own
                assert not await queue.wait("k", timeout_s=NEVER_S)
                assert (await queue.stats()).running == 1
                owner.opened.set()
                assert await queue.wait("k", timeout_s=SOON_S)

    async def test_a_late_failure_is_harmless_too(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock, lease_s=30)
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        late, owner = Gate(), Gate()

        async def refuse_late(job: Job) -> None:
            await late(job)
            await refuse(job)

        async with working(queue, refuse_late, "w1"):
            await late.reached()
            async with working(queue, owner, "w2"):
                clock.now += 31
                await owner.reached()
                late.opened.set()
                assert not await queue.wait("k", timeout_s=NEVER_S)
                owner.opened.set()
                assert await queue.wait("k", timeout_s=SOON_S)
        assert (await queue.stats()).failed == 0

    async def test_attempts_are_counted_at_the_claim(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock, max_attempts=2, lease_s=30)
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        gates = [Gate(), Gate()]
        async with working(queue, gates[0], "w1"):
            assert (await gates[0].reached()).attempt == 1
            clock.now += 31
            async with working(queue, gates[1], "w2"):
                assert (await gates[1].reached()).attempt == 2
                clock.now += 31
                assert await queue.wait("k", timeout_s=SOON_S)
                receipt = await queue.submit(make_job("k"), priority=Priority.PATIENT)
                assert receipt == Failed(reason="attempts-used-up", retry_in_s=pytest.approx(300), attempts=2)
                for gate in gates:
                    gate.opened.set()

    async def test_the_lease_is_extended_while_the_handler_runs(self, make_queue: MakeQueue) -> None:
        queue = await make_queue(lease_s=1.5)
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        slow, idle = Gate(), Recorder()
        async with working(queue, slow, "w1"), working(queue, idle, "w2"):
            await slow.reached()
            await asyncio.sleep(2.5)
            slow.opened.set()
            assert await queue.wait("k", timeout_s=SOON_S)
        assert idle.keys == []
