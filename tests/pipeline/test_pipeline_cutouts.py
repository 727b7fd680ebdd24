"""What cannot be read of a cutout decides as little as it can: real queue, store and ledger, broken files."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from pellucid.customers.customer import Customer, Customers
from pellucid.cutout.recipe import Recipe, tier_of
from pellucid.database.database import Database
from pellucid.errors import StoreError
from pellucid.formats import ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.image.matte_file import pack_matte, unpack_header
from pellucid.inference.runtime import Precision
from pellucid.ledger.ledger import Ledger
from pellucid.liveness.lock_files import LockFiles
from pellucid.mattes import facts
from pellucid.mattes.catalogue import Catalogue
from pellucid.mattes.facts import MatteFacts
from pellucid.mattes.files import MatteFiles
from pellucid.pipeline.cutouts import CutoutRequest, CutoutResolver
from pellucid.pipeline.states import CutoutState, CutoutStatus
from pellucid.queue.queue import Queue
from pellucid.queue.values import Pending
from pellucid.source.origin import Origin
from pellucid.source.origins import Origins
from pellucid.source.records import FormerBytes
from pellucid.spec import OriginRef, Tier, Token
from pellucid.store import keys
from pellucid.store.objects import ObjectBlobs

RECIPE = Recipe(model="tiny", precision=Precision.F32, tier=Tier.STANDARD)
OLDER = replace(RECIPE, version=RECIPE.version - 1)
TOKEN = Token("shop")
CUSTOMER = Customer(token=TOKEN, credits_per_month=1000, origins=("shop.example",))
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
WISH = CutoutRequest(customer=CUSTOMER, ref=OriginRef(host="shop.example", path="/a.png"), origin=ORIGIN, tier=None)
NAME = keys.matte_name(DIGEST, 0, RECIPE.id)


class BrokenOrigins:
    """Former bytes lie where nobody can look."""

    async def former(self, origin: Origin, former: FormerBytes) -> Origin | None:
        raise StoreError("cannot look")


@dataclass
class World:
    """The parts, and the folder they write to."""

    root: Path
    database: Database
    queue: Queue
    blobs: ObjectBlobs
    cutouts: CutoutResolver

    async def put_matte(self, recipe: Recipe = RECIPE, *, known: bool = True, pointer: bool = False) -> str:
        """A matte in the store, of which the database knows or not; older versions wrote a pointer beside it."""
        alpha = np.full((8, 8), 255, np.uint8)
        blob = pack_matte(alpha, width=8, height=8, confidence=0.5, empty=False, recipe_id=recipe.id)
        name = keys.matte_name(DIGEST, 0, recipe.id)
        await MatteFiles(self.blobs).write(name, blob)
        if pointer:
            await self.blobs.put(keys.newest_matte_key(DIGEST, 0, Tier.STANDARD), name.encode())
        if known:
            matte = MatteFacts.of_header(name, unpack_header(blob), tier=recipe.tier, size_bytes=len(blob))
            await self.database.run(lambda db: facts.write(db, matte, store="s", now=0.0))
        return name

    async def pay(self) -> None:
        """What the token has paid for once it stays its own."""
        assert (await self.cutouts.resolve(WISH)).state is CutoutState.READY

    def loop(self, key: str) -> Path:
        path = self.root / "store" / key
        path.unlink(missing_ok=True)
        path.symlink_to(path.name)
        return path


def make_cuttings(database: Database, queue: Queue, blobs: ObjectBlobs) -> CutoutResolver:
    """A web process without a memory."""
    return CutoutResolver(
        queue=queue,
        origins=cast(Origins, BrokenOrigins()),
        ledger=queue.course.ledger,
        customers=Customers([CUSTOMER]),
        recipe=RECIPE,
        show_stale=True,
        adopt=Catalogue(database, blobs, store="s", tier_of=tier_of).adopt,
    )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[World]:
    database = await Database.open(f"sqlite:///{tmp_path / 'pellucid.sqlite'}", busy_timeout_s=0.1)
    ledger = Ledger(price=lambda _: 200, limit=lambda _: 1000)
    queue = Queue(database, store="s", registry=LockFiles(tmp_path / "workers"), ledger=ledger)
    blobs = ObjectBlobs.local(tmp_path / "store")
    yield World(tmp_path, database, queue, blobs, make_cuttings(database, queue, blobs))
    await queue.aclose()
    await database.aclose()


async def test_a_matte_that_turns_out_to_be_gone_is_made_again_at_no_cost(world: World) -> None:
    await world.put_matte()
    await world.pay()
    await world.cutouts.forget(NAME)
    cutout = await world.cutouts.resolve(WISH)
    assert (cutout.state, cutout.matte) == (CutoutState.PENDING, None)
    balance = await world.queue.balance(TOKEN)
    assert (balance.charged, balance.held) == (200, 0)


@pytest.mark.parametrize("recipe", [RECIPE, OLDER])
async def test_what_an_older_version_left_is_shown_at_once(world: World, recipe: Recipe) -> None:
    """The database of mattes is new and does not know it yet: an upgrade flashes no backgrounds."""
    await world.put_matte()
    await world.pay()
    await world.cutouts.forget(NAME)
    await world.blobs.delete(keys.matte_key(NAME))
    name = await world.put_matte(recipe, known=False, pointer=True)
    cutout = await make_cuttings(world.database, world.queue, world.blobs).resolve(WISH)
    assert cutout.matte == name
    assert cutout.state is (CutoutState.READY if recipe is RECIPE else CutoutState.STALE)


@pytest.mark.parametrize("broken", ["pointer", "older matte", "former bytes"])
async def test_an_older_cutout_that_cannot_be_read_is_as_if_there_were_none(world: World, broken: str) -> None:
    await world.put_matte()
    await world.pay()
    await world.cutouts.forget(NAME)
    known = broken == "former bytes"
    older = await world.put_matte(OLDER, known=known, pointer=not known)
    request = WISH
    match broken:
        case "pointer":
            world.loop(keys.newest_matte_key(DIGEST, 0, Tier.STANDARD))
        case "older matte":
            world.loop(keys.matte_key(older))
        case _:
            former = (FormerBytes(digest=DIGEST, facts=FACTS, size_bytes=1),)
            request = replace(WISH, origin=replace(ORIGIN, digest=FORMER, former=former))
    cutout = await world.cutouts.resolve(request)
    assert (cutout.state, cutout.matte) == (CutoutState.PENDING, None)
    assert isinstance(cutout.receipt, Pending)


async def test_a_bill_that_cannot_be_read_decides_nothing(world: World) -> None:
    await world.put_matte()
    ready = await world.cutouts.resolve(WISH)
    assert ready.bill is not None
    assert (ready.state, ready.bill.remaining) == (CutoutState.READY, 800)
    (world.root / "pellucid.sqlite").rename(world.root / "aside")
    (world.root / "pellucid.sqlite").mkdir()
    for ask in (world.cutouts.resolve, world.cutouts.status):
        cutout = await ask(WISH)
        assert cutout.bill is not None
        assert (cutout.state, cutout.matte, cutout.bill.charged) == (CutoutState.READY, NAME, 200)
        assert cutout.bill.remaining is None


async def test_while_the_database_is_away_only_what_is_known_is_shown(world: World) -> None:
    await world.put_matte()
    await world.pay()
    (world.root / "pellucid.sqlite").rename(world.root / "aside")
    (world.root / "pellucid.sqlite").mkdir()
    restarted = make_cuttings(world.database, world.queue, world.blobs)
    cutout = await restarted.resolve(WISH)
    assert (cutout.state, cutout.matte, cutout.unknown) == (CutoutState.BUSY, None, True)
    (world.root / "pellucid.sqlite").rmdir()
    (world.root / "aside").rename(world.root / "pellucid.sqlite")
    assert (await restarted.resolve(WISH)).state is CutoutState.READY


def test_a_stale_cutout_without_its_matte_is_pending() -> None:
    former = replace(ORIGIN, digest=FORMER)
    owed = Pending(position=1, eta_s=1)
    stale = CutoutStatus(state=CutoutState.STALE, job=NAME, origin=former, matte="older", receipt=owed)
    assert stale.without_matte(ORIGIN) == CutoutStatus(state=CutoutState.PENDING, job=NAME, origin=ORIGIN, receipt=owed)
    assert replace(stale, receipt=None).without_matte(ORIGIN).state is CutoutState.BUSY
    refused = replace(stale, state=CutoutState.NO_CREDITS, receipt=None, reason="x").without_matte(ORIGIN)
    assert (refused.state, refused.matte, refused.reason) == (CutoutState.NO_CREDITS, None, "x")


async def test_what_takes_seconds_lets_all_others_go_first(world: World) -> None:
    huge = replace(
        ORIGIN, digest="f" * 32, facts=ImageFacts(format=ImageFormat.PNG, width=9000, height=9000, has_alpha=False)
    )
    positions: list[int] = []
    for origin in (huge, ORIGIN, replace(ORIGIN, digest="a" * 32)):
        cutout = await world.cutouts.resolve(replace(WISH, origin=origin))
        assert isinstance(cutout.receipt, Pending)
        positions.append(cutout.receipt.position)
    assert positions == [1, 1, 2]
    last = await world.cutouts.resolve(replace(WISH, origin=huge))
    assert isinstance(last.receipt, Pending)
    assert last.receipt.position == 3
