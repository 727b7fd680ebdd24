"""What every queue adapter must do: a test module derives a class from `QueueContract` and gives `make_queue`."""

from __future__ import annotations

import asyncio
import time

import pytest
from queue_failure_contract import FailureContract
from queue_helpers import NEVER_S, SOON_S, Gate, MakeQueue, Recorder, make_info, make_job, refuse, until, working
from queue_outbox_contract import OutboxContract

from pellucid.queue.port import Full, Job, Owed, Priority


class QueueContract(FailureContract, OutboxContract):
    """Derived classes give a fixture `make_queue` (see `MakeQueue`)."""

    async def test_a_job_is_done_once_and_forgotten(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()
        job = Job(key="k", origin_digest="o", page=3, recipe_id="r7")
        assert await queue.submit(job, priority=Priority.IMPATIENT) == Owed(position=1, eta_s=1.0)
        done = Recorder()
        async with working(queue, done):
            assert await queue.wait("k", timeout_s=SOON_S)
            await asyncio.sleep(NEVER_S)
        assert done.jobs == [Job(key="k", origin_digest="o", page=3, recipe_id="r7", attempt=1)]
        stats = await queue.stats()
        assert (stats.waiting, stats.running, stats.failed) == (0, 0, 0)

    async def test_a_key_is_owed_once_while_it_waits(self, make_queue: MakeQueue) -> None:
        queue, other = await make_queue(), await make_queue()
        for each in (queue, other, queue):
            assert isinstance(await each.submit(make_job("k"), priority=Priority.PATIENT), Owed)
        assert (await other.stats()).waiting == 1
        done = Recorder()
        async with working(queue, done):
            assert await other.wait("k", timeout_s=SOON_S)
            await asyncio.sleep(NEVER_S)
        assert done.keys == ["k"]

    async def test_a_key_is_owed_once_while_it_runs(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        gate, idle = Gate(), Recorder()
        async with working(queue, gate), working(queue, idle, "w2"):
            await gate.reached()
            receipt = await queue.submit(make_job("k"), priority=Priority.IMPATIENT)
            assert isinstance(receipt, Owed)
            assert receipt.position == 1
            await asyncio.sleep(NEVER_S)
            stats = await queue.stats()
            assert (stats.waiting, stats.running) == (0, 1)
            gate.opened.set()
            assert await queue.wait("k", timeout_s=SOON_S)
        assert idle.keys == []

    async def test_owed_keys_are_told_as_soon_as_they_change(self, make_queue: MakeQueue) -> None:
        queue, other = await make_queue(), await make_queue()
        assert await queue.owed_keys() == frozenset()
        waiting = asyncio.create_task(queue.owed_keys(other_than=frozenset()))
        await asyncio.sleep(NEVER_S)
        assert not waiting.done()
        await other.submit(make_job("k"), priority=Priority.PATIENT)
        async with asyncio.timeout(SOON_S):
            assert await waiting == {"k"}
            assert await queue.owed_keys(other_than=frozenset()) == {"k"}
            async with working(other, Recorder()):
                assert await queue.owed_keys(other_than=frozenset({"k"})) == frozenset()

    async def test_the_backlog_says_of_all_what_a_look_says_of_one(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()
        assert await queue.backlog() == {}
        await queue.submit(make_job("running"), priority=Priority.IMPATIENT)
        await queue.submit(make_job("refused"), priority=Priority.IMPATIENT)
        async with working(queue, refuse, "w0"):
            assert await queue.wait("refused", timeout_s=SOON_S)
            assert await queue.wait("running", timeout_s=SOON_S)
        await queue.submit(make_job("runs"), priority=Priority.IMPATIENT)
        gate = Gate()
        async with working(queue, gate):
            await gate.reached()
            for number in range(5):
                await queue.submit(make_job(f"p{number}"), priority=Priority.PATIENT)
                await queue.submit(make_job(f"i{number}"), priority=Priority.IMPATIENT)
            backlog = await queue.backlog()
            assert len(backlog) == 11
            for key, owed in backlog.items():
                assert await queue.look(key) == owed
            gate.opened.set()

    async def test_waits_end_when_the_process_stops(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        waiting = [asyncio.create_task(queue.wait("k", timeout_s=60)) for _ in range(3)]
        await asyncio.sleep(NEVER_S)
        queue.stop_waiting()
        async with asyncio.timeout(SOON_S):
            assert await asyncio.gather(*waiting) == [False] * 3
            assert await queue.wait("k", timeout_s=60) is False
            assert await queue.wait("unknown", timeout_s=60) is True

    async def test_a_done_key_can_be_owed_again(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()
        done = Recorder()
        async with working(queue, done):
            for _ in range(2):
                await queue.submit(make_job("k"), priority=Priority.PATIENT)
                assert await queue.wait("k", timeout_s=SOON_S)
        assert done.attempts == [1, 1]

    async def test_the_impatient_run_first_and_equals_in_order(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()
        for key in ("p1", "p2"):
            await queue.submit(make_job(key), priority=Priority.PATIENT)
        for key in ("i1", "i2"):
            await queue.submit(make_job(key), priority=Priority.IMPATIENT)
        done = Recorder()
        async with working(queue, done):
            await until(lambda: len(done.jobs) == 4)
        assert done.keys == ["i1", "i2", "p1", "p2"]

    async def test_a_submit_may_raise_a_priority_and_never_lowers_one(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()
        for key in ("a", "b", "c"):
            await queue.submit(make_job(key), priority=Priority.PATIENT)
        raised = await queue.submit(make_job("c"), priority=Priority.IMPATIENT)
        assert isinstance(raised, Owed)
        assert raised.position == 1
        await queue.submit(make_job("c"), priority=Priority.PATIENT)
        done = Recorder()
        async with working(queue, done):
            await until(lambda: len(done.jobs) == 3)
        assert done.keys == ["c", "a", "b"]

    async def test_position_counts_who_comes_before(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()
        await queue.submit(make_job("running"), priority=Priority.IMPATIENT)
        gate = Gate()
        async with working(queue, gate):
            await gate.reached()
            receipts = [
                await queue.submit(make_job("first"), priority=Priority.IMPATIENT),
                await queue.submit(make_job("patient"), priority=Priority.PATIENT),
                await queue.submit(make_job("second"), priority=Priority.IMPATIENT),
                await queue.submit(make_job("patient"), priority=Priority.PATIENT),
                await queue.submit(make_job("running"), priority=Priority.PATIENT),
            ]
            owed = [receipt for receipt in receipts if isinstance(receipt, Owed)]
            assert [receipt.position for receipt in owed] == [1, 3, 3, 4, 1]
            assert owed[4].eta_s < owed[2].eta_s < owed[3].eta_s
            gate.opened.set()

    async def test_a_full_queue_takes_nothing_new(self, make_queue: MakeQueue) -> None:
        queue = await make_queue(depth_limit=3)
        await queue.submit(make_job("running"), priority=Priority.PATIENT)
        gate = Gate()
        async with working(queue, gate):
            await gate.reached()
            for key in ("a", "b"):
                assert isinstance(await queue.submit(make_job(key), priority=Priority.PATIENT), Owed)
            assert await queue.submit(make_job("c"), priority=Priority.IMPATIENT) == Full(depth=3)
            assert await queue.wait("c", timeout_s=0)
            assert isinstance(await queue.submit(make_job("a"), priority=Priority.IMPATIENT), Owed)
            assert (await queue.stats()).depth_limit == 3
            gate.opened.set()
            assert await queue.wait("running", timeout_s=SOON_S)
        assert isinstance(await queue.submit(make_job("c"), priority=Priority.PATIENT), Owed)

    async def test_wait(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()
        assert await queue.wait("unknown", timeout_s=0)
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        assert not await queue.wait("k", timeout_s=0)
        began = time.monotonic()
        assert not await queue.wait("k", timeout_s=0.2)
        assert 0.15 < time.monotonic() - began < SOON_S
        waiters = [asyncio.create_task(queue.wait("k", timeout_s=SOON_S)) for _ in range(50)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        async with working(queue, Recorder()):
            assert all(await asyncio.gather(*waiters[1:]))

    async def test_an_idle_worker_wakes_up_at_once(self, make_queue: MakeQueue) -> None:
        asking, queue = await make_queue(), await make_queue()
        took_s: list[float] = []
        done = Recorder()
        async with working(queue, done):
            for n in range(10):
                await asyncio.sleep(0.07)
                began = time.monotonic()
                await asking.submit(make_job(str(n)), priority=Priority.IMPATIENT)
                await until(lambda n=n: len(done.jobs) > n)
                took_s.append(time.monotonic() - began)
        median_s = sorted(took_s)[len(took_s) // 2]
        print(f"\nwake-up: median {median_s * 1000:.0f} ms, longest {max(took_s) * 1000:.0f} ms")
        assert median_s < 1

    async def test_stats_and_owed_origins(self, make_queue: MakeQueue) -> None:
        queue, other = await make_queue(), await make_queue()
        assert (await queue.stats()).job_s == 0
        assert (await queue.stats()).workers == ()
        assert await queue.owed_origins() == frozenset()
        await queue.submit(make_job("bad", origin="o0"), priority=Priority.IMPATIENT)
        async with working(queue, refuse):
            assert await queue.wait("bad", timeout_s=SOON_S)
        for key, origin in (("a", "o1"), ("b", "o2"), ("c", "o2")):
            await queue.submit(make_job(key, origin=origin), priority=Priority.PATIENT)
        gate = Gate()
        async with working(queue, gate, "w7"):
            await gate.reached()
            stats = await other.stats()
            assert (stats.waiting, stats.running, stats.failed) == (2, 1, 1)
            assert stats.workers == (make_info("w7"),)
            assert await other.owed_origins() == {"o1", "o2"}
            gate.opened.set()
            assert await other.wait("a", timeout_s=SOON_S)
        assert (await other.stats()).workers == ()
        assert 0 < (await other.stats()).job_s < SOON_S

    async def test_the_estimate_follows_the_measured_time(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()

        async def act(job: Job) -> None:
            await asyncio.sleep(0.1)

        async with working(queue, act):
            for key in ("a", "b", "c"):
                await queue.submit(make_job(key), priority=Priority.PATIENT)
                assert await queue.wait(key, timeout_s=SOON_S)
        job_s = (await queue.stats()).job_s
        assert 0.09 < job_s < SOON_S
        for position in (1, 2, 3):
            receipt = await queue.submit(make_job(f"d{position}"), priority=Priority.PATIENT)
            assert receipt == Owed(position=position, eta_s=pytest.approx(position * job_s))

    async def test_stopping_finishes_the_job_in_hand_and_begins_no_other(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()
        for key in ("a", "b"):
            await queue.submit(make_job(key), priority=Priority.PATIENT)
        gate, stop = Gate(), asyncio.Event()
        task = asyncio.create_task(queue.work(gate, info=make_info("w1"), stop=stop))
        assert (await gate.reached()).key == "a"
        stop.set()
        await asyncio.sleep(NEVER_S)
        assert not task.done()
        gate.opened.set()
        await asyncio.wait_for(task, SOON_S)
        assert await queue.wait("a", timeout_s=0)
        assert not await queue.wait("b", timeout_s=0)
        assert (await queue.stats()).workers == ()

    async def test_cancelling_gives_the_job_back_with_its_attempt(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        for _ in range(4):
            gate = Gate()
            task = asyncio.create_task(queue.work(gate, info=make_info("w1"), stop=asyncio.Event()))
            assert (await gate.reached()).attempt == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            stats = await queue.stats()
            assert (stats.waiting, stats.running, stats.workers) == (1, 0, ())
        done = Recorder()
        async with working(queue, done):
            assert await queue.wait("k", timeout_s=SOON_S)
        assert done.attempts == [1]

    async def test_two_workers_share_the_work(self, make_queue: MakeQueue) -> None:
        queue, other = await make_queue(), await make_queue()
        keys = [f"k{n}" for n in range(60)]
        for key in keys:
            await queue.submit(make_job(key), priority=Priority.PATIENT)

        async def act(job: Job) -> None:
            await asyncio.sleep(0.005)

        first, second = Recorder(act), Recorder(act)
        async with working(queue, first, "w1"), working(other, second, "w2"):
            await until(lambda: len(first.jobs) + len(second.jobs) == 60)
        assert sorted(first.keys + second.keys) == sorted(keys)
        assert first.keys
        assert second.keys
