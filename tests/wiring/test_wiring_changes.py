"""Origins that changed by themselves: told once, with a share of the line for each client, also at a stop."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest_asyncio
import sqlalchemy as sa

from pellucid.concurrency.clients import Client
from pellucid.database.database import Database
from pellucid.database.tables import outbox
from pellucid.invalidation.log import Invalidation, InvalidationLog
from pellucid.invalidation.validity import Validity
from pellucid.notify.cdn import CdnApi
from pellucid.notify.purge import CdnPurger
from pellucid.queue.outbox import Outbox
from pellucid.spec import DEFAULT_TOKEN, OriginRef
from pellucid.store import keys
from pellucid.wiring.changes import ChangedOrigins

STRANGER, SHOP = Client("stranger"), Client("shop")
API = CdnApi(method="POST", url="https://cdn.example/{tag}", headers={}, body="")


@pytest_asyncio.fixture
async def changes(database: Database) -> ChangedOrigins:
    purger = CdnPurger(Outbox(database), api=API, again_s=None)
    return ChangedOrigins(InvalidationLog(database, Validity()), purger, propagation_s=60)


def _ref(name: object) -> OriginRef:
    return OriginRef(host="shop.example", path=f"/{name}.jpg")


async def _owed(database: Database) -> set[str]:
    """The tags that the CDN is to be told."""
    bodies = await database.read(lambda db: db.scalars(sa.select(outbox.c.body)).all())
    return {tag for body in bodies for tag in json.loads(body)["tags"]}


def _tags(*refs: OriginRef) -> set[str]:
    return {keys.origin_tag(DEFAULT_TOKEN, ref) for ref in refs}


async def test_what_was_found_just_before_a_stop_is_told(database: Database, changes: ChangedOrigins) -> None:
    """The origin's record says already what its bytes are: nobody would find the change again."""
    running = asyncio.create_task(changes.run())
    changes.add(DEFAULT_TOKEN, _ref("a"), "d" * 32, SHOP)
    await asyncio.sleep(0.05)  # told to other processes, which have not heard of it yet
    changes.add(DEFAULT_TOKEN, _ref("b"), "d" * 32, SHOP)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert not await _owed(database)
    await changes.aclose()
    assert await _owed(database) == _tags(_ref("a"), _ref("b"))
    told = await InvalidationLog(database, Validity()).read_new() or []
    assert told[-2:] == [
        Invalidation(origin=keys.origin_digest_of(_ref(name)), token=DEFAULT_TOKEN, digest="d" * 32) for name in "ab"
    ]


async def test_a_client_whose_origins_change_all_the_time_takes_no_others_place(
    database: Database, changes: ChangedOrigins
) -> None:
    for number in range(2000):
        changes.add(DEFAULT_TOKEN, _ref(number), "d" * 32, STRANGER)
    changes.add(DEFAULT_TOKEN, _ref("shop"), "d" * 32, SHOP)
    await changes.aclose()
    assert await _owed(database) == _tags(_ref("shop"), *(_ref(number) for number in range(100)))
