"""Senders that are killed: nothing is lost, and a duplicate has the same id."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import sqlalchemy as sa
from notify_world import KEY, Receiver, make_pending
from origin_servers import serving
from queue_helpers import MakeProcess, Process, until

from pellucid.database.tables import outbox

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("notify_process.py")

# Includes the start of an interpreter on a machine that may be busy.
PATIENCE_S = 60.0

# Longer than any lease: a sender whose clock is this far ahead can claim the deliveries of a killed one.
LATER_S = 1000.0


class Senders:
    """`process` sends nothing itself."""

    def __init__(self, url: str, process: Process) -> None:
        self.url = url
        self.process = process
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *, ahead_s: float = 0) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, str(SCRIPT), self.url, str(ahead_s)])
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()

    async def pending(self) -> int:
        ((count,),) = await self.process.rows(sa.select(sa.func.count()).select_from(outbox))
        return count

    async def are_done(self) -> None:
        async def is_so() -> bool:
            return await self.pending() == 0

        await until(is_so, timeout_s=PATIENCE_S)


@pytest.fixture
async def senders(database_url: str, tmp_path: Path) -> AsyncGenerator[Senders]:
    make = MakeProcess(database_url, tmp_path / "workers")
    senders = Senders(database_url, await make())
    yield senders
    senders.close()
    await make.aclose()


async def test_killed_between_claim_and_acknowledgement(senders: Senders) -> None:
    receiver = Receiver(hold=asyncio.Event())
    async with serving(receiver.answer) as server:
        await make_pending(senders.process, server.url)
        first = senders.start()
        await until(lambda: len(receiver.calls) == 1, timeout_s=PATIENCE_S)
        first.kill()
        first.wait()
        assert await senders.pending() == 1
        assert await senders.process.outbox.claim_deliveries(10, 60) == (), "claimed until its lease is over"
        receiver.hold = None
        senders.start(ahead_s=LATER_S)
        await senders.are_done()
    one, double = receiver.calls
    assert (one.id, one.body) == (double.id, double.body)
    assert one.is_signed_by(KEY)
    assert double.is_signed_by(KEY)


async def test_however_often_senders_are_killed_every_message_arrives(senders: Senders) -> None:
    receiver = Receiver()
    async with serving(receiver.answer) as server:
        for n in range(20):
            await make_pending(senders.process, *(f"{server.url}/{n}/{m}" for m in range(10)), key=f"k{n}")
        wanted = {f"/{n}/{m}" for n in range(20) for m in range(10)}
        for start in range(4):
            seen = len(receiver.calls)
            process = senders.start(ahead_s=start * LATER_S)
            await until(lambda seen=seen: len(receiver.calls) >= seen + 20, timeout_s=PATIENCE_S)
            process.kill()
            process.wait()
        assert await senders.pending() > 0, "the kills came in the middle"
        senders.start(ahead_s=4 * LATER_S)
        await senders.are_done()
    assert {call.path for call in receiver.calls} == wanted
    ids = {(call.path, call.id) for call in receiver.calls}
    assert len(ids) == len(wanted), "duplicates have the id of the first"
    print(f"\n{len(receiver.calls) - len(wanted)} doubles")


async def test_several_processes_send_each_message_once(senders: Senders) -> None:
    receiver = Receiver()
    async with serving(receiver.answer) as server:
        for n in range(10):
            await make_pending(senders.process, *(f"{server.url}/{n}/{m}" for m in range(10)), key=f"k{n}")
        for _ in range(3):
            senders.start()
        await senders.are_done()
    assert len(receiver.calls) == len({call.id for call in receiver.calls}) == 100
