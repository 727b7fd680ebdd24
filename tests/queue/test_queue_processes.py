"""The embedded queue with real processes: workers that are killed, that kill themselves, submitters that race."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from queue_helpers import SOON_S, make_job, until

from pellucid.queue.port import Failed, Owed, Priority
from pellucid.queue.sqlite import SqliteQueue

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("queue_process.py")

# Starting an interpreter counts in, on a machine that may be busy. Well below the lease of 30 s.
PATIENCE_S = 60.0
PROMPTLY_S = 10.0


class Note(NamedTuple):
    what: str
    key: str
    attempt: int
    worker_id: str
    at: float


class Processes:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "queue" / "jobs.sqlite"
        self.log = folder / "log"
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.started.append(process)
        return process

    def start_worker(self, worker_id: str, *, job_s: float = 0.02) -> subprocess.Popen[str]:
        return self.start("work", str(self.path), str(self.log), worker_id, str(job_s))

    def notes(self, what: str) -> list[Note]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        notes = [Note(said, key, int(n), worker_id, float(at)) for said, key, n, worker_id, at in map(str.split, lines)]
        return [note for note in notes if note.what == what]

    def in_hand(self, worker_id: str) -> Note | None:
        """The job the worker has begun and not ended."""
        ended = {(note.key, note.attempt) for note in self.notes("end")}
        begun = [note for note in self.notes("begin") if note.worker_id == worker_id]
        return next((note for note in begun if (note.key, note.attempt) not in ended), None)

    async def kill_at_work(self, process: subprocess.Popen[str], worker_id: str) -> tuple[Note, float]:
        """SIGKILL while a job is in hand: that job, and when."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                process.send_signal(signal.SIGSTOP)
                note = self.in_hand(worker_id)
                if note is not None:
                    at = time.monotonic()
                    process.kill()
                    process.wait()
                    return note, at
                process.send_signal(signal.SIGCONT)
                await asyncio.sleep(0.005)


async def ended(process: subprocess.Popen[str]) -> int:
    return await asyncio.wait_for(asyncio.to_thread(process.wait), PATIENCE_S)


@pytest.fixture
def processes(tmp_path: Path) -> Generator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    for process in processes.started:
        process.kill()
        process.communicate()


@pytest.fixture
async def queue(processes: Processes) -> AsyncGenerator[SqliteQueue]:
    queue = await SqliteQueue.open(path=processes.path)
    yield queue
    await queue.aclose()


async def owed_nothing(queue: SqliteQueue) -> None:
    async def is_empty() -> bool:
        stats = await queue.stats()
        return stats.waiting + stats.running == 0

    await until(is_empty, timeout_s=PATIENCE_S)


async def test_killed_workers_lose_nothing(processes: Processes, queue: SqliteQueue) -> None:
    keys = [f"k{n}" for n in range(200)]
    for key in keys:
        await queue.submit(make_job(key), priority=Priority.PATIENT)
    workers = {name: processes.start_worker(name) for name in ("w0", "w1", "w2", "w3")}
    await until(lambda: len({note.worker_id for note in processes.notes("end")}) == 4, timeout_s=PATIENCE_S)
    killed = [await processes.kill_at_work(workers.pop(name), name) for name in ("w0", "w1")]
    await owed_nothing(queue)

    assert sorted(note.key for note in processes.notes("end")) == sorted(keys), "each job ended exactly once"
    begun = {(note.key, note.attempt): note for note in processes.notes("begin")}
    # A killed job may be in the hands of the next one killed: then it runs three times.
    expected = {(key, 1) for key in keys} | {(note.key, note.attempt + 1) for note, _ in killed}
    assert begun.keys() == expected, "what was killed, and only that, ran again"
    assert len(processes.notes("begin")) == len(begun)
    for note, killed_at in killed:
        pause_s = begun[note.key, note.attempt + 1].at - killed_at
        print(f"\n{note.key} ran again {pause_s * 1000:.0f} ms after the kill")
        assert 0 < pause_s < PROMPTLY_S, "not at the same time, and long before the lease ends"

    assert {worker.worker_id for worker in (await queue.stats()).workers} == {"w2", "w3"}
    assert {path.name for path in (processes.path.parent / "owners").iterdir()} == {"w2.lock", "w3.lock"}
    for process in workers.values():
        process.terminate()
        assert await ended(process) == 0
    assert (await queue.stats()).workers == ()
    assert list((processes.path.parent / "owners").iterdir()) == []


async def test_a_killed_worker_comes_back_under_its_name(processes: Processes, queue: SqliteQueue) -> None:
    await queue.submit(make_job("k"), priority=Priority.PATIENT)
    first = processes.start_worker("w", job_s=3600)
    await processes.kill_at_work(first, "w")
    began = time.monotonic()
    processes.start_worker("w", job_s=0)
    assert await queue.wait("k", timeout_s=PATIENCE_S)
    assert [note.attempt for note in processes.notes("begin")] == [1, 2]
    print(f"\nback at work {time.monotonic() - began:.2f} s after the kill, start of the process included")
    assert time.monotonic() - began < 25, "the lease of 30 s was not waited for"


async def test_a_job_that_kills_its_worker_fails_after_three(processes: Processes, queue: SqliteQueue) -> None:
    await queue.submit(make_job("kill"), priority=Priority.IMPATIENT)
    await queue.submit(make_job("sound"), priority=Priority.PATIENT)
    for name in ("w0", "w1", "w2"):
        assert await ended(processes.start_worker(name)) == 9
    # Nobody is left to notice: who waits does.
    assert await queue.wait("kill", timeout_s=SOON_S)
    receipt = await queue.submit(make_job("kill"), priority=Priority.IMPATIENT)
    assert isinstance(receipt, Failed)
    assert receipt.reason == "attempts-used-up"
    assert 200 < receipt.retry_in_s <= 300
    assert [note.attempt for note in processes.notes("begin")] == [1, 2, 3]
    with closing(sqlite3.connect(processes.path)) as db:
        assert db.execute("SELECT error, failures FROM jobs WHERE key = 'kill'").fetchone() == ("WorkerLost", 1)

    last = processes.start_worker("w3")
    assert await queue.wait("sound", timeout_s=PATIENCE_S)
    assert last.poll() is None
    assert len([note for note in processes.notes("begin") if note.key == "kill"]) == 3


async def test_a_stopped_worker_finishes_its_job(processes: Processes, queue: SqliteQueue) -> None:
    for key in ("a", "b"):
        await queue.submit(make_job(key), priority=Priority.PATIENT)
    worker = processes.start_worker("w", job_s=1)
    await until(lambda: bool(processes.notes("begin")), timeout_s=PATIENCE_S)
    worker.send_signal(signal.SIGTERM)
    assert await ended(worker) == 0
    assert [note.key for note in processes.notes("end")] == ["a"]
    assert isinstance(await queue.submit(make_job("b"), priority=Priority.PATIENT), Owed)


async def test_two_submitters_of_the_same_keys_owe_each_once(processes: Processes, queue: SqliteQueue) -> None:
    submitters = [processes.start("submit", str(processes.path), "100") for _ in range(2)]
    for process in submitters:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
    for process in submitters:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [await ended(process) for process in submitters] == [0, 0]
    assert (await queue.stats()).waiting == 100
    for name in ("w0", "w1"):
        processes.start_worker(name, job_s=0)
    await owed_nothing(queue)
    assert sorted(note.key for note in processes.notes("begin")) == sorted(f"k{n}" for n in range(100))


async def test_many_processes_open_a_new_file_at_once(processes: Processes) -> None:
    workers = [processes.start_worker(f"w{n}") for n in range(4)]
    await until(lambda: len(list((processes.path.parent / "owners").glob("*.lock"))) == 4, timeout_s=PATIENCE_S)
    for worker in workers:
        worker.terminate()
    assert [await ended(worker) for worker in workers] == [0] * 4
