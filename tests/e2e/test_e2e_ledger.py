"""Credits, through real processes: killed workers, parallel requests against a limit, customers told apart."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from e2e_server import DEADLINE_S, PellucidServer, PhotoOrigin, StartServer

from database_fixtures import make_postgres_database
from pellucid.customers.customer import hash_key, make_key

REMOVALS = int(os.environ.get("TEST_REMOVALS", "60"))
"""60 and a worker killed after every 7 show in some twenty seconds what 300 show at night."""

KILL_EVERY = 7
BATCH = 60


def _rows(database: Path | str, query: str) -> list[tuple[Any, ...]]:
    """Of a file, or of a PostgreSQL by its URL."""
    if isinstance(database, Path):
        with closing(sqlite3.connect(database)) as db:
            return db.execute(query).fetchall()
    engine = sa.create_engine(sa.make_url(database).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


@contextmanager
def _killing_workers(server: PellucidServer, database: Path | str, *, every: int) -> Iterator[list[int]]:
    """Kill a matte worker after every so many charges, wherever it is in its next job; yields the ids of the killed."""
    stop, killed = threading.Event(), list[int]()

    def kill() -> None:
        due = every
        while not stop.wait(0.02):
            if _rows(database, "SELECT count(*) FROM charges")[0][0] >= due:
                time.sleep(random.uniform(0, 0.3))
                for pid in random.sample(server.pids("pellucid: matte worker"), 1):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                due += every

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_removals_with_workers_killed_are_charged_once_each(
    start_server: StartServer, origin: PhotoOrigin, bowl_jpg: bytes, kind: str, request: pytest.FixtureRequest
) -> None:
    url = "" if kind == "sqlite" else make_postgres_database(request.getfixturevalue("postgres_server"))
    server = start_server(
        PELLUCID_WORKERS="2",
        PELLUCID_QUEUE_MAX_ATTEMPTS="50",
        PELLUCID_WEB_PROCESSES="2",
        PELLUCID_LOG_LEVEL="error",
        PELLUCID_DATABASE_URL=url,
    )
    database = url or server.database
    urls = [f"{origin.put(f'/pay-{n}.jpg', bowl_jpg)}?w=32&bg_remove=1&bg_quality=fast" for n in range(REMOVALS)]
    deadline = time.monotonic() + 10 * DEADLINE_S
    with _killing_workers(server, database, every=KILL_EVERY) as killed, ThreadPoolExecutor(8) as pool:
        for first in range(0, REMOVALS, BATCH):
            waiting = urls[first : first + BATCH]
            while waiting:
                states = pool.map(lambda url: server.ask(url).state, [*waiting, *waiting[:10]])
                waiting = [url for url, state in zip(waiting, states, strict=False) if state != "ready"]
                assert time.monotonic() < deadline, f"{len(waiting)} are not ready"
                time.sleep(1)
    assert len(killed) >= REMOVALS // KILL_EVERY - 2
    assert _rows(database, "SELECT count(*), sum(credits) FROM charges") == [(REMOVALS, 100 * REMOVALS)]
    assert _rows(database, "SELECT sum(charged) FROM balances") == [(100 * REMOVALS,)]
    assert _rows(database, "SELECT count(*) FROM holds") == [(0,)]
    assert _rows(database, "SELECT count(*) FROM removals") == [(0,)]


def test_100_parallel_requests_cannot_overrun_the_limit(
    start_server: StartServer, origin: PhotoOrigin, bowl_jpg: bytes
) -> None:
    """Credits for seven, two web processes, a hundred pictures at the same moment."""
    server = start_server(PELLUCID_WEB_PROCESSES="2", PELLUCID_CREDITS_PER_MONTH="1500", PELLUCID_OPEN="true")
    urls = [f"{origin.put(f'/limit-{n}.jpg', bowl_jpg)}?w=32&bg_remove=1" for n in range(100)]
    start = threading.Barrier(100)

    def ask(url: str) -> str:
        start.wait()
        return server.ask(url).state

    with ThreadPoolExecutor(100) as pool:
        states = list(pool.map(ask, urls))
    assert states.count("no-credits") == 93
    allowed = [url for url, state in zip(urls, states, strict=True) if state != "no-credits"]
    refused = next(url for url, state in zip(urls, states, strict=True) if state == "no-credits")
    for url in allowed:
        ready = server.wait_for(url, "ready")
        assert ready.headers["pellucid-credits"].startswith("charged=200;remaining=100;resets=")
    assert _rows(server.database, "SELECT count(*), sum(credits) FROM charges") == [(7, 1400)]
    answer = server.ask(refused)
    assert (answer.status, answer.state) == (200, "no-credits")
    assert answer.headers["cache-control"] == "public, max-age=300, s-maxage=300"
    # The other tiers have other prices: a fast one is still affordable, and takes what is left.
    server.wait_for(f"{refused}&bg_quality=fast", "ready")
    status = json.loads(server.ask(f"/-/status{refused}&bg_quality=fast").body)
    assert status["credits"].items() >= {"price": 100, "charged": 100, "remaining": 0}.items()
    assert status["credits"]["resets_at"].endswith("-01T00:00:00Z")


def test_customers_are_told_apart_and_each_pays(
    start_server: StartServer, origin: PhotoOrigin, bowl_jpg: bytes
) -> None:
    key = make_key()
    tokens = {
        "shop": {"hosts": ["img.shop.example"], "credits_per_month": 1000, "origins": ["127.0.0.1"]},
        "blog": {"key_hash": hash_key(key)},
        "poor": {"hosts": ["poor.example"], "credits_per_month": 0, "open": True},
    }
    server = start_server(PELLUCID_TOKENS=json.dumps(tokens))
    url = origin.put("/customers.jpg", bowl_jpg) + "?w=64&bg_remove=1"
    shop, blog = {"Host": "img.shop.example"}, {"Authorization": f"Bearer {key}"}
    assert server.ask(url, **shop).state == "pending"
    ready = server.wait_for(url, "ready", **shop)
    assert ready.headers["pellucid-credits"].startswith("charged=200;remaining=800")
    assert ready.headers["cache-control"].startswith("public")

    # The matte is there, but the blog has not paid: asking for its status charges nothing, asking for it does.
    assert json.loads(server.ask(f"/-/status{url}", **blog).body)["state"] == "unasked"
    answer = server.ask(url, **blog)
    assert (answer.state, answer.headers["pellucid-credits"]) == ("ready", "charged=200")
    assert answer.headers["cache-control"] == "private, max-age=2592000"
    assert answer.body == ready.body
    assert server.ask(url, Host="poor.example").state == "no-credits"
    for nobody in ({}, {"Host": "elsewhere.example"}, {"Authorization": "Bearer guess"}):
        for path in (url, f"/-/status{url}", f"/-/events{url}"):
            answer = server.ask(path, **nobody)
            assert answer.status == 401, path
            assert answer.headers["cache-control"] == "no-store"
    charged = _rows(server.database, "SELECT token, credits, origin_host FROM charges ORDER BY token")
    assert charged == [("blog", 200, origin.host), ("shop", 200, origin.host)]
    assert Counter(server.ask(url, **shop).status for _ in range(3)) == {200: 3}
