"""The queue with real processes: workers that are killed or kill themselves, submissions that race."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from queue_helpers import SHOP, MakeProcess, Process, until

from pellucid.database.tables import charges, holds, removals
from pellucid.queue.values import Failed

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("queue_process.py")

# Includes the start of an interpreter on a machine that may be busy. Well below the lease of 30 s.
PATIENCE_S = 60.0
PROMPTLY_S = 10.0


class Note(NamedTuple):
    what: str
    key: str
    attempt: int
    worker_id: str
    at: float


class Processes:
    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.registry = folder / "workers"
        self.log = folder / "log"
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.started.append(process)
        return process

    def start_worker(self, worker_id: str, *, job_s: float = 0.02) -> subprocess.Popen[str]:
        return self.start("work", self.url, str(self.registry), str(self.log), worker_id, str(job_s))

    def notes(self, what: str) -> list[Note]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        notes = [Note(sent, key, int(n), worker_id, float(at)) for sent, key, n, worker_id, at in map(str.split, lines)]
        return [note for note in notes if note.what == what]

    def in_hand(self, worker_id: str) -> Note | None:
        """The job that the worker has started and not ended."""
        ended = {(note.key, note.attempt) for note in self.notes("end")}
        begun = [note for note in self.notes("begin") if note.worker_id == worker_id]
        return next((note for note in begun if (note.key, note.attempt) not in ended), None)

    async def kill_at_work(self, process: subprocess.Popen[str], worker_id: str) -> tuple[Note, float]:
        """Send SIGKILL while a job runs. Returns that job, and the time of the kill."""
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
def processes(database_url: str, tmp_path: Path) -> Generator[Processes]:
    processes = Processes(database_url, tmp_path)
    yield processes
    for process in processes.started:
        process.kill()
        process.communicate()


@pytest.fixture
async def here(make_process: MakeProcess, processes: Processes) -> Process:
    """The test's own process, as a web process would be."""
    return await make_process()


async def nothing_pending(here: Process) -> None:
    async def is_empty() -> bool:
        return (await here.counts())[:2] == (0, 0)

    await until(is_empty, timeout_s=PATIENCE_S)


async def test_killed_workers_lose_nothing(processes: Processes, here: Process) -> None:
    keys = [f"k{n}" for n in range(120)]
    await asyncio.gather(*(here.enqueue(key) for key in keys))
    workers = {name: processes.start_worker(name) for name in ("w0", "w1", "w2", "w3")}
    await until(lambda: len({note.worker_id for note in processes.notes("end")}) == 4, timeout_s=PATIENCE_S)
    killed = [await processes.kill_at_work(workers.pop(name), name) for name in ("w0", "w1")]
    await nothing_pending(here)

    # If its worker is killed after the work and before the outcome is saved, a job ends twice.
    twice = {note.key for note, _ in killed}
    ended_keys = [note.key for note in processes.notes("end")]
    assert set(ended_keys) == set(keys)
    assert {key for key in ended_keys if ended_keys.count(key) > 1} <= twice
    begun = {(note.key, note.attempt): note for note in processes.notes("begin")}
    # The worker that runs a job again may be the next one killed: then the job runs three times.
    expected = {(key, 1) for key in keys} | {(note.key, note.attempt + 1) for note, _ in killed}
    assert begun.keys() == expected, "only the jobs of killed workers ran again"
    assert len(processes.notes("begin")) == len(begun)
    for note, killed_at in killed:
        pause_s = begun[note.key, note.attempt + 1].at - killed_at
        print(f"\n{note.key} ran again {pause_s * 1000:.0f} ms after the kill")
        assert 0 < pause_s < PROMPTLY_S, "not at the same time, and long before the lease ends"

    assert await here.account() == (120 * 200, 0), "each is paid once"
    await here.workers_are("w2", "w3")
    assert {path.name for path in processes.registry.iterdir()} == {"w2.lock", "w3.lock"}
    for process in workers.values():
        process.terminate()
        assert await ended(process) == 0
    await here.workers_are()
    assert list(processes.registry.iterdir()) == []


async def test_a_killed_worker_comes_back_under_its_name(processes: Processes, here: Process) -> None:
    await here.enqueue("k")
    first = processes.start_worker("w", job_s=3600)
    await processes.kill_at_work(first, "w")
    began = time.monotonic()
    processes.start_worker("w", job_s=0)
    assert await here.wait("k", PATIENCE_S)
    assert [note.attempt for note in processes.notes("begin")] == [1, 2]
    print(f"\nback at work {time.monotonic() - began:.2f} s after the kill, start of the process included")
    assert time.monotonic() - began < 25, "the lease of 30 s was not waited for"


@pytest.mark.parametrize("names", [("w0", "w1", "w2"), ("w", "w", "w")], ids=["others", "namesakes"])
async def test_a_job_that_kills_its_worker_fails_after_three(
    processes: Processes, here: Process, names: tuple[str, ...]
) -> None:
    await here.enqueue("kill")
    await here.enqueue("sound")
    for name in names:
        assert await ended(processes.start_worker(name)) == 9
    # No worker is left to requeue it: a web process does.
    await here.queue.sweep()
    assert await here.wait("kill", 0)
    receipt = (await here.submit("kill")).receipt
    assert isinstance(receipt, Failed)
    assert receipt.reason == "attempts-used-up"
    assert 200 < receipt.retry_in_s <= 300
    assert [note.attempt for note in processes.notes("begin")] == [1, 2, 3]
    found = sa.select(removals.c.error, removals.c.failures).where(removals.c.key == "kill")
    assert await here.rows(found) == [("WorkerLost", 1)]
    assert await here.account() == (0, 200), "the other job is still pending"

    last = processes.start_worker("last")
    assert await here.wait("sound", PATIENCE_S)
    assert last.poll() is None
    assert len([note for note in processes.notes("begin") if note.key == "kill"]) == 3


async def test_a_stopped_worker_finishes_its_job(processes: Processes, here: Process) -> None:
    for key in ("a", "b"):
        await here.enqueue(key)
    worker = processes.start_worker("w", job_s=1)
    await until(lambda: bool(processes.notes("begin")), timeout_s=PATIENCE_S)
    worker.send_signal(signal.SIGTERM)
    assert await ended(worker) == 0
    assert [note.key for note in processes.notes("end")] == ["a"]
    await here.enqueue("b")
    assert await here.account() == (200, 200)


async def test_two_processes_that_submit_the_same_keys_queue_each_once(processes: Processes, here: Process) -> None:
    submitters = [processes.start("submit", processes.url, str(processes.registry), "50") for _ in range(2)]
    for process in submitters:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
    for process in submitters:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [await ended(process) for process in submitters] == [0, 0]
    assert await here.counts() == (50, 0, 0)
    assert len(await here.column(holds.c.job)) == 150
    for name in ("w0", "w1"):
        processes.start_worker(name, job_s=0)
    await nothing_pending(here)
    assert sorted(note.key for note in processes.notes("begin")) == sorted(f"k{n}" for n in range(50))
    assert len(await here.column(charges.c.token)) == 150, "each of three tokens pays for each, once"
    assert await here.account(SHOP) == (50 * 200, 0)


async def test_many_processes_open_a_new_database_at_once(processes: Processes) -> None:
    workers = [processes.start_worker(f"w{n}") for n in range(4)]
    await until(lambda: len(list(processes.registry.glob("*.lock"))) == 4, timeout_s=PATIENCE_S)
    for worker in workers:
        worker.terminate()
    assert [await ended(worker) for worker in workers] == [0] * 4
