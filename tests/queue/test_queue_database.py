"""The queue when its database or its folder of lock files fails. Real processes are in
`test_queue_processes.py`, the database by itself in `tests/database`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from queue_helpers import (
    NEVER_S,
    SHOP,
    SOON_S,
    Gate,
    MakeProcess,
    Recorder,
    facts_of,
    kill,
    make_info,
    make_submission,
    refuse,
    statements,
    until,
    working,
)
from queue_outbox_contract import HOOK

from pellucid.database.engines import file_url
from pellucid.database.tables import removals, stores
from pellucid.errors import DatabaseBusyError, DatabaseError
from pellucid.queue.turns import RetryPolicy
from pellucid.queue.values import Failed, Full, Job, Pending


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "pellucid.sqlite"


@pytest.fixture
async def make_on_file(path: Path, tmp_path: Path) -> AsyncGenerator[MakeProcess]:
    """Processes that share one SQLite file."""
    make = MakeProcess(file_url(path), tmp_path / "workers")
    yield make
    await make.aclose()


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Another process writes, and holds the lock for a while."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


# The database


async def test_pending_jobs_survive_a_restart(make_process: MakeProcess) -> None:
    here = await make_process()
    await here.enqueue("k")
    await here.queue.aclose()
    await here.database.aclose()
    here = await make_process()
    done = Recorder()
    async with working(here, done):
        assert await here.wait("k")
    assert done.keys == ["k"]
    assert await here.account() == (200, 0)


async def test_readiness_reports_a_full_database(make_process: MakeProcess) -> None:
    here = await make_process()
    await here.queue.check_writable()
    assert len(await here.column(stores.c.checked_at)) == 1
    await here.enqueue("k")
    async with working(here, Recorder()):
        assert await here.wait("k")
    paces = await here.column(stores.c.job_s)
    await here.queue.check_writable()
    assert await here.column(stores.c.job_s) == paces, "nothing else is changed"
    await here.database.run(stores.drop)
    with pytest.raises(DatabaseError):
        await here.queue.check_writable()


async def test_answers_without_a_write_do_not_wait_for_a_writer(make_on_file: MakeProcess, path: Path) -> None:
    """So many requests for one image, a token that is full and a remembered failure do not wait for the lock."""
    here = await make_on_file(depth=1)
    await here.enqueue("bad")
    async with working(here, refuse):
        assert await here.wait("bad")
    await here.enqueue("k", notify=[HOOK])
    with locked(path):
        async with asyncio.timeout(5):
            for notify in ([], [HOOK]):
                assert isinstance((await here.submit("k", notify=notify)).receipt, Pending)
            assert await here.outbox.claim_deliveries(10, 60) == (), "nothing is due"
            assert isinstance((await here.submit("bad")).receipt, Failed)
            assert isinstance((await here.submit("new")).receipt, Full)
            assert await here.counts() == (1, 0, 1)
            assert not await here.wait("k", 0.1)
            await here.queue.sweep()


async def test_a_file_kept_locked(make_on_file: MakeProcess, path: Path) -> None:
    here = await make_on_file(busy_timeout_s=0.5)
    with locked(path):
        submission = asyncio.create_task(here.submit("k"))
        turns = 0
        while not submission.done():
            await asyncio.sleep(0.01)
            turns += 1
        with pytest.raises(DatabaseBusyError) as caught:
            await submission
        assert str(path) in str(caught.value)
        assert turns > 3, "the event loop went on meanwhile"
    await here.enqueue("k")


async def test_a_file_kept_locked_ends_the_worker_and_its_job_waits(
    make_on_file: MakeProcess, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.queue.worker_loop._SAVE_RETRY_PAUSES_S", (0.1,))
    here = await make_on_file(busy_timeout_s=0.2)
    await here.enqueue("k")
    gate = Gate()
    task = asyncio.create_task(here.worker_loop.run(gate, info=make_info("w1"), stop=asyncio.Event()))
    await gate.reached()
    with locked(path):
        gate.opened.set()
        with pytest.raises(DatabaseBusyError):
            await asyncio.wait_for(task, SOON_S)
    assert make_on_file.registry.alive() == ()
    done = Recorder()
    async with working(here, done, "w1"):  # the same worker tries again: it did not die
        assert await here.wait("k")
    assert done.attempts == [1]


async def test_a_file_kept_locked_for_a_moment_costs_nothing(make_on_file: MakeProcess, path: Path) -> None:
    """The outcome of the job is saved as soon as the lock is free."""
    here = await make_on_file(busy_timeout_s=0.1)
    await here.enqueue("k")
    gate = Gate()
    async with working(here, gate):
        await gate.reached()
        with locked(path):
            gate.opened.set()
            await asyncio.sleep(0.5)
        assert await here.wait("k")
    assert await here.account() == (200, 0)


async def test_a_deleted_file_is_created_again(make_on_file: MakeProcess, path: Path) -> None:
    here, there = await make_on_file(), await make_on_file()
    done = Recorder()
    await here.enqueue("lost")
    os.unlink(path)  # noqa: PTH108
    assert await here.wait("lost"), "no longer pending: the next request submits it again"
    async with working(there, done):
        for n in range(20):
            await here.enqueue(f"k{n}")
            assert await here.wait(f"k{n}")
    assert len(done.jobs) == 20
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_file_deleted_under_a_worker(make_on_file: MakeProcess, path: Path) -> None:
    """The matte of its job is recorded, though the job is no longer pending."""
    here, there = await make_on_file(), await make_on_file()
    gate = Gate()
    await here.enqueue("in-hand")
    async with working(here, gate):
        await gate.reached()
        shutil.rmtree(path.parent)
        await there.enqueue("k")
        gate.opened.set()
        assert await there.wait("k")
        (known,) = await there.queue.known_mattes(SHOP, ["origin-of-in-hand"])
        assert known.charged is None


async def test_a_worker_whose_database_fails_raises_and_unregisters(make_process: MakeProcess) -> None:
    here = await make_process()
    task = asyncio.create_task(here.worker_loop.run(Recorder(), info=make_info("w1"), stop=asyncio.Event()))
    await here.workers_are("w1")
    await here.database.run(removals.drop)
    with pytest.raises(DatabaseError):
        await asyncio.wait_for(task, SOON_S)
    assert make_process.registry.alive() == ()


async def test_a_waiter_gets_the_error_when_the_database_fails(make_process: MakeProcess) -> None:
    here = await make_process()
    await here.enqueue("k")
    waiting = [
        asyncio.create_task(here.wait("k")),
        asyncio.create_task(here.queue.pending_keys(other_than=frozenset("k"))),
    ]
    await asyncio.sleep(0.1)
    await here.database.run(removals.drop)
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), SOON_S)
    assert all(isinstance(each, DatabaseError) for each in results)


# Notifications of changes


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    "ending",
    ["complete", "fail", "retry", "postpone", "discard", "release", "requeue_lost", "claim", "expire", "submit"],
)
async def test_postgres_notifies_its_clients_of_every_change(make_process: MakeProcess, ending: str) -> None:
    """SQLite counts changes by itself. Without a notification waiters and idle workers poll once a second only."""
    here = await make_process(retry_policy=RetryPolicy(wait_s=-1))
    await here.enqueue("k")
    transitions, job = (
        here.queue.transitions,
        Job(key="k", origin_digest="origin-of-k", page=0, recipe_id="r1", attempt=1),
    )
    claim = partial(transitions.claim, worker_id="w", recipes=["r1"])
    if ending not in ("claim", "expire", "submit"):
        assert await here.database.run(claim) == job
    works: dict[str, Callable[[], Awaitable[object]]] = {
        "complete": lambda: here.database.run(
            partial(transitions.complete, job=job, worker_id="w", facts=facts_of(job), job_s=1.0)
        ),
        "fail": lambda: here.database.run(partial(transitions.fail, job=job, worker_id="w", reason="r", error="e")),
        "retry": lambda: here.database.run(partial(transitions.retry, job=job, worker_id="w", error="e")),
        "postpone": lambda: here.database.run(partial(transitions.postpone, job=job, worker_id="w", reason="r")),
        "discard": lambda: here.database.run(partial(transitions.discard, job=job, worker_id="w")),
        "release": lambda: here.database.run(partial(transitions.release, worker_id="w")),
        "requeue_lost": lambda: here.database.run(partial(transitions.requeue_lost, dead=["w"])),
        "claim": lambda: here.database.run(claim),
        "expire": here.queue.expire,
        "submit": lambda: here.queue.submit(make_submission("other")),
    }
    with statements(here) as sent:
        await works[ending]()
    assert any(each.startswith("NOTIFY") for each in sent)


# The folder of lock files


async def test_a_folder_of_lock_files_that_is_deleted_under_a_worker(make_process: MakeProcess, tmp_path: Path) -> None:
    """Its lease protects it until the file exists again; no other worker gets its job."""
    here = await make_process(lease_s=1.5)
    gate, idle = Gate(), Recorder()
    await here.enqueue("k")
    async with working(here, gate):
        await gate.reached()
        shutil.rmtree(tmp_path / "workers")
        assert make_process.registry.alive() == ()
        async with working(here, idle, "w2"):
            await here.workers_are("w1", "w2")
            await asyncio.sleep(NEVER_S)
            gate.opened.set()
            assert await here.wait("k")
    assert idle.keys == []


async def test_an_idle_worker_restores_its_deleted_lock_file(make_process: MakeProcess, tmp_path: Path) -> None:
    here = await make_process()
    async with working(here, Recorder()):
        await here.workers_are("w1")
        shutil.rmtree(tmp_path / "workers")
        await until(lambda: make_process.registry.alive() == (make_info("w1"),))


async def test_lock_files_of_dead_workers_are_removed(make_process: MakeProcess, tmp_path: Path) -> None:
    here = await make_process()
    kill(make_process.registry.register(make_info("dead")))
    assert (await here.queue.stats()).workers == ()
    async with working(here, Recorder()):
        await until(lambda: {file.name for file in (tmp_path / "workers").iterdir()} == {"w1.lock"})


async def test_a_folder_of_lock_files_that_cannot_be_used(make_process: MakeProcess, tmp_path: Path) -> None:
    """The error is one of the database: a worker tries again later, a request is answered."""
    here = await make_process()
    (tmp_path / "workers").write_text("in the way")
    with pytest.raises(DatabaseError, match="lock files cannot be used"):
        await here.worker_loop.run(Recorder(), info=make_info("w1"), stop=asyncio.Event())
    for attempt in (here.submit("k"), here.queue.sweep(), here.queue.stats()):
        with pytest.raises(DatabaseError, match="lock files cannot be used"):
            await attempt
    (tmp_path / "workers").unlink()
    async with working(here, Recorder()):
        await here.enqueue("k")
        assert await here.wait("k")


async def test_a_running_worker_whose_folder_cannot_be_used_raises(make_process: MakeProcess, tmp_path: Path) -> None:
    here = await make_process()
    task = asyncio.create_task(here.worker_loop.run(Recorder(), info=make_info("w1"), stop=asyncio.Event()))
    await here.workers_are("w1")
    shutil.rmtree(tmp_path / "workers")
    (tmp_path / "workers").write_text("in the way")
    with pytest.raises(DatabaseError, match="lock files cannot be used"):
        await asyncio.wait_for(task, SOON_S)


async def test_a_sweep_without_dead_workers_sends_nothing_to_the_database(make_process: MakeProcess) -> None:
    here = await make_process()
    session = make_process.registry.register(make_info("w1"))
    with statements(here) as sent:
        await here.queue.sweep()
    assert sent == []
    session.unregister()
