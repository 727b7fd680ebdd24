"""The queue and what its database and its folder of lock files may suffer. Real processes are in
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
    make_asking,
    make_info,
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
    make = MakeProcess(file_url(path), tmp_path / "crew")
    yield make
    await make.aclose()


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Another process writes, and takes its time."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


# The database


async def test_what_is_owed_survives_a_restart(make_process: MakeProcess) -> None:
    here = await make_process()
    await here.owe("k")
    await here.queue.aclose()
    await here.database.aclose()
    here = await make_process()
    done = Recorder()
    async with working(here, done):
        assert await here.wait("k")
    assert done.keys == ["k"]
    assert await here.account() == (200, 0)


async def test_readiness_tells_of_a_database_that_takes_no_more(make_process: MakeProcess) -> None:
    here = await make_process()
    await here.queue.check_writable()
    assert len(await here.column(stores.c.checked_at)) == 1
    await here.owe("k")
    async with working(here, Recorder()):
        assert await here.wait("k")
    paces = await here.column(stores.c.job_s)
    await here.queue.check_writable()
    assert await here.column(stores.c.job_s) == paces, "nothing else is changed"
    await here.database.run(stores.drop)
    with pytest.raises(DatabaseError):
        await here.queue.check_writable()


async def test_what_changes_nothing_is_answered_while_another_writes(make_on_file: MakeProcess, path: Path) -> None:
    """So a crowd that asks for one picture, a token that is full and a failure that is remembered wait for nobody."""
    here = await make_on_file(depth=1)
    await here.owe("bad")
    async with working(here, refuse):
        assert await here.wait("bad")
    await here.owe("k", notify=[HOOK])
    with locked(path):
        async with asyncio.timeout(5):
            for notify in ([], [HOOK]):
                assert isinstance((await here.submit("k", notify=notify)).receipt, Pending)
            assert await here.outbox.deliveries_due(10, 60) == (), "nothing is due"
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
    await here.owe("k")


async def test_a_file_kept_locked_ends_the_worker_and_its_job_waits(
    make_on_file: MakeProcess, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.queue.work._WRITE_DOWN_S", (0.1,))
    here = await make_on_file(busy_timeout_s=0.2)
    await here.owe("k")
    gate = Gate()
    task = asyncio.create_task(here.workplace.work(gate, info=make_info("w1"), stop=asyncio.Event()))
    await gate.reached()
    with locked(path):
        gate.opened.set()
        with pytest.raises(DatabaseBusyError):
            await asyncio.wait_for(task, SOON_S)
    assert make_on_file.registry.alive() == ()
    done = Recorder()
    async with working(here, done, "w1"):  # the same worker tries again: it never died
        assert await here.wait("k")
    assert done.attempts == [1]


async def test_a_file_kept_locked_for_a_moment_costs_nothing(make_on_file: MakeProcess, path: Path) -> None:
    """The matte is made; that it is, is written down when that can be."""
    here = await make_on_file(busy_timeout_s=0.1)
    await here.owe("k")
    gate = Gate()
    async with working(here, gate):
        await gate.reached()
        with locked(path):
            gate.opened.set()
            await asyncio.sleep(0.5)
        assert await here.wait("k")
    assert await here.account() == (200, 0)


async def test_a_deleted_file_is_begun_anew(make_on_file: MakeProcess, path: Path) -> None:
    here, there = await make_on_file(), await make_on_file()
    done = Recorder()
    await here.owe("lost")
    os.unlink(path)  # noqa: PTH108
    assert await here.wait("lost"), "no longer owed: who needs it asks again"
    async with working(there, done):
        for n in range(20):
            await here.owe(f"k{n}")
            assert await here.wait(f"k{n}")
    assert len(done.jobs) == 20
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_file_deleted_under_a_worker(make_on_file: MakeProcess, path: Path) -> None:
    """What it has in hand is known when it is done, though nobody owes it any more."""
    here, there = await make_on_file(), await make_on_file()
    gate = Gate()
    await here.owe("in-hand")
    async with working(here, gate):
        await gate.reached()
        shutil.rmtree(path.parent)
        await there.owe("k")
        gate.opened.set()
        assert await there.wait("k")
        (known,) = await there.queue.known(SHOP, ["origin-of-in-hand"])
        assert known.charged is None


async def test_a_worker_whose_database_fails_says_so_and_leaves(make_process: MakeProcess) -> None:
    here = await make_process()
    task = asyncio.create_task(here.workplace.work(Recorder(), info=make_info("w1"), stop=asyncio.Event()))
    await here.workers_are("w1")
    await here.database.run(removals.drop)
    with pytest.raises(DatabaseError):
        await asyncio.wait_for(task, SOON_S)
    assert make_process.registry.alive() == ()


async def test_who_waits_hears_that_the_database_fails(make_process: MakeProcess) -> None:
    here = await make_process()
    await here.owe("k")
    waiting = [
        asyncio.create_task(here.wait("k")),
        asyncio.create_task(here.queue.pending_keys(other_than=frozenset("k"))),
    ]
    await asyncio.sleep(0.1)
    await here.database.run(removals.drop)
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), SOON_S)
    assert all(isinstance(each, DatabaseError) for each in results)


# Those who wait are told


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    "ending", ["done", "refuse", "retry", "put_off", "drop", "release", "put_back_lost", "claim", "expire", "owe"]
)
async def test_whoever_listens_to_postgres_is_told_of_every_change(make_process: MakeProcess, ending: str) -> None:
    """SQLite says so by itself. Without it waiters and idle workers look once a second only."""
    here = await make_process(retry_policy=RetryPolicy(wait_s=-1))
    await here.owe("k")
    course, job = here.queue.course, Job(key="k", origin_digest="origin-of-k", page=0, recipe_id="r1", attempt=1)
    claim = partial(course.claim, worker_id="w", recipes=["r1"])
    if ending not in ("claim", "expire", "owe"):
        assert await here.database.run(claim) == job
    works: dict[str, Callable[[], Awaitable[object]]] = {
        "done": lambda: here.database.run(partial(course.done, job=job, worker_id="w", facts=facts_of(job), job_s=1.0)),
        "refuse": lambda: here.database.run(partial(course.refuse, job=job, worker_id="w", reason="r", error="e")),
        "retry": lambda: here.database.run(partial(course.retry, job=job, worker_id="w", error="e")),
        "put_off": lambda: here.database.run(partial(course.put_off, job=job, worker_id="w", reason="r")),
        "drop": lambda: here.database.run(partial(course.drop, job=job, worker_id="w")),
        "release": lambda: here.database.run(partial(course.release, worker_id="w")),
        "put_back_lost": lambda: here.database.run(partial(course.put_back_lost, dead=["w"])),
        "claim": lambda: here.database.run(claim),
        "expire": here.queue.expire,
        "owe": lambda: here.queue.submit(make_asking("other")),
    }
    with statements(here) as said:
        await works[ending]()
    assert any(each.startswith("NOTIFY") for each in said)


# The folder of lock files


async def test_a_folder_of_lock_files_that_is_deleted_under_a_worker(make_process: MakeProcess, tmp_path: Path) -> None:
    """Its lease says that it lives, until the file is there again; nobody else gets what it has in hand."""
    here = await make_process(lease_s=1.5)
    gate, idle = Gate(), Recorder()
    await here.owe("k")
    async with working(here, gate):
        await gate.reached()
        shutil.rmtree(tmp_path / "crew")
        assert make_process.registry.alive() == ()
        async with working(here, idle, "w2"):
            await here.workers_are("w1", "w2")
            await asyncio.sleep(NEVER_S)
            gate.opened.set()
            assert await here.wait("k")
    assert idle.keys == []


async def test_an_idle_worker_whose_lock_file_is_deleted_makes_it_again(
    make_process: MakeProcess, tmp_path: Path
) -> None:
    here = await make_process()
    async with working(here, Recorder()):
        await here.workers_are("w1")
        shutil.rmtree(tmp_path / "crew")
        await until(lambda: make_process.registry.alive() == (make_info("w1"),))


async def test_what_the_dead_left_is_cleaned_up(make_process: MakeProcess, tmp_path: Path) -> None:
    here = await make_process()
    kill(make_process.registry.join(make_info("dead")))
    assert (await here.queue.stats()).workers == ()
    async with working(here, Recorder()):
        await until(lambda: {file.name for file in (tmp_path / "crew").iterdir()} == {"w1.lock"})


async def test_a_folder_of_lock_files_that_cannot_be_used(make_process: MakeProcess, tmp_path: Path) -> None:
    """It is told as the database's own troubles are: a worker tries again later, a request is answered."""
    here = await make_process()
    (tmp_path / "crew").write_text("in the way")
    with pytest.raises(DatabaseError, match="lock files cannot be used"):
        await here.workplace.work(Recorder(), info=make_info("w1"), stop=asyncio.Event())
    for attempt in (here.submit("k"), here.queue.sweep(), here.queue.stats()):
        with pytest.raises(DatabaseError, match="lock files cannot be used"):
            await attempt
    (tmp_path / "crew").unlink()
    async with working(here, Recorder()):
        await here.owe("k")
        assert await here.wait("k")


async def test_a_worker_at_work_whose_folder_cannot_be_used_says_so(make_process: MakeProcess, tmp_path: Path) -> None:
    here = await make_process()
    task = asyncio.create_task(here.workplace.work(Recorder(), info=make_info("w1"), stop=asyncio.Event()))
    await here.workers_are("w1")
    shutil.rmtree(tmp_path / "crew")
    (tmp_path / "crew").write_text("in the way")
    with pytest.raises(DatabaseError, match="lock files cannot be used"):
        await asyncio.wait_for(task, SOON_S)


async def test_a_sweep_that_finds_nobody_dead_says_nothing_to_the_database(make_process: MakeProcess) -> None:
    here = await make_process()
    seat = make_process.registry.join(make_info("w1"))
    with statements(here) as said:
        await here.queue.sweep()
    assert said == []
    seat.leave()
