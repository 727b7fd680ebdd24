"""Requests, workers, crashes and months in any order, against a plain model of who owes what.

Everything is real: the queue, the store, the ledger on both databases, the worker's handler with a tiny model. Only the
clock is turned by hand, and a crash is an exception at the place where a process would have died.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from PIL import Image

from pellucid import keys
from pellucid.database.database import Database
from pellucid.database.tables import METADATA, balances, charges, holds, schema_versions
from pellucid.engine import Engine
from pellucid.formats import ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import Claim, month_of
from pellucid.mattes import Mattes
from pellucid.pipeline.cuttings import Cuttings, Wish
from pellucid.pipeline.holds import settle_forgotten_holds
from pellucid.pipeline.spending import ORIGIN_NOT_LISTED
from pellucid.pipeline.states import CutoutState
from pellucid.queue.port import Job, WorkerInfo
from pellucid.queue.sqlite import SqliteQueue
from pellucid.source.origins import Origin, Origins
from pellucid.spec import OriginRef, Tier, Token
from pellucid.store.objects import ObjectBlobs
from pellucid.tokens import Customer, Customers
from pellucid.worker import matte_handler
from tiny import TinyModel

PRICES = {Tier.FAST: 100, Tier.STANDARD: 200, Tier.BEST: 400}
LIMITS = {Token("poor"): 500, Token("rich"): None}
START = datetime(2026, 11, 30, 22, 0, tzinfo=UTC).timestamp()

ClaimKey = tuple[str, str, str]


class CrashError(Exception):
    """The worker died here."""


def _png(kind: str) -> bytes:
    if kind.startswith("broken"):
        return kind.encode()
    pixels = np.zeros((24, 32, 3), np.uint8)
    if kind.startswith("subject"):
        pixels[6:18, 8:24] = 255
    pixels[0, 0] = len(kind), ord(kind[-1]), 0
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


KINDS = ("subject a", "subject b", "subject c", "empty", "broken")
PICTURES = {kind: _png(kind) for kind in KINDS}
DIGESTS = {kind: keys.digest(data) for kind, data in PICTURES.items()}
KIND_OF = {digest: kind for kind, digest in DIGESTS.items()}


class CrashingMattes(Mattes):
    """Dies on the way to the disk, or just after."""

    crash_at: str | None = None

    async def store(self, *args: Any, **more: Any) -> None:
        if self.crash_at == "before the matte":
            raise CrashError
        await super().store(*args, **more)
        if self.crash_at == "after the matte":
            raise CrashError


class CrashingLedger(Ledger):
    """Dies after it charged, before the job is acknowledged."""

    crash_at: str | None = None

    async def settle(self, job: str, *, available: bool) -> int:
        if self.crash_at == "before the charge":
            raise CrashError
        written = await super().settle(job, available=available)
        if self.crash_at == "after the charge":
            raise CrashError
        return written


CRASHES = (None, "before the matte", "after the matte", "before the charge", "after the charge")


@dataclass
class Model:
    """What should be so."""

    paid: dict[ClaimKey, int] = field(default_factory=dict[ClaimKey, int])
    spent: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    held: dict[ClaimKey, int] = field(default_factory=dict[ClaimKey, int])
    made: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    owed: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    failed: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def allows(self, token: Token, price: int, month: str) -> bool:
        limit = LIMITS[token]
        held = sum(credits for key, credits in self.held.items() if key[0] == token)
        return limit is None or self.spent[token, month] + held + price <= limit

    def charge(self, key: ClaimKey, price: int, month: str) -> None:
        if key not in self.paid:
            self.paid[key] = self.held.get(key, price)
            self.spent[key[0], month] += self.paid[key]
        self.held.pop(key, None)

    def may_have(self, token: Token, kind: str, tier: Tier, month: str, *, stranger: bool) -> bool:
        """Whether the token pays for it, or did. For a stranger's picture it pays nothing new where it has a limit."""
        key = (token, DIGESTS[kind], tier.value)
        new = self.allows(token, PRICES[tier], month) and not (stranger and LIMITS[token] is not None)
        return key in self.paid or key in self.held or new

    def look(self, token: Token, kind: str, tier: Tier, month: str, *, stranger: bool) -> CutoutState:
        digest = DIGESTS[kind]
        key, thing = (token, digest, tier.value), (digest, tier.value)
        if thing in self.made and (kind == "empty" or key in self.paid):
            return CutoutState.NO_SUBJECT if kind == "empty" else CutoutState.READY
        if thing in self.failed:
            return CutoutState.FAILED
        if not self.may_have(token, kind, tier, month, stranger=stranger):
            return CutoutState.NO_CREDITS
        return CutoutState.PENDING if thing in self.owed else CutoutState.UNASKED

    def ask(self, token: Token, kind: str, tier: Tier, month: str, *, stranger: bool) -> CutoutState:
        digest = DIGESTS[kind]
        key, thing = (token, digest, tier.value), (digest, tier.value)
        affordable = self.may_have(token, kind, tier, month, stranger=stranger)
        if thing in self.made and kind == "empty":
            return CutoutState.NO_SUBJECT
        if thing in self.failed:
            return CutoutState.FAILED
        if not affordable:
            return CutoutState.NO_CREDITS
        if thing in self.made:
            self.charge(key, PRICES[tier], month)
            return CutoutState.READY
        if key not in self.paid:
            self.held.setdefault(key, PRICES[tier])
        self.owed.add(thing)
        return CutoutState.PENDING

    def settle(self, thing: tuple[str, str], month: str) -> None:
        """A worker came as far as the charge."""
        for key in [key for key in self.held if key[1:] == thing]:
            if KIND_OF[thing[0]].startswith("subject"):
                self.charge(key, 0, month)
            else:
                del self.held[key]


class Accounts(RuleBasedStateMachine):
    engine: Engine
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.now = START
        self.model = Model()
        self.runner.run(self._open())

    async def _open(self) -> None:
        root = Path(self.folder.name)
        self.database = await Database.open(self.url)

        def wipe(db: sa.Connection) -> None:
            for table in METADATA.sorted_tables:
                if table is not schema_versions:
                    db.execute(table.delete())

        await self.database.run(wipe)
        self.queue = await SqliteQueue.open(
            path=root / "queue" / "jobs.sqlite",
            max_attempts=10**6,
            backoff_s=0,
            failure_s=1e9,
            failure_max_s=1e9,
            clock=lambda: self.now,
        )
        self.blobs = ObjectBlobs.local(root / "store")
        for data in PICTURES.values():
            await self.blobs.put(keys.origin_bytes_key(keys.digest(data)), data)
        self._start_web()

    def _start_web(self) -> None:
        """A web process as it is after its start, without a memory."""
        self.ledger = self._ledger(Ledger)
        self.cuttings = Cuttings(
            mattes=Mattes(self.blobs),
            queue=self.queue,
            origins=cast(Origins, None),  # asked for former bytes only, which these pictures never had
            ledger=self.ledger,
            customers=Customers(
                Customer(token=token, credits_per_month=limit, origins=("shop.example",))
                for token, limit in LIMITS.items()
            ),
            recipe=self.engine.recipe,
            show_stale=True,
        )

    def _ledger(self, kind: type[Any]) -> Any:
        return kind(self.database, price=PRICES.__getitem__, limit=LIMITS.__getitem__, clock=lambda: self.now)

    def _handler(self, crash_at: str | None) -> Callable[[Job], Awaitable[None]]:
        mattes, ledger = CrashingMattes(self.blobs), self._ledger(CrashingLedger)
        mattes.crash_at = ledger.crash_at = crash_at
        return matte_handler(self.engine, origins=self.blobs, mattes=mattes, ledger=ledger, time_limit_s=60)

    def teardown(self) -> None:
        async def close() -> None:
            await self.queue.aclose()
            await self.database.aclose()

        self.runner.run(close())
        self.runner.close()
        self.folder.cleanup()

    @rule(
        token=st.sampled_from(list(LIMITS)),
        kind=st.sampled_from(KINDS),
        tier=st.sampled_from(list(Tier)),
        stranger=st.booleans(),
    )
    def ask(self, token: Token, kind: str, tier: Tier, *, stranger: bool) -> None:
        wish, month = _wish(token, kind, tier, stranger=stranger), month_of(self.now)
        looked = self.runner.run(self.cuttings.look(wish))
        assert looked.state is self.model.look(token, kind, tier, month, stranger=stranger)
        cutting = self.runner.run(self.cuttings.request(wish))
        assert cutting.state is self.model.ask(token, kind, tier, month, stranger=stranger)
        assert (cutting.shown is not None) is (cutting.state is CutoutState.READY)
        for each in (looked, cutting):
            strange = stranger and each.state is CutoutState.NO_CREDITS
            assert each.reason == (ORIGIN_NOT_LISTED if strange else None)

    @rule(token=st.sampled_from(list(LIMITS)), kind=st.sampled_from(KINDS), tier=st.sampled_from(list(Tier)))
    def a_request_dies_between_hold_and_job(self, token: Token, kind: str, tier: Tier) -> None:
        claim = Claim(token=token, origin_digest=DIGESTS[kind], tier=tier)
        key, month = claim.key, month_of(self.now)
        self.runner.run(self._ledger(Ledger).hold(claim, self._job(kind, tier).key))
        if key not in self.model.paid and self.model.allows(token, PRICES[tier], month):
            self.model.held.setdefault(key, PRICES[tier])

    @precondition(lambda self: self.model.owed)
    @rule(crash_at=st.sampled_from(CRASHES))
    def a_worker_takes_a_job(self, crash_at: str | None) -> None:
        async def take() -> Job:
            taken: list[Job] = []
            stop = asyncio.Event()
            handle = self._handler(crash_at)

            async def once(job: Job) -> None:
                taken.append(job)
                stop.set()
                await handle(job)

            info = WorkerInfo(worker_id=uuid.uuid4().hex, pid=1, model="tiny", device="CPU", precision="f32")
            async with asyncio.timeout(30):
                await self.queue.work(once, info=info, stop=stop)
            return taken[0]

        self._happened(self.runner.run(take()), crash_at)

    @precondition(lambda self: self.model.owed)
    @rule(data=st.data())
    def two_workers_have_the_same_job(self, data: st.DataObject) -> None:
        """The lease of one ran out while it worked. Neither acknowledges."""
        digest, tier = data.draw(st.sampled_from(sorted(self.model.owed)))
        job = self._job(KIND_OF[digest], Tier(tier))

        async def both() -> None:
            await asyncio.gather(self._handler(None)(job), self._handler(None)(job), return_exceptions=True)

        self.runner.run(both())
        self._happened(job, "after the charge")

    @rule()
    def the_web_process_starts_again(self) -> None:
        self._start_web()

    @rule(hours=st.sampled_from([1, 24, 31 * 24]))
    def time_goes_by_and_old_holds_are_looked_at(self, hours: int) -> None:
        self.now += hours * 3600
        ledger = self._ledger(Ledger)
        self.runner.run(settle_forgotten_holds(ledger, queue=self.queue, mattes=Mattes(self.blobs)))
        for key in list(self.model.held):
            thing = key[1:]
            if thing in self.model.owed:
                continue
            if thing in self.model.made and KIND_OF[thing[0]].startswith("subject"):
                self.model.charge(key, 0, month_of(self.now))
            else:
                del self.model.held[key]

    @invariant()
    def what_is_written_is_what_should_be(self) -> None:
        def read(db: sa.Connection) -> tuple[dict[ClaimKey, int], dict[ClaimKey, int], dict[tuple[str, str], int]]:
            paid = {(row.token, row.origin_digest, row.tier): row.credits for row in db.execute(sa.select(charges))}
            held = {(row.token, row.origin_digest, row.tier): row.credits for row in db.execute(sa.select(holds))}
            spent = {(row.token, row.month): row.charged for row in db.execute(sa.select(balances)) if row.charged}
            return paid, held, spent

        paid, held, spent = self.runner.run(self.database.read(read))
        assert paid == self.model.paid
        assert held == self.model.held
        assert spent == {key: credits for key, credits in self.model.spent.items() if credits}
        month = month_of(self.now)
        for token, limit in LIMITS.items():
            of_token = sum(credits for key, credits in held.items() if key[0] == token)
            assert limit is None or spent.get((token, month), 0) + of_token <= limit

    def _job(self, kind: str, tier: Tier) -> Job:
        recipe_id = self.engine.recipe.by_tier[tier].id
        name = keys.matte_name(DIGESTS[kind], 0, recipe_id)
        return Job(key=name, origin_digest=DIGESTS[kind], page=0, recipe_id=recipe_id)

    def _happened(self, job: Job, crash_at: str | None) -> None:
        """A worker had the job and died where it says."""
        tier = next(tier for tier, recipe in self.engine.recipe.by_tier.items() if recipe.id == job.recipe_id)
        thing = (job.origin_digest, tier.value)
        broken = KIND_OF[job.origin_digest] == "broken"
        if broken:  # no matte is stored, so only a crash about the charge can happen
            reached = crash_at not in ("before the charge",)
            ended = crash_at not in ("before the charge", "after the charge")
        else:
            dies_at_matte = crash_at in ("before the matte", "after the matte") and thing not in self.model.made
            reached = not dies_at_matte and crash_at != "before the charge"
            ended = reached and crash_at != "after the charge"
            if crash_at != "before the matte":
                self.model.made.add(thing)
        if reached:
            self.model.settle(thing, month_of(self.now))
        if reached and not ended:
            # The web process believes for 20 s in a hold that was dropped while its job is owed; let them be over. What
            # is made meanwhile is charged, within the limit, when it is asked for.
            self._start_web()
        if ended:
            self.model.owed.discard(thing)
            if broken:
                self.model.failed.add(thing)


def _wish(token: Token, kind: str, tier: Tier, *, stranger: bool) -> Wish:
    host = "elsewhere.example" if stranger else "img.shop.example"
    facts = ImageFacts(format=ImageFormat.PNG, width=32, height=24, has_alpha=False)
    origin = Origin(
        digest=DIGESTS[kind],
        facts=facts,
        size_bytes=len(PICTURES[kind]),
        url=f"http://{host}/a",
        source=f"{host}/a",
        record_key="r",
    )
    ref = OriginRef(host=host, path="/a.png")
    return Wish(token=token, ref=ref, origin=origin, tier=tier)


@pytest.fixture(scope="module")
def engine(tiny_model: TinyModel) -> Engine:
    return Engine(models_dir=tiny_model.models_dir, model="tiny", cards=tiny_model.cards, precision="f32", threads=1)


def test_whatever_happens_everybody_pays_once(database_url: str, engine: Engine) -> None:
    machine = type("BoundAccounts", (Accounts,), {"url": database_url, "engine": engine})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=settings.default.max_examples // 4,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
