"""The queue when workers hang, die, or come back."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
import sqlalchemy as sa
from queue_helpers import (
    NEVER_S,
    SOON_S,
    Gate,
    MakeProcess,
    MovableClock,
    Recorder,
    break_down,
    forget,
    kill,
    make_info,
    refuse,
    until,
    working,
)

from pellucid.database.tables import removals
from pellucid.errors import WorkerNameError
from pellucid.liveness.port import WorkerInfo
from pellucid.queue.turns import RetryPolicy
from pellucid.queue.values import Failed, Job, Pending
from pellucid.queue.worker_loop import WorkerLoop


class WorkersContract:
    """Leases, lock files and job owners. Part of `QueueContract`."""

    @pytest.mark.parametrize("late", [None, refuse, break_down, forget])
    async def test_a_worker_that_hangs_loses_its_job_and_cannot_end_it_late(
        self, make_process: MakeProcess, late: object
    ) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock, lease_s=30)
        await here.enqueue("k")
        hung, owner = Gate(), Gate()

        async def hang(job: Job) -> object:
            facts = await hung(job)
            return facts if late is None else await late(job)  # pyright: ignore[reportCallIssue]

        async with working(here, hang, "w1"):  # pyright: ignore[reportArgumentType]
            assert (await hung.reached()).attempt == 1
            async with working(here, owner, "w2"):
                clock.now += 31
                assert (await owner.reached()).attempt == 2
                hung.opened.set()  # done, but no longer its owner
                assert not await here.wait("k", NEVER_S)
                assert await here.counts() == (0, 1, 0)
                assert await here.column(removals.c.owner) == ["w2"]
                assert await here.account() == (0, 200)
                owner.opened.set()
                assert await here.wait("k")
        assert await here.counts() == (0, 0, 0)
        assert await here.account() == (200, 0)

    async def test_attempts_are_counted_at_the_claim(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock, retry_policy=RetryPolicy(attempts=2), lease_s=30)
        await here.enqueue("k")
        gates = [Gate(), Gate()]
        async with working(here, gates[0], "w1"):
            assert (await gates[0].reached()).attempt == 1
            clock.now += 31
            async with working(here, gates[1], "w2"):
                assert (await gates[1].reached()).attempt == 2
                clock.now += 31
                await here.queue.sweep(leases=True)  # as web processes do
                assert await here.wait("k")
                receipt = (await here.submit("k")).receipt
                assert receipt == Failed(reason="attempts-used-up", retry_in_s=pytest.approx(300), attempts=2)
                for gate in gates:
                    gate.opened.set()

    async def test_the_lease_is_extended_while_the_handler_runs(self, make_process: MakeProcess) -> None:
        here = await make_process(lease_s=1.5)
        await here.enqueue("k")
        slow, idle = Gate(), Recorder()
        async with working(here, slow, "w1"):
            await slow.reached()
            async with working(here, idle, "w2"):
                await asyncio.sleep(2.5)
                slow.opened.set()
                assert await here.wait("k")
        assert idle.keys == []

    async def test_the_lease_is_extended_though_the_folder_of_lock_files_is_full(
        self, make_process: MakeProcess
    ) -> None:
        here = await make_process(lease_s=1.5)
        await here.enqueue("k")
        slow, idle = Gate(), Recorder()

        class FullFolder:
            is_full = False

            def heartbeat(self) -> None:
                if self.is_full:
                    raise OSError("no space left on device")

            def unregister(self) -> None:
                pass

        class WorkerRegistry:
            session = FullFolder()
            alive, dead, remove_dead = (
                make_process.registry.alive,
                make_process.registry.dead,
                make_process.registry.remove_dead,
            )

            def register(self, info: WorkerInfo) -> FullFolder:
                return self.session

        worker_loop = WorkerLoop(here.database, here.queue, WorkerRegistry(), lease_s=1.5)
        stop = asyncio.Event()
        task = asyncio.create_task(worker_loop.run(slow, info=make_info("w1"), stop=stop))
        await slow.reached()
        async with working(here, idle, "w2"):
            WorkerRegistry.session.is_full = True
            await asyncio.sleep(2.5)
            WorkerRegistry.session.is_full = False
            slow.opened.set()
            assert await here.wait("k")
        stop.set()
        await asyncio.wait_for(task, SOON_S)
        assert idle.keys == []

    async def test_a_living_namesake_is_refused(self, make_process: MakeProcess) -> None:
        here, there = await make_process(), await make_process()
        await here.enqueue("k")
        gate = Gate()
        async with working(here, gate, "w1"):
            await gate.reached()
            with pytest.raises(WorkerNameError, match="'w1' is already at work"):
                await there.worker_loop.run(Recorder(), info=make_info("w1"), stop=asyncio.Event())
            assert (await here.queue.stats()).running == 1, "the namesake requeued nothing"
            gate.opened.set()
            assert await here.wait("k")

    async def test_a_worker_continues_the_job_of_a_dead_worker_of_its_name(self, make_process: MakeProcess) -> None:
        """The lock of that name is taken again before another process sees it free. The attempt counts: the image may
        have killed the worker.
        """
        here = await make_process()
        await here.enqueue("k")
        assert await here.database.run(partial(here.queue.transitions.claim, worker_id="w1", recipes=["r1"]))
        done = Recorder()
        async with working(here, done, "w1"):
            await until(lambda: done.attempts == [2])

    async def test_a_claim_whose_result_was_lost_does_not_run_for_ever(self, make_process: MakeProcess) -> None:
        """The claim was committed and its result lost: the worker claims again and gets the same job and attempt."""
        here = await make_process()
        await here.enqueue("unseen")
        await here.enqueue("next")
        claim = partial(here.queue.transitions.claim, recipes=["r1"])
        claimed = [await here.database.run(partial(claim, worker_id="w1")) for _ in range(3)]
        assert [job and (job.key, job.attempt) for job in claimed] == [("unseen", 1)] * 3
        other = await here.database.run(partial(claim, worker_id="w2"))
        assert other is not None
        assert other.key == "next"
        # A job of a recipe that it no longer computes is requeued.
        assert await here.database.run(partial(claim, worker_id="w1", recipes=["r2"])) is None
        assert await here.rows(sa.select(removals.c.key, removals.c.state).order_by(removals.c.key)) == [
            ("next", "running"),
            ("unseen", "waiting"),
        ]

    async def test_the_job_of_a_dead_worker_is_requeued_at_once(self, make_process: MakeProcess) -> None:
        """The lock file shows the death long before the lease ends; a sweep changes nothing for living workers."""
        here = await make_process()
        await here.enqueue("k")
        await here.enqueue("other")
        session = make_process.registry.register(make_info("dies"))
        living = make_process.registry.register(make_info("lives"))
        for worker_id in ("dies", "lives"):
            await here.database.run(partial(here.queue.transitions.claim, worker_id=worker_id, recipes=["r1"]))
        await here.queue.sweep(leases=True)
        assert await here.counts() == (0, 2, 0)
        kill(session)
        assert make_process.registry.dead() == ("dies",)
        await here.queue.sweep()
        assert await here.counts() == (1, 1, 0)
        assert await here.rows(sa.select(removals.c.key, removals.c.owner).order_by(removals.c.key)) == [
            ("k", None),
            ("other", "lives"),
        ]
        assert make_process.registry.dead() == ()
        receipt = (await here.status("k")).receipt
        assert isinstance(receipt, Pending)
        assert receipt.attempts == 1, "it counts: the image may have killed its worker"
        living.unregister()

    async def test_a_worker_requeues_the_job_of_a_dead_worker(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.enqueue("k")
        session = make_process.registry.register(make_info("dies"))
        await here.database.run(partial(here.queue.transitions.claim, worker_id="dies", recipes=["r1"]))
        done = Recorder()
        async with working(here, done):
            await asyncio.sleep(NEVER_S)
            assert done.keys == []
            kill(session)
            await until(lambda: done.attempts == [2])
        assert make_process.registry.dead() == ()
