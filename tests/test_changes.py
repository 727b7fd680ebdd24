"""Origins that changed by themselves: told once, with a share of the line for each client, also at a stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import pytest_asyncio

from pellucid import keys
from pellucid.clients import Client
from pellucid.notify.cdn import CdnApi
from pellucid.notify.purge import CdnPurger
from pellucid.purges import Purges
from pellucid.queue.sqlite import SqliteQueue
from pellucid.spec import DEFAULT_TOKEN, OriginRef
from pellucid.wiring.changes import ChangedOrigins

STRANGER, SHOP = Client("stranger"), Client("shop")
API = CdnApi(method="POST", url="https://cdn.example/{tag}", headers={}, body="")


@pytest_asyncio.fixture
async def changes(tmp_path: Path) -> AsyncGenerator[ChangedOrigins, None]:
    queue = await SqliteQueue.open(path=tmp_path / "jobs.sqlite")
    purges = Purges(tmp_path / "purges")
    yield ChangedOrigins(purges, CdnPurger(queue, api=API, again_s=None), heard_s=60)
    purges.close()
    await queue.aclose()


def _ref(name: object) -> OriginRef:
    return OriginRef(host="shop.example", path=f"/{name}.jpg")


def _owed(tmp_path: Path) -> set[str]:
    """The tags that the CDN is to be told."""
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as db:
        return {tag for (body,) in db.execute("SELECT body FROM deliveries") for tag in json.loads(body)["tags"]}


def _tags(*refs: OriginRef) -> set[str]:
    return {keys.origin_tag(DEFAULT_TOKEN, ref) for ref in refs}


async def test_what_was_found_just_before_a_stop_is_told(tmp_path: Path, changes: ChangedOrigins) -> None:
    """The origin's record says already what its bytes are: nobody would find the change again."""
    running = asyncio.create_task(changes.run())
    changes.add(DEFAULT_TOKEN, _ref("a"), 1.0, SHOP)
    await asyncio.sleep(0.05)  # told to other processes, which have not heard of it yet
    changes.add(DEFAULT_TOKEN, _ref("b"), 2.0, SHOP)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert not _owed(tmp_path)
    await changes.aclose()
    assert _owed(tmp_path) == _tags(_ref("a"), _ref("b"))
    follower = Purges(tmp_path / "purges")
    assert {purge.record_key for purge in follower.news() or ()} == {
        keys.origin_record_key(DEFAULT_TOKEN, _ref(name)) for name in "ab"
    }
    follower.close()


async def test_a_client_whose_origins_change_all_the_time_takes_no_others_place(
    tmp_path: Path, changes: ChangedOrigins
) -> None:
    for number in range(2000):
        changes.add(DEFAULT_TOKEN, _ref(number), 1.0, STRANGER)
    changes.add(DEFAULT_TOKEN, _ref("shop"), 1.0, SHOP)
    await changes.aclose()
    assert _owed(tmp_path) == _tags(_ref("shop"), *(_ref(number) for number in range(100)))
