"""A separate process for the tests: a worker that records what it does, or a process that submits.

    queue_process.py work URL REGISTRY LOG WORKER_ID JOB_S
    queue_process.py submit URL REGISTRY COUNT

A worker logs `begin|end key attempt worker time` (monotonic seconds, the same clock for all processes). A job whose
key starts with `kill` kills the process. `submit` waits for a line on its standard input, and submits each job for a
token of its own and for one that all share.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "contract"))

from queue_helpers import MakeProcess, facts_of, make_info

from pellucid.mattes.facts import MatteFacts
from pellucid.queue.values import Job
from pellucid.spec import Token


async def work(make_process: MakeProcess, log: Path, worker_id: str, job_s: float) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(what: str, job: Job) -> None:
        os.write(fd, f"{what} {job.key} {job.attempt} {worker_id} {time.monotonic()}\n".encode())

    async def handle(job: Job) -> MatteFacts:
        note("begin", job)
        if job.key.startswith("kill"):
            os._exit(9)
        await asyncio.sleep(job_s)
        note("end", job)
        return facts_of(job)

    here = await make_process()
    await here.worker_loop.run(handle, info=make_info(worker_id), stop=stop)
    await make_process.aclose()
    os.close(fd)


async def submit(make_process: MakeProcess, count: int) -> None:
    here = await make_process()
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(count):
        for token in (Token(f"own-{os.getpid()}"), Token("shop")):
            await here.enqueue(f"k{n}", token=token)
    await make_process.aclose()


def main() -> None:
    match sys.argv[1:]:
        case ["work", url, registry, log, worker_id, job_s]:
            asyncio.run(work(MakeProcess(url, Path(registry)), Path(log), worker_id, float(job_s)))
        case ["submit", url, registry, count]:
            asyncio.run(submit(MakeProcess(url, Path(registry)), int(count)))
        case other:
            raise SystemExit(f"unknown arguments {other}")


if __name__ == "__main__":
    main()
