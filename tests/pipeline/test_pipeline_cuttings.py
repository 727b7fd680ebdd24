"""What cannot be read of a cutout decides as little as it can: real queue, store and ledger, broken files."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from pellucid import keys
from pellucid.cutout.recipe import Recipe
from pellucid.cutout.runtime import Precision
from pellucid.database.database import Database
from pellucid.errors import StoreError
from pellucid.formats import ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.image.matte_file import pack_matte
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import Claim
from pellucid.mattes import Mattes
from pellucid.pipeline.cuttings import Cuttings, Wish
from pellucid.pipeline.holds import settle_forgotten_holds
from pellucid.pipeline.states import CutoutState, Cutting
from pellucid.queue.port import Owed
from pellucid.queue.sqlite import SqliteQueue
from pellucid.source.origins import Origin, Origins
from pellucid.source.records import FormerBytes
from pellucid.spec import OriginRef, Tier, Token
from pellucid.store.objects import ObjectBlobs
from pellucid.tokens import Customer, Customers

RECIPE = Recipe(model="tiny", precision=Precision.F32, tier=Tier.STANDARD)
OLDER = replace(RECIPE, version=RECIPE.version - 1)
TOKEN = Token("shop")
FACTS = ImageFacts(format=ImageFormat.PNG, width=8, height=8, has_alpha=False)
DIGEST, FORMER = "d" * 32, "e" * 32
ORIGIN = Origin(
    digest=DIGEST,
    facts=FACTS,
    size_bytes=9,
    url="https://shop.example/a.png",
    source="shop.example/a.png",
    record_key="r",
)
WISH = Wish(token=TOKEN, ref=OriginRef(host="shop.example", path="/a.png"), origin=ORIGIN, tier=None)
NAME = keys.matte_name(DIGEST, 0, RECIPE.id)


class BrokenOrigins:
    """Former bytes lie where nobody can look."""

    async def former(self, origin: Origin, former: FormerBytes) -> Origin | None:
        raise StoreError("cannot look")


@dataclass
class World:
    """The parts, and the folder they write to."""

    root: Path
    queue: SqliteQueue
    ledger: Ledger
    blobs: ObjectBlobs
    cuttings: Cuttings

    async def put_matte(self, recipe: Recipe = RECIPE) -> str:
        alpha = np.full((8, 8), 255, np.uint8)
        blob = pack_matte(alpha, width=8, height=8, confidence=0.5, empty=False, recipe_id=recipe.id)
        name = keys.matte_name(DIGEST, 0, recipe.id)
        await Mattes(self.blobs).store(name, blob, origin_digest=DIGEST, page=0, tier=Tier.STANDARD)
        return name

    def loop(self, key: str) -> Path:
        path = self.root / "store" / key
        path.unlink(missing_ok=True)
        path.symlink_to(path.name)
        return path


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[World]:
    database = await Database.open(f"sqlite:///{tmp_path / 'ledger.sqlite'}", busy_timeout_s=0.1)
    queue = await SqliteQueue.open(path=tmp_path / "queue" / "jobs.sqlite")
    ledger = Ledger(database, price=lambda _: 200, limit=lambda _: 1000)
    blobs = ObjectBlobs.local(tmp_path / "store")
    cuttings = Cuttings(
        mattes=Mattes(blobs),
        queue=queue,
        origins=cast(Origins, BrokenOrigins()),
        ledger=ledger,
        customers=Customers([Customer(token=TOKEN, credits_per_month=1000, origins=("shop.example",))]),
        recipe=RECIPE,
        show_stale=True,
    )
    yield World(tmp_path, queue, ledger, blobs, cuttings)
    await queue.aclose()
    await database.aclose()


async def test_an_unreadable_matte_is_busy_for_requests_and_status(world: World) -> None:
    await world.put_matte()
    path = world.loop(keys.matte_key(NAME))
    for ask in (world.cuttings.request, world.cuttings.look):
        cutting = await ask(WISH)
        assert (cutting.state, cutting.shown, cutting.origin) == (CutoutState.BUSY, None, ORIGIN)
    assert path.is_symlink()
    assert await world.queue.look(NAME) is None
    assert (await world.ledger.balance(TOKEN)).held == 0


@pytest.mark.parametrize("broken", ["pointer", "older matte", "former bytes"])
async def test_an_older_cutout_that_cannot_be_read_is_as_if_there_were_none(world: World, broken: str) -> None:
    older = await world.put_matte(OLDER)
    wish = WISH
    match broken:
        case "pointer":
            world.loop(keys.newest_matte_key(DIGEST, 0, Tier.STANDARD))
        case "older matte":
            world.loop(keys.matte_key(older))
        case _:
            wish = replace(
                WISH, origin=replace(ORIGIN, former=(FormerBytes(digest=FORMER, facts=FACTS, size_bytes=1),))
            )
    cutting = await world.cuttings.request(wish)
    assert (cutting.state, cutting.shown) == (CutoutState.PENDING, None)
    assert isinstance(cutting.receipt, Owed)


async def test_a_bill_that_cannot_be_read_decides_nothing(world: World) -> None:
    await world.put_matte()
    ready = await world.cuttings.request(WISH)
    assert ready.bill is not None
    assert (ready.state, ready.bill.remaining) == (CutoutState.READY, 800)
    (world.root / "ledger.sqlite").rename(world.root / "aside")
    (world.root / "ledger.sqlite").mkdir()
    world.ledger._balances.clear()  # pyright: ignore[reportPrivateUsage] - a second later
    for ask in (world.cuttings.request, world.cuttings.look):
        cutting = await ask(WISH)
        assert (cutting.state, cutting.shown, cutting.bill) == (CutoutState.READY, NAME, None)


async def test_one_hold_that_cannot_be_settled_holds_up_no_other(world: World) -> None:
    names = [keys.matte_name(digest, 0, RECIPE.id) for digest in (DIGEST, FORMER)]
    for digest, name in zip((DIGEST, FORMER), names, strict=True):
        await world.ledger.hold(Claim(token=TOKEN, origin_digest=digest, tier=Tier.STANDARD), name)
    with closing(sqlite3.connect(world.root / "ledger.sqlite")) as db:
        db.execute("UPDATE holds SET held_at = 0 WHERE job = ?", (names[0],))
        db.execute("UPDATE holds SET held_at = 1 WHERE job = ?", (names[1],))
        db.commit()
    (world.root / "store" / "mattes").mkdir(parents=True)
    path = world.loop(keys.matte_key(names[0]))
    mattes = Mattes(world.blobs)
    assert await settle_forgotten_holds(world.ledger, queue=world.queue, mattes=mattes) == 1
    path.unlink()
    assert await settle_forgotten_holds(world.ledger, queue=world.queue, mattes=Mattes(world.blobs)) == 1


def test_a_stale_cutout_without_its_matte_is_pending() -> None:
    former = replace(ORIGIN, digest=FORMER)
    owed = Owed(position=1, eta_s=1)
    stale = Cutting(state=CutoutState.STALE, job=NAME, origin=former, shown="older", receipt=owed)
    assert stale.without_matte(ORIGIN) == Cutting(state=CutoutState.PENDING, job=NAME, origin=ORIGIN, receipt=owed)
    assert replace(stale, receipt=None).without_matte(ORIGIN).state is CutoutState.BUSY
    refused = replace(stale, state=CutoutState.NO_CREDITS, receipt=None, reason="x").without_matte(ORIGIN)
    assert (refused.state, refused.shown, refused.reason) == (CutoutState.NO_CREDITS, None, "x")


async def test_what_takes_seconds_lets_all_others_go_first(world: World) -> None:
    huge = replace(
        ORIGIN, digest="f" * 32, facts=ImageFacts(format=ImageFormat.PNG, width=9000, height=9000, has_alpha=False)
    )
    positions: list[int] = []
    for origin in (huge, ORIGIN, replace(ORIGIN, digest="a" * 32)):
        cutting = await world.cuttings.request(replace(WISH, origin=origin))
        assert isinstance(cutting.receipt, Owed)
        positions.append(cutting.receipt.position)
    assert positions == [1, 1, 2]
    last = await world.cuttings.request(replace(WISH, origin=huge))
    assert isinstance(last.receipt, Owed)
    assert last.receipt.position == 3
