"""Requests, workers, crashes and months in any order, against a plain model of who owes what.

Everything is real: the queue, the store, the ledger on both databases, the worker's handler with a tiny model. Only the
clock is turned by hand, and a crash is where a worker stops: before and after each of its steps, and in the middle of
the transaction that ends a removal.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from PIL import Image

from pellucid.customers.customer import Customer, Customers
from pellucid.database.database import Database
from pellucid.database.tables import METADATA, balances, charges, holds, identity, removals
from pellucid.engine import Engine
from pellucid.formats import ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import month_of
from pellucid.liveness.lock_files import LockFiles
from pellucid.mattes.files import MatteFiles
from pellucid.pipeline.cutouts import CutoutRequest, CutoutResolver
from pellucid.pipeline.spending import ORIGIN_NOT_LISTED
from pellucid.pipeline.states import CutoutState
from pellucid.queue.course import Course
from pellucid.queue.queue import Queue
from pellucid.queue.turns import RetryPolicy
from pellucid.queue.values import Handler, Job, JobPermanentError
from pellucid.source.origin import Origin
from pellucid.source.origins import Origins
from pellucid.spec import OriginRef, Tier, Token
from pellucid.store import keys
from pellucid.store.objects import ObjectBlobs
from pellucid.worker import matte_handler
from tiny import TinyModel, with_grain

PRICES = {Tier.FAST: 100, Tier.STANDARD: 200, Tier.BEST: 400}
LIMITS = {Token("poor"): 500, Token("rich"): None}
CUSTOMERS = {
    token: Customer(token=token, credits_per_month=limit, origins=("shop.example",)) for token, limit in LIMITS.items()
}
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
    Image.fromarray(with_grain(pixels)).save(out, "PNG")
    return out.getvalue()


KINDS = ("subject a", "subject b", "subject c", "empty", "broken")
PICTURES = {kind: _png(kind) for kind in KINDS}
DIGESTS = {kind: keys.digest(data) for kind, data in PICTURES.items()}
KIND_OF = {digest: kind for kind, digest in DIGESTS.items()}


class CrashingLedger(Ledger):
    """Dies in the middle of the transaction: charged, and nothing else done yet."""

    def settle(self, db: sa.Connection, **more: Any) -> int:
        super().settle(db, **more)
        raise CrashError


CRASHES = (None, "claimed", "matte written", "in the transaction", "committed")
"""After which step the worker dies."""


@dataclass
class Model:
    """What should be so."""

    paid: dict[ClaimKey, int] = field(default_factory=dict[ClaimKey, int])
    spent: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    held: dict[ClaimKey, int] = field(default_factory=dict[ClaimKey, int])
    made: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    owed: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    """When each was asked for last."""
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

    def status(self, token: Token, kind: str, tier: Tier, month: str, *, stranger: bool) -> CutoutState:
        digest = DIGESTS[kind]
        key, thing = (token, digest, tier.value), (digest, tier.value)
        if thing in self.made and (kind == "empty" or key in self.paid):
            return CutoutState.NO_SUBJECT if kind == "empty" else CutoutState.READY
        if thing in self.failed:
            return CutoutState.FAILED
        if not self.may_have(token, kind, tier, month, stranger=stranger):
            return CutoutState.NO_CREDITS
        return CutoutState.PENDING if thing in self.owed else CutoutState.UNASKED

    def ask(self, token: Token, kind: str, tier: Tier, now: float, *, stranger: bool) -> CutoutState:
        digest, month = DIGESTS[kind], month_of(now)
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
        self.owed[thing] = now
        return CutoutState.PENDING

    def settle(self, thing: tuple[str, str], month: str) -> None:
        """A removal has ended."""
        for key in [key for key in self.held if key[1:] == thing]:
            if KIND_OF[thing[0]].startswith("subject"):
                self.charge(key, 0, month)
            else:
                del self.held[key]
        del self.owed[thing]

    def expire(self, now: float) -> None:
        """What nobody asked for in too long is owed no more, and what was held for it is free."""
        for thing in [thing for thing, asked_at in self.owed.items() if asked_at < now - PATIENCE.wait_s]:
            del self.owed[thing]
            for key in [key for key in self.held if key[1:] == thing]:
                del self.held[key]


PATIENCE = RetryPolicy(attempts=10**6, backoff_s=0, failure_s=1e9, failure_max_s=1e9)


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
        url = sa.make_url(self.url)
        self.reading = sa.create_engine(url if self.database.is_sqlite else url.set(drivername="postgresql+psycopg"))

        def wipe(db: sa.Connection) -> None:
            for table in METADATA.sorted_tables:
                if table is not identity:
                    db.execute(table.delete())

        await self.database.run(wipe)
        self.queue = Queue(
            self.database,
            store="s",
            registry=LockFiles(root / "workers"),
            ledger=self._ledger(Ledger),
            retry_policy=PATIENCE,
            clock=lambda: self.now,
        )
        self.blobs = ObjectBlobs.local(root / "store")
        for data in PICTURES.values():
            await self.blobs.put(keys.origin_bytes_key(keys.digest(data)), data)
        self._start_web()

    def _start_web(self) -> None:
        """A web process as it is after its start, without a memory."""
        self.cutouts = CutoutResolver(
            queue=self.queue,
            origins=cast(Origins, None),  # asked for former bytes only, which these pictures never had
            ledger=self._ledger(Ledger),
            customers=Customers(CUSTOMERS.values()),
            recipe=self.engine.recipe,
            show_stale=True,
        )

    def _ledger(self, kind: type[Ledger]) -> Ledger:
        return kind(price=PRICES.__getitem__, limit=LIMITS.__getitem__)

    def _course(self, kind: type[Ledger] = Ledger) -> Course:
        return replace(self.queue.course, ledger=self._ledger(kind))

    def _handler(self) -> Handler:
        return matte_handler(self.engine, origins=self.blobs, mattes=MatteFiles(self.blobs), time_limit_s=60)

    def teardown(self) -> None:
        async def close() -> None:
            await self.queue.aclose()
            await self.database.aclose()
            self.reading.dispose()

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
        request, month = _wish(token, kind, tier, stranger=stranger), month_of(self.now)
        looked = self.runner.run(self.cutouts.status(request))
        assert looked.state is self.model.status(token, kind, tier, month, stranger=stranger)
        cutout = self.runner.run(self.cutouts.resolve(request))
        assert cutout.state is self.model.ask(token, kind, tier, self.now, stranger=stranger)
        assert (cutout.matte is not None) is (cutout.state is CutoutState.READY)
        for each in (looked, cutout):
            strange = stranger and each.state is CutoutState.NO_CREDITS
            assert each.reason == (ORIGIN_NOT_LISTED if strange else None)

    @precondition(lambda self: self.model.owed)
    @rule(crash_at=st.sampled_from(CRASHES))
    def a_worker_takes_a_removal(self, crash_at: str | None) -> None:
        self.runner.run(self._work(crash_at))

    async def _work(self, crash_at: str | None) -> None:
        worker = uuid.uuid4().hex
        job = await self._claim(worker)
        thing = self._thing(job)
        if crash_at != "claimed":
            await self._end(job, worker, crash_at)
        if crash_at in ("claimed", "matte written", "in the transaction"):
            await self.database.run(partial(self._course().put_back_lost, dead=[worker]))
        elif crash_at in (None, "committed"):
            self.model.settle(thing, month_of(self.now))

    @precondition(lambda self: self.model.owed)
    @rule()
    def two_workers_have_the_same_removal(self) -> None:
        """The lease of one ran out while it worked; it writes down last what it has done, or first."""
        self.runner.run(self._work_twice())

    async def _work_twice(self) -> None:
        slow, other = uuid.uuid4().hex, uuid.uuid4().hex
        job = await self._claim(slow)
        await self.database.run(partial(self._course().put_back_lost, dead=[slow]))
        again = await self._claim(other)
        while again.key != job.key:  # another is first in line: it is done on the way
            await self._end(again, other, None)
            self.model.settle(self._thing(again), month_of(self.now))
            again = await self._claim(other)
        await self._end(job, slow, None)
        self.what_is_written_is_what_should_be()
        await self._end(again, other, None)
        self.model.settle(self._thing(job), month_of(self.now))

    async def _claim(self, worker: str) -> Job:
        recipes = [recipe.id for recipe in self.engine.recipe.by_tier.values()]
        job = await self.database.run(partial(self._course().claim, worker_id=worker, recipes=recipes))
        assert job is not None
        assert self._thing(job) in self.model.owed
        return job

    async def _end(self, job: Job, worker: str, crash_at: str | None) -> None:
        """From the claim to the end of the removal, or to where the worker dies."""
        thing = self._thing(job)
        course = self._course(CrashingLedger if crash_at == "in the transaction" else Ledger)
        try:
            facts = await self._handler()(job)
        except JobPermanentError as error:
            end = partial(course.refuse, job=job, worker_id=worker, reason=error.reason, error="")
            refused = True
        else:
            end = partial(course.done, job=job, worker_id=worker, facts=facts, job_s=1.0)
            refused = False
        if crash_at == "matte written":
            return
        try:
            await self.database.run(end)
        except CrashError:
            assert crash_at is not None
            return
        if refused:
            self.model.failed.add(thing)
        else:
            self.model.made.add(thing)

    @precondition(lambda self: self.model.made)
    @rule(data=st.data())
    def a_matte_is_lost(self, data: st.DataObject) -> None:
        """Its file is gone: it is made again for those who paid, at no cost."""
        thing = data.draw(st.sampled_from(sorted(self.model.made)))
        name = keys.matte_name(thing[0], 0, self.engine.recipe.by_tier[Tier(thing[1])].id)
        self.runner.run(self.blobs.delete(keys.matte_key(name)))
        self.runner.run(self.cutouts.forget(name))
        self.model.made.discard(thing)

    @rule()
    def the_web_process_starts_again(self) -> None:
        self._start_web()

    @rule(hours=st.sampled_from([1, 5, 24, 31 * 24]))
    def time_goes_by(self, hours: int) -> None:
        self.now += hours * 3600
        served = [recipe.id for recipe in self.engine.recipe.by_tier.values()]
        self.runner.run(self.database.run(partial(self._course().expire, served=served)))
        self.model.expire(self.now)

    @invariant()
    def what_is_written_is_what_should_be(self) -> None:
        def read(db: sa.Connection) -> tuple[Any, ...]:
            paid = {(row.token, row.origin_digest, row.tier): row.credits for row in db.execute(sa.select(charges))}
            held = {(row.token, row.origin_digest, row.tier): row.credits for row in db.execute(sa.select(holds))}
            spent = {(row.token, row.month): row.charged for row in db.execute(sa.select(balances)) if row.charged}
            owed = {
                (row.origin_digest, row.recipe_id.split("-")[2]): row.state
                for row in db.execute(sa.select(removals).where(removals.c.state != "failed"))
            }
            waiting_for = {(row.origin_digest, row.tier) for row in db.execute(sa.select(holds))}
            return paid, held, spent, owed, waiting_for

        paid, held, spent, owed, waiting_for = self._read(read)
        assert set(owed) == set(self.model.owed)
        assert waiting_for <= set(owed), "nothing is held for what is not owed"
        assert paid == self.model.paid
        assert held == self.model.held
        assert spent == {key: credits for key, credits in self.model.spent.items() if credits}
        month = month_of(self.now)
        for token, limit in LIMITS.items():
            of_token = sum(credits for key, credits in held.items() if key[0] == token)
            assert limit is None or spent.get((token, month), 0) + of_token <= limit

    def _read(self, work: Callable[[sa.Connection], Any]) -> Any:
        """In a connection of its own, also while the loop runs."""
        with self.reading.connect() as db:
            return work(db)

    def _thing(self, job: Job) -> tuple[str, str]:
        tier = next(tier for tier, recipe in self.engine.recipe.by_tier.items() if recipe.id == job.recipe_id)
        return job.origin_digest, tier.value


def _wish(token: Token, kind: str, tier: Tier, *, stranger: bool) -> CutoutRequest:
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
    return CutoutRequest(customer=CUSTOMERS[token], ref=ref, origin=origin, tier=tier)


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
