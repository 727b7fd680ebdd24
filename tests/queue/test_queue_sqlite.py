"""The embedded queue: the contract, and what its file may suffer. Real processes are in `test_queue_processes.py`."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from pathlib import Path

import pytest
from queue_contract import QueueContract
from queue_helpers import SOON_S, Gate, MovableClock, Recorder, break_down, make_info, make_job, refuse, until, working
from queue_outbox_contract import HOOK

from pellucid.errors import QueueError
from pellucid.queue import outbox
from pellucid.queue.database import SCHEMA_VERSION
from pellucid.queue.port import DeliveryKind, Listener, Owed, Priority
from pellucid.queue.sqlite import SqliteQueue


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue" / "jobs.sqlite"


class OpenQueue:
    """A `MakeQueue` for tests that need more than the port."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened: list[SqliteQueue] = []

    async def __call__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        depth_limit: int = 1000,
        max_attempts: int = 3,
        lease_s: float = 30,
        busy_timeout_s: float = 10,
    ) -> SqliteQueue:
        queue = await SqliteQueue.open(
            path=self.path,
            clock=clock,
            depth_limit=depth_limit,
            max_attempts=max_attempts,
            lease_s=lease_s,
            busy_timeout_s=busy_timeout_s,
        )
        self.opened.append(queue)
        return queue


@pytest.fixture
async def make_queue(path: Path) -> AsyncGenerator[OpenQueue]:
    make = OpenQueue(path)
    yield make
    for queue in make.opened:
        await queue.aclose()


class TestSqliteQueue(QueueContract):
    """The contract."""


def look(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def tables(path: Path) -> dict[object, object]:
    """Columns and indices of every table: what two files of one schema have in common."""
    names = [name for (name,) in look(path, "SELECT name FROM sqlite_master WHERE type IN ('table', 'index')")]
    return {
        name: (look(path, f"PRAGMA table_info({name})"), look(path, f"PRAGMA index_info({name})")) for name in names
    }


def assert_helpful(error: QueueError, path: Path, mend: str) -> None:
    assert str(path) in str(error)
    assert mend in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None, "no traceback of sqlite3"


# The file


async def test_what_is_owed_survives_a_restart(make_queue: OpenQueue) -> None:
    queue = await make_queue()
    await queue.submit(make_job("k"), priority=Priority.PATIENT)
    await queue.aclose()
    await queue.aclose()
    queue = await make_queue()
    done = Recorder()
    async with working(queue, done):
        assert await queue.wait("k", timeout_s=SOON_S)
    assert done.keys == ["k"]


@pytest.fixture
def letter(path: Path) -> bytes:
    """At the path, but no database."""
    path.parent.mkdir()
    path.write_bytes(b"Dear friend, " * 1000)
    return path.read_bytes()


async def test_a_file_that_is_no_database(path: Path, letter: bytes, make_queue: OpenQueue) -> None:
    with pytest.raises(QueueError) as caught:
        await make_queue()
    assert_helpful(caught.value, path, "move it away with its -wal and -shm")
    with path.open("rb") as file:
        assert file.read() == letter, "nothing is deleted unasked"


async def test_a_file_damaged_in_the_middle(path: Path, make_queue: OpenQueue) -> None:
    queue = await make_queue()
    for n in range(500):
        await queue.submit(make_job(f"k{n}"), priority=Priority.PATIENT)
    await queue.aclose()
    with path.open("r+b") as file:
        length_bytes = file.seek(0, os.SEEK_END)
        file.seek(4096)
        file.write(os.urandom(length_bytes - 4096))
    with pytest.raises(QueueError) as caught:
        queue = await make_queue()
        await queue.submit(make_job("new"), priority=Priority.PATIENT)
    assert_helpful(caught.value, path, "move it away with its -wal and -shm")


async def test_a_file_of_another_program(path: Path, make_queue: OpenQueue) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE jobs (boss TEXT)")
    with pytest.raises(QueueError) as caught:
        await make_queue()
    assert_helpful(caught.value, path, "move it away")


async def test_a_newer_schema_is_refused(path: Path, make_queue: OpenQueue) -> None:
    await (await make_queue()).aclose()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(QueueError) as caught:
        await make_queue()
    assert_helpful(caught.value, path, "run the newer Pellucid")


async def test_a_queue_of_schema_1_goes_on(path: Path, make_queue: OpenQueue) -> None:
    """Its jobs are kept; what workers said of themselves is said again."""
    await (await make_queue()).aclose()
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "DROP TABLE listeners; DROP TABLE deliveries;"
            "ALTER TABLE workers RENAME COLUMN recipes TO recipe_id; PRAGMA user_version = 1;"
            "INSERT INTO workers VALUES ('w', 1, 'u2net', 'CPU', 'bf16', 'u2net-bf16-v1', 0);"
            "INSERT INTO jobs (key, origin_digest, page, recipe_id, priority) VALUES ('k', 'o', 0, 'r', 10);"
        )
    queue = await make_queue()
    stats = await queue.stats()
    assert (stats.waiting, stats.workers) == (1, ())
    assert await queue.owed_origins() == {"o"}
    assert look(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]


async def test_a_queue_of_schema_2_goes_on_and_takes_listeners(path: Path, make_queue: OpenQueue) -> None:
    queue = await make_queue()
    made = tables(path)
    await queue.submit(make_job("k"), priority=Priority.PATIENT)
    await queue.aclose()
    with closing(sqlite3.connect(path)) as db:
        db.executescript("DROP TABLE listeners; DROP TABLE deliveries; PRAGMA user_version = 2;")
    queue, other = await make_queue(), await make_queue()
    assert tables(path) == made
    await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(HOOK,))
    async with working(other, Recorder()):
        assert await queue.wait("k", timeout_s=SOON_S)
    assert [delivery.url for delivery in await queue.deliveries_due(10, 60)] == [HOOK.url]


async def test_a_path_that_cannot_be_a_file(path: Path, make_queue: OpenQueue) -> None:
    os.makedirs(path)  # noqa: PTH103
    with pytest.raises(QueueError) as caught:
        await make_queue()
    assert_helpful(caught.value, path, "this user may write to")


async def test_a_folder_that_cannot_be_one(path: Path, make_queue: OpenQueue) -> None:
    path.parent.write_text("in the way")
    with pytest.raises(QueueError) as caught:
        await make_queue()
    assert_helpful(caught.value, path.parent, "this user may write to")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_file_that_may_not_be_written(path: Path, make_queue: OpenQueue) -> None:
    await (await make_queue()).aclose()
    os.chmod(path, 0o400)  # noqa: PTH101
    with pytest.raises(QueueError) as caught:
        await make_queue()
    assert_helpful(caught.value, path, "this user may write to")


async def test_readiness_tells_of_a_file_that_takes_no_more(path: Path, make_queue: OpenQueue) -> None:
    queue = await make_queue()
    await queue.check_writable()
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE pace")
    with pytest.raises(QueueError):
        await queue.check_writable()


# A file in use


async def test_an_owed_key_is_answered_without_writing(path: Path, make_queue: OpenQueue) -> None:
    """Also the queue being full, and a failure remembered: so a crowd asking for one picture costs reads only."""
    queue = await make_queue(busy_timeout_s=0.05, depth_limit=1)
    await queue.submit(make_job("bad"), priority=Priority.PATIENT)
    async with working(queue, refuse):
        assert await queue.wait("bad", timeout_s=SOON_S)
    await queue.submit(make_job("k"), priority=Priority.IMPATIENT, notify=(HOOK,))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        for priority in (Priority.IMPATIENT, Priority.PATIENT):
            for notify in ((), (HOOK,)):
                assert await queue.submit(make_job("k"), priority=priority, notify=notify) == Owed(position=1, eta_s=1)
        assert await queue.deliveries_due(10, 60) == (), "nothing is due"
        await queue.submit(make_job("bad"), priority=Priority.PATIENT)
        await queue.submit(make_job("new"), priority=Priority.PATIENT)
        await queue.stats()
        assert not await queue.wait("k", timeout_s=0.1)


async def test_a_file_kept_locked(path: Path, make_queue: OpenQueue) -> None:
    queue = await make_queue(busy_timeout_s=0.5)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        submitting = asyncio.create_task(queue.submit(make_job("k"), priority=Priority.PATIENT))
        turns = 0
        while not submitting.done():
            await asyncio.sleep(0.01)
            turns += 1
        with pytest.raises(QueueError) as caught:
            await submitting
        assert_helpful(caught.value, path, "kept it locked for more than 0.5 s")
        assert turns > 3, "the event loop went on meanwhile"
        db.execute("ROLLBACK")
    assert isinstance(await queue.submit(make_job("k"), priority=Priority.PATIENT), Owed)


async def test_a_deleted_file_is_begun_anew(path: Path, make_queue: OpenQueue) -> None:
    queue, other = await make_queue(), await make_queue()
    done = Recorder()
    await queue.submit(make_job("lost"), priority=Priority.PATIENT)
    os.unlink(path)  # noqa: PTH108
    assert await queue.wait("lost", timeout_s=SOON_S), "no longer owed: who needs it asks again"
    async with working(other, done):
        for n in range(20):
            await queue.submit(make_job(f"k{n}"), priority=Priority.PATIENT)
            assert await queue.wait(f"k{n}", timeout_s=SOON_S)
    assert len(done.jobs) == 20
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_folder_deleted_under_a_worker(path: Path, make_queue: OpenQueue) -> None:
    queue, other = await make_queue(lease_s=0.6), await make_queue()
    gate, done = Gate(), Recorder()
    await queue.submit(make_job("in-hand"), priority=Priority.PATIENT)
    async with working(queue, gate):
        await gate.reached()
        shutil.rmtree(path.parent)
        await other.submit(make_job("k"), priority=Priority.PATIENT)
        gate.opened.set()
        assert await other.wait("k", timeout_s=SOON_S)

        # The next heartbeat puts back the worker's row and lock.
        async def is_known() -> bool:
            return (await other.stats()).workers == (make_info("w1"),)

        await until(is_known)
    async with working(other, done):
        await other.submit(make_job("k"), priority=Priority.PATIENT)
        assert await other.wait("k", timeout_s=SOON_S)


# The outbox


async def test_deliveries_survive_a_restart(path: Path, make_queue: OpenQueue) -> None:
    queue = await make_queue()
    await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(HOOK,))
    await queue.aclose()
    queue = await make_queue()
    async with working(queue, Recorder()):
        assert await queue.wait("k", timeout_s=SOON_S)
    await queue.aclose()
    queue = await make_queue()
    assert [delivery.url for delivery in await queue.deliveries_due(10, 60)] == [HOOK.url]
    assert look(path, "SELECT count(*) FROM listeners") == [(0,)]


async def test_more_than_may_be_owed_is_dropped_and_logged(
    path: Path, make_queue: OpenQueue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "_MAX_DELIVERIES", 3)
    queue = await make_queue()
    await queue.add_deliveries(DeliveryKind.CDN, ("a", "b"))
    await queue.add_deliveries(DeliveryKind.CDN, ("c", "d", "e"))
    assert look(path, "SELECT body FROM deliveries ORDER BY turn") == [("a",), ("b",), ("c",)]
    assert "2 deliveries are dropped: 2 are owed already" in caplog.text


@pytest.mark.parametrize("url", ["https://[oops", "https://u@[/", "no url at all", "://", "x" * 10_000])
async def test_no_listener_can_stop_a_job_from_being_settled(make_queue: OpenQueue, url: str) -> None:
    queue = await make_queue()
    await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(Listener(url=url, image='/"\n\u00e9'),))
    async with working(queue, Recorder()):
        assert await queue.wait("k", timeout_s=SOON_S)
    assert [delivery.url for delivery in await queue.deliveries_due(10, 60)] == [url]


# Workers


async def test_a_living_namesake_is_refused(make_queue: OpenQueue) -> None:
    queue, other = await make_queue(), await make_queue()
    await queue.submit(make_job("k"), priority=Priority.PATIENT)
    gate = Gate()
    async with working(queue, gate, "w1"):
        await gate.reached()
        with pytest.raises(QueueError, match="'w1' is already at work"):
            await other.work(Recorder(), info=make_info("w1"), stop=asyncio.Event())
        assert (await queue.stats()).running == 1, "the namesake gave nothing back"
        gate.opened.set()
        assert await queue.wait("k", timeout_s=SOON_S)


async def test_what_the_dead_left_is_cleaned_up(path: Path, make_queue: OpenQueue) -> None:
    queue = await make_queue()
    (path.parent / "owners" / "dead.lock").touch()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO workers VALUES ('gone', 1, 'm', 'd', 'p', '', 0)")
    assert (await queue.stats()).workers == ()
    async with working(queue, Recorder()):
        await until(lambda: {file.name for file in (path.parent / "owners").iterdir()} == {"w1.lock"})
        await until(lambda: look(path, "SELECT worker_id FROM workers") == [("w1",)])


async def test_a_namesake_takes_back_what_its_former_life_had_in_hand(path: Path, make_queue: OpenQueue) -> None:
    """The lock of that name is held again before anybody has seen it free."""
    queue = await make_queue()
    await queue.submit(make_job("k"), priority=Priority.PATIENT)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE jobs SET state = 'running', owner = 'w1', attempts = 1, due_at = ?", (time.time() + 30,))
    done = Recorder()
    async with working(queue, done, "w1"):
        await until(lambda: done.attempts == [2])


async def test_what_a_handler_raised_is_logged_and_noted(
    path: Path, make_queue: OpenQueue, caplog: pytest.LogCaptureFixture
) -> None:
    queue = await make_queue(max_attempts=1)
    await queue.submit(make_job("k"), priority=Priority.PATIENT)
    with caplog.at_level(logging.WARNING):
        async with working(queue, break_down):
            assert await queue.wait("k", timeout_s=SOON_S)
    assert look(path, "SELECT reason, error FROM jobs") == [("attempts-used-up", "OSError")]
    assert "no luck" in caplog.text


async def test_old_failures_are_forgotten(path: Path, make_queue: OpenQueue) -> None:
    clock = MovableClock()
    queue = await make_queue(clock=clock)
    async with working(queue, refuse):
        await queue.submit(make_job("old"), priority=Priority.PATIENT)
        assert await queue.wait("old", timeout_s=SOON_S)
        clock.now += 8 * 86_400
        await queue.submit(make_job("new"), priority=Priority.PATIENT)
        assert await queue.wait("new", timeout_s=SOON_S)
    assert look(path, "SELECT key FROM jobs") == [("new",)]


async def test_a_worker_whose_file_fails_says_so_and_dies(path: Path, make_queue: OpenQueue) -> None:
    queue = await make_queue()
    task = asyncio.create_task(queue.work(Recorder(), info=make_info("w1"), stop=asyncio.Event()))
    await until(lambda: look(path, "SELECT worker_id FROM workers") == [("w1",)])
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE jobs")
    with pytest.raises(QueueError):
        await asyncio.wait_for(task, SOON_S)
    assert list((path.parent / "owners").iterdir()) == []


async def test_a_closed_queue_says_so(make_queue: OpenQueue) -> None:
    queue = await make_queue()
    await queue.submit(make_job("k"), priority=Priority.PATIENT)
    waiter = asyncio.create_task(queue.wait("k", timeout_s=SOON_S))
    await asyncio.sleep(0.02)
    await queue.aclose()
    with pytest.raises(QueueError, match="closed"):
        await waiter
    with pytest.raises(QueueError, match="closed"):
        await queue.stats()
