"""Senders that are killed: nothing is lost, and a double can be known by its id."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest
from notify_world import KEY, Receiver, owe
from origin_servers import serving
from queue_helpers import until

from pellucid.queue.sqlite import SqliteQueue

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("notify_process.py")

# Starting an interpreter counts in, on a machine that may be busy.
PATIENCE_S = 60.0

# More than any lease: what a killed sender had claimed is due again for one whose clock is so much further.
LATER_S = 1000.0


class Senders:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *, ahead_s: float = 0) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, str(SCRIPT), str(self.path), str(ahead_s)])
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()

    def owed(self) -> int:
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute("SELECT count(*) FROM deliveries").fetchone()[0]


@pytest.fixture
def senders(tmp_path: Path) -> Generator[Senders]:
    senders = Senders(tmp_path / "queue" / "jobs.sqlite")
    yield senders
    senders.close()


async def test_killed_between_claim_and_acknowledgement(senders: Senders) -> None:
    receiver = Receiver(hold=asyncio.Event())
    queue = await SqliteQueue.open(path=senders.path)
    async with serving(receiver.answer) as server:
        await owe(queue, server.url)
        first = senders.start()
        await until(lambda: len(receiver.calls) == 1, timeout_s=PATIENCE_S)
        first.kill()
        first.wait()
        assert senders.owed() == 1
        assert await queue.deliveries_due(10, 60) == (), "claimed until its lease is over"
        receiver.hold = None
        senders.start(ahead_s=LATER_S)
        await until(lambda: senders.owed() == 0, timeout_s=PATIENCE_S)
    await queue.aclose()
    one, double = receiver.calls
    assert (one.id, one.body) == (double.id, double.body)
    assert one.is_signed_by(KEY)
    assert double.is_signed_by(KEY)


async def test_however_often_senders_are_killed_every_message_arrives(senders: Senders) -> None:
    receiver = Receiver()
    queue = await SqliteQueue.open(path=senders.path)
    async with serving(receiver.answer) as server:
        for n in range(20):
            await owe(queue, *(f"{server.url}/{n}/{m}" for m in range(10)), key=f"k{n}")
        wanted = {f"/{n}/{m}" for n in range(20) for m in range(10)}
        for life in range(4):
            seen = len(receiver.calls)
            process = senders.start(ahead_s=life * LATER_S)
            await until(lambda seen=seen: len(receiver.calls) >= seen + 20, timeout_s=PATIENCE_S)
            process.kill()
            process.wait()
        assert senders.owed() > 0, "the kills came in the middle"
        senders.start(ahead_s=4 * LATER_S)
        await until(lambda: senders.owed() == 0, timeout_s=PATIENCE_S)
    await queue.aclose()
    assert {call.path for call in receiver.calls} == wanted
    ids = {(call.path, call.id) for call in receiver.calls}
    assert len(ids) == len(wanted), "doubles carry the id of the first"
    print(f"\n{len(receiver.calls) - len(wanted)} doubles")


async def test_several_processes_send_each_message_once(senders: Senders) -> None:
    receiver = Receiver()
    queue = await SqliteQueue.open(path=senders.path)
    async with serving(receiver.answer) as server:
        for n in range(10):
            await owe(queue, *(f"{server.url}/{n}/{m}" for m in range(10)), key=f"k{n}")
        for _ in range(3):
            senders.start()
        await until(lambda: senders.owed() == 0, timeout_s=PATIENCE_S)
    await queue.aclose()
    assert len(receiver.calls) == len({call.id for call in receiver.calls}) == 100
