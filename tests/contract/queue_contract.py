"""What the queue must do on both databases: `tests/queue/test_queue_contract.py` derives a class from `QueueContract`
and provides `make_process`.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest
from queue_failure_contract import FailureContract
from queue_helpers import (
    BLOG,
    NEVER_S,
    SHOP,
    SOON_S,
    Gate,
    MakeProcess,
    Recorder,
    facts_of,
    find_nothing,
    make_info,
    refuse,
    until,
    working,
)
from queue_holds_contract import HoldsContract
from queue_outbox_contract import HOOK, OutboxContract
from queue_statements_contract import StatementsContract
from queue_turns_contract import TurnsContract, TurnsEndContract
from queue_workers_contract import WorkersContract

from pellucid.database.tables import listeners
from pellucid.queue.turns import RetryPolicy, Urgency
from pellucid.queue.values import Full, Job, Pending


class QueueContract(
    FailureContract, HoldsContract, OutboxContract, StatementsContract, TurnsContract, TurnsEndContract, WorkersContract
):
    """Derived classes provide a fixture `make_process` (see `MakeProcess`)."""

    async def test_a_job_is_done_once_and_deleted(self, make_process: MakeProcess) -> None:
        here = await make_process()
        assert await here.enqueue("k", origin="o", recipe="r7") == Pending(position=1, eta_s=1.0)
        done = Recorder()
        async with working(here, done, recipes=("r6", "r7")):
            assert await here.wait("k")
            await asyncio.sleep(NEVER_S)
        assert done.jobs == [Job(key="k", origin_digest="o", page=0, recipe_id="r7", attempt=1)]
        assert await here.counts() == (0, 0, 0)
        (known,) = await (await make_process()).queue.known_mattes(SHOP, ["o", "unknown"])
        assert known.facts == facts_of(done.jobs[0])
        assert known.newest

    async def test_a_key_is_queued_once_while_it_waits(self, make_process: MakeProcess) -> None:
        here, there = await make_process(), await make_process()
        for each in (here, there, here):
            await each.enqueue("k")
        assert await there.counts() == (1, 0, 0)
        done = Recorder()
        async with working(here, done):
            assert await there.wait("k")
            await asyncio.sleep(NEVER_S)
        assert done.keys == ["k"]

    async def test_a_key_is_queued_once_by_many_simultaneous_submissions(self, make_process: MakeProcess) -> None:
        here, there = await make_process(), await make_process()
        submissions = [(f"k{n % 3}", token) for n in range(12) for token in (SHOP, BLOG)]
        answers = await asyncio.gather(
            *(each.submit(key, token=of) for key, of in submissions for each in (here, there))
        )
        assert {type(answer.receipt) for answer in answers} == {Pending}
        assert await here.counts() == (3, 0, 0)
        assert await here.account(SHOP) == await here.account(BLOG) == (0, 600)

    async def test_simultaneous_claims_get_different_jobs(self, make_process: MakeProcess) -> None:
        here, there = await make_process(), await make_process()
        await asyncio.gather(*(here.enqueue(f"k{n}") for n in range(12)))
        claim = partial(here.queue.transitions.claim, recipes=["r1"])
        works = [(each, partial(claim, worker_id=f"w{n}-{id(each)}")) for n in range(8) for each in (here, there)]
        jobs = await asyncio.gather(*(each.database.run(work) for each, work in works))
        assert sorted(job.key for job in jobs if job) == sorted(f"k{n}" for n in range(12))

    async def test_a_key_is_queued_once_while_it_runs(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.enqueue("k", urgency=Urgency.UPGRADE)
        gate, idle = Gate(), Recorder()
        async with working(here, gate):
            await gate.reached()
            async with working(here, idle, "w2"):
                for token in (SHOP, BLOG):
                    pending = await here.enqueue("k", token=token)
                    assert (pending.position, pending.attempts) == (1, 1)
                await asyncio.sleep(NEVER_S)
                assert await here.counts() == (0, 1, 0)
                gate.opened.set()
                assert await here.wait("k")
        assert idle.keys == []

    async def test_stores_on_one_database_do_not_mix(self, make_process: MakeProcess) -> None:
        """A key is pending in each, and computed by the worker of that store."""
        here = await make_process()
        elsewhere = await make_process(store="elsewhere", retry_policy=RetryPolicy(wait_s=-1))
        await here.enqueue("k", notify=[HOOK])
        assert await elsewhere.counts() == (0, 0, 0)
        assert await elsewhere.wait("k", 0)
        idle, done = Recorder(), Recorder()
        async with working(elsewhere, idle, "w2"):
            await asyncio.sleep(NEVER_S)
            assert idle.keys == []
            await elsewhere.enqueue("k")
            assert await elsewhere.wait("k")
        assert await here.counts() == (1, 0, 0)
        assert await here.queue.known_mattes(SHOP, ["origin-of-k"]) == []
        await elsewhere.enqueue("k")
        await elsewhere.queue.expire()
        assert await elsewhere.counts() == (0, 0, 0)
        assert await here.counts() == (1, 0, 0)
        assert await here.column(listeners.c.store) == ["here"]
        async with working(here, done):
            assert await here.wait("k")
        assert (idle.keys, done.keys) == (["k"], ["k"])

    async def test_changed_pending_keys_are_returned_at_once(self, make_process: MakeProcess) -> None:
        here, there = await make_process(), await make_process()
        assert await here.queue.pending_keys() == frozenset()
        waiting = asyncio.create_task(here.queue.pending_keys(other_than=frozenset()))
        await asyncio.sleep(NEVER_S)
        assert not waiting.done()
        await there.enqueue("k")
        async with asyncio.timeout(SOON_S):
            assert await waiting == {"k"}
            assert await here.queue.pending_keys(other_than=frozenset()) == {"k"}
            async with working(there, Recorder()):
                assert await here.queue.pending_keys(other_than=frozenset({"k"})) == frozenset()

    async def test_the_backlog_has_the_receipt_of_every_job(self, make_process: MakeProcess) -> None:
        here = await make_process()
        assert await here.queue.backlog() == {}
        await here.enqueue("done")
        await here.enqueue("refused")

        async def act(job: Job) -> None:
            if job.key == "refused":
                await refuse(job)

        async with working(here, Recorder(act), "w0"):
            assert await here.wait("refused")
            assert await here.wait("done")
        await here.enqueue("runs")
        gate = Gate()
        async with working(here, gate):
            await gate.reached()
            for number in range(5):
                await here.enqueue(f"p{number}", urgency=Urgency.UPGRADE)
                await here.enqueue(f"i{number}", token=BLOG)
                await here.enqueue(f"u{number}", recipe="unserved" if number % 2 else "unserved-2")
            await here.workers_are("w1")
            backlog = await here.queue.backlog()
            assert len(backlog) == 16
            for key, pending in backlog.items():
                recipe = "r1" if key[0] != "u" else "unserved" if int(key[1]) % 2 else "unserved-2"
                assert (await here.status(key, recipe=recipe)).receipt == pending, key
            gate.opened.set()

    async def test_waits_end_when_the_process_stops(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.enqueue("k")
        waiting = [asyncio.create_task(here.wait("k", 60)) for _ in range(3)]
        await asyncio.sleep(NEVER_S)
        here.queue.stop_waiting()
        async with asyncio.timeout(SOON_S):
            assert await asyncio.gather(*waiting) == [False] * 3
            assert await here.wait("k", 60) is False
            assert await here.wait("unknown", 60) is True

    async def test_a_done_key_can_be_submitted_again(self, make_process: MakeProcess) -> None:
        here = await make_process()
        done = Recorder()
        async with working(here, done):
            for _ in range(2):
                await here.enqueue("k")
                assert await here.wait("k")
        assert done.attempts == [1, 1]

    async def test_position_counts_the_jobs_before(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.enqueue("running")
        gate = Gate()
        async with working(here, gate):
            await gate.reached()
            pending = [
                await here.enqueue("first"),
                await here.enqueue("patient", urgency=Urgency.UPGRADE),
                await here.enqueue("second"),
                await here.enqueue("patient", urgency=Urgency.UPGRADE),
                await here.enqueue("running", urgency=Urgency.UPGRADE),
            ]
            assert [each.position for each in pending] == [1, 3, 3, 4, 1]
            assert pending[4].eta_s < pending[2].eta_s < pending[3].eta_s
            gate.opened.set()

    async def test_a_full_queue_accepts_no_new_job(self, make_process: MakeProcess) -> None:
        here = await make_process(depth=3)
        await here.enqueue("running")
        gate = Gate()
        async with working(here, gate):
            await gate.reached()
            for key in ("a", "b"):
                await here.enqueue(key)
            answer = await here.submit("c")
            assert (answer.receipt, answer.claim_status) == (Full(of_token=3, depth=3), None)
            assert await here.wait("c", 0)
            assert await here.account() == (0, 600), "nothing is held for a job that is not queued"
            await here.enqueue("a")
            assert (await here.queue.stats()).depth == 3
            gate.opened.set()
            assert await here.wait("running")
        await here.enqueue("c")

    async def test_simultaneous_submissions_do_not_exceed_the_depth(self, make_process: MakeProcess) -> None:
        here, there = await make_process(depth=5), await make_process(depth=5)
        answers = await asyncio.gather(*(each.submit(f"k{n}-{id(each)}") for n in range(10) for each in (here, there)))
        assert sum(isinstance(answer.receipt, Pending) for answer in answers) == 5
        assert sum(isinstance(answer.receipt, Full) for answer in answers) == 15

    async def test_wait(self, make_process: MakeProcess) -> None:
        here = await make_process()
        assert await here.wait("unknown", 0)
        await here.enqueue("k")
        assert not await here.wait("k", 0)
        began = time.monotonic()
        assert not await here.wait("k", 0.2)
        assert 0.15 < time.monotonic() - began < SOON_S
        waiters = [asyncio.create_task(here.wait("k")) for _ in range(50)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        async with working(here, Recorder()):
            assert all(await asyncio.gather(*waiters[1:]))

    @pytest.mark.serial
    async def test_an_idle_worker_wakes_up_at_once(self, make_process: MakeProcess) -> None:
        here, worker = await make_process(), await make_process()
        took_s: list[float] = []
        done = Recorder()
        async with working(worker, done):
            for n in range(10):
                await asyncio.sleep(0.07)
                began = time.monotonic()
                await here.enqueue(str(n))
                await until(lambda n=n: len(done.jobs) > n)
                took_s.append(time.monotonic() - began)
        median_s = sorted(took_s)[len(took_s) // 2]
        print(f"\nwake-up: median {median_s * 1000:.0f} ms, longest {max(took_s) * 1000:.0f} ms")
        assert median_s < 0.3

    @pytest.mark.serial
    async def test_a_waiter_wakes_up_at_once(self, make_process: MakeProcess) -> None:
        here, worker = await make_process(), await make_process()
        took_s: list[float] = []
        ended_at = 0.0

        async def act(job: Job) -> None:
            nonlocal ended_at
            await asyncio.sleep(0.05)
            ended_at = time.monotonic()

        async with working(worker, Recorder(act)):
            for n in range(10):
                await here.enqueue(str(n))
                assert await here.wait(str(n))
                took_s.append(time.monotonic() - ended_at)
        median_s = sorted(took_s)[len(took_s) // 2]
        print(f"\nheard: median {median_s * 1000:.0f} ms, longest {max(took_s) * 1000:.0f} ms")
        assert median_s < 0.3

    async def test_stats_and_pending_origins(self, make_process: MakeProcess) -> None:
        here, there = await make_process(), await make_process()
        assert (await here.queue.stats()).job_s == 0
        assert (await here.queue.stats()).workers == ()
        assert await here.queue.pending_origins() == frozenset()
        await here.enqueue("bad", origin="o0")
        async with working(here, refuse):
            assert await here.wait("bad")
        for key, origin in (("a", "o1"), ("b", "o2"), ("c", "o2")):
            await here.enqueue(key, origin=origin)
        for n in range(3):
            await here.enqueue(f"u{n}", origin="o3", recipe="unserved")
        gate = Gate()
        async with working(here, gate, "w7"):
            await gate.reached()
            await there.workers_are("w7")
            stats = await there.queue.stats()
            assert (stats.waiting, stats.running, stats.failed) == (5, 1, 1)
            assert stats.workers == (make_info("w7"),)
            assert stats.unserved == {"unserved": 3}
            assert await there.queue.pending_origins() == {"o1", "o2", "o3"}
            gate.opened.set()
            assert await there.wait("a")
        await there.workers_are()
        assert 0 < (await there.queue.stats()).job_s < SOON_S

    async def test_the_estimate_follows_the_measured_time(self, make_process: MakeProcess) -> None:
        here = await make_process()

        async def act(job: Job) -> None:
            await asyncio.sleep(0.1)

        async with working(here, Recorder(act)):
            for key in ("a", "b", "c"):
                await here.enqueue(key)
                assert await here.wait(key)
        job_s = (await here.queue.stats()).job_s
        assert 0.09 < job_s < SOON_S
        for position in (1, 2, 3):
            assert await here.enqueue(f"d{position}") == Pending(
                position=position, eta_s=pytest.approx(position * job_s)
            )

    async def test_stopping_finishes_the_current_job_and_starts_no_other(self, make_process: MakeProcess) -> None:
        here = await make_process()
        for key in ("a", "b"):
            await here.enqueue(key)
        gate, stop = Gate(), asyncio.Event()
        task = asyncio.create_task(here.worker_loop.run(gate, info=make_info("w1"), stop=stop))
        assert (await gate.reached()).key == "a"
        stop.set()
        await asyncio.sleep(NEVER_S)
        assert not task.done()
        gate.opened.set()
        await asyncio.wait_for(task, SOON_S)
        assert await here.wait("a", 0)
        assert not await here.wait("b", 0)
        await here.workers_are()

    async def test_cancellation_requeues_the_job_without_counting_its_attempt(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.enqueue("k")
        for _ in range(4):
            gate = Gate()
            task = asyncio.create_task(here.worker_loop.run(gate, info=make_info("w1"), stop=asyncio.Event()))
            assert (await gate.reached()).attempt == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await here.counts() == (1, 0, 0)
        await here.workers_are()
        done = Recorder()
        async with working(here, done):
            assert await here.wait("k")
        assert done.attempts == [1]

    async def test_two_workers_share_the_work(self, make_process: MakeProcess) -> None:
        here, there = await make_process(), await make_process()
        keys = [f"k{n}" for n in range(60)]
        await asyncio.gather(*(here.enqueue(key) for key in keys))

        async def act(job: Job) -> None:
            await asyncio.sleep(0.005)

        first, second = Recorder(act), Recorder(act)
        async with working(here, first, "w1"), working(there, second, "w2"):
            await until(lambda: len(first.jobs) + len(second.jobs) == 60)
        assert sorted(first.keys + second.keys) == sorted(keys)
        assert first.keys
        assert second.keys

    async def test_a_worker_computes_its_own_recipes(self, make_process: MakeProcess) -> None:
        """A job of another recipe does not block it, however early its turn."""
        here = await make_process()
        await here.enqueue("other", recipe="r2")
        await here.enqueue("own")
        done, other = Recorder(), Recorder()
        async with working(here, done, recipes=("r1", "r3")):
            assert await here.wait("own")
            await asyncio.sleep(NEVER_S)
            assert done.keys == ["own"]
            async with working(here, other, "w2", recipes=("r2",)):
                assert await here.wait("other")
        assert other.keys == ["other"]

    async def test_of_two_mattes_of_one_image_the_later_is_the_newest(self, make_process: MakeProcess) -> None:
        here = await make_process()
        for key in ("old", "new"):
            await here.enqueue(key, origin="o")
            async with working(here, Recorder()):
                assert await here.wait(key)
        found: dict[str, bool] = {each.facts.name: each.newest for each in await here.queue.known_mattes(SHOP, ["o"])}
        assert found == {"old": False, "new": True}

    async def test_a_matte_that_is_computed_twice_is_recorded_once(self, make_process: MakeProcess) -> None:
        here = await make_process()

        for handler in (find_nothing, Recorder()):
            await here.enqueue("k")
            async with working(here, handler):
                assert await here.wait("k")
        assert [each.facts.empty for each in await here.queue.known_mattes(SHOP, ["origin-of-k"])] == [False]
