"""A process of its own for the tests: a worker that notes what it does, or a submitter.

    queue_process.py work FILE LOG WORKER_ID JOB_S
    queue_process.py submit FILE COUNT

A worker notes `begin|end key attempt worker time` (monotonic seconds, the same clock for all processes). A job whose
key starts with `kill` ends the process without a word. A submitter waits for a line on its standard input.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from pellucid.queue.port import Job, Owed, Priority, WorkerInfo
from pellucid.queue.sqlite import SqliteQueue


async def work(path: Path, log: Path, worker_id: str, job_s: float) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(what: str, job: Job) -> None:
        os.write(fd, f"{what} {job.key} {job.attempt} {worker_id} {time.monotonic()}\n".encode())

    async def handle(job: Job) -> None:
        note("begin", job)
        if job.key.startswith("kill"):
            os._exit(9)
        await asyncio.sleep(job_s)
        note("end", job)

    queue = await SqliteQueue.open(path=path)
    info = WorkerInfo(worker_id=worker_id, pid=os.getpid(), model="u2net", device="CPU", precision="f32")
    await queue.work(handle, info=info, stop=stop)
    await queue.aclose()
    os.close(fd)


async def submit(path: Path, count: int) -> None:
    queue = await SqliteQueue.open(path=path)
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(count):
        job = Job(key=f"k{n}", origin_digest=f"o{n}", page=0, recipe_id="r1")
        receipt = await queue.submit(job, priority=Priority.PATIENT)
        assert isinstance(receipt, Owed), receipt
    await queue.aclose()


def main() -> None:
    match sys.argv[1:]:
        case ["work", path, log, worker_id, job_s]:
            asyncio.run(work(Path(path), Path(log), worker_id, float(job_s)))
        case ["submit", path, count]:
            asyncio.run(submit(Path(path), int(count)))
        case other:
            raise SystemExit(f"unknown arguments {other}")


if __name__ == "__main__":
    main()
