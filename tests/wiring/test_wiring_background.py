"""What a web process does by itself goes on after trouble, and keeps within its bounds meanwhile."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from memory_blobs import MemoryBlobs
from pellucid.database.database import Database
from pellucid.errors import DatabaseError
from pellucid.mattes.catalogue import Catalogue
from pellucid.wiring.background import run_matte_upkeep


async def test_uses_that_cannot_be_written_down_do_not_pile_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process keeps of them is bounded, and so is what it took from there to write it down."""
    monkeypatch.setattr("pellucid.wiring.background._HOUSEKEEPING_S", 0)
    catalogue = Catalogue(database, MemoryBlobs(), store="here", tier_of=lambda _: None)
    taken, written = 0, list[set[str]]()
    tries = 0

    def take_uses() -> set[str]:
        nonlocal taken
        taken += 1
        return {f"{taken}"}

    async def note_uses(names: set[str]) -> None:
        nonlocal tries
        tries += 1
        if tries < 10:
            raise DatabaseError("no room")
        written.append(names)
        if len(written) == 3:
            done.set()

    done = asyncio.Event()
    monkeypatch.setattr(catalogue, "note_uses", note_uses)
    chore = asyncio.create_task(run_matte_upkeep(catalogue, take_uses, warn_bytes=0))
    await asyncio.wait_for(done.wait(), 30)
    chore.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await chore
    assert written[:3] == [{"1"}, {"2"}, {"3"}]
