"""The database over HTTP: what goes on while it is away, what needs no query, and what is said of both."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from contract_world import OLDER, Answer, ask, owe, pay, photo, put_matte, running, settings_for, worker_info
from event_client import Client
from starlette.types import ASGIApp

from pellucid.database.database import Database
from pellucid.errors import DatabaseAwayError
from pellucid.ledger.values import Claim
from pellucid.liveness.lock_files import LockFiles
from pellucid.notify.sender import Sender
from pellucid.queue.values import Job, Submission
from pellucid.settings.model import SettingsTree
from pellucid.spec import DEFAULT_TOKEN, Tier, Token
from pellucid.wiring.paths import Paths
from pellucid.wiring.storage import open_database, open_queue

NOBODY = "postgresql://pellucid:topsecret@127.0.0.1:1/pellucid"
"""Where no server listens."""

WORKS = ["pictures", "cutouts that were shown before"]
WAITS = ["new cutouts", "webhooks and purges", "uploads", "usage"]


def _picture(settings: SettingsTree, name: str, data: bytes) -> str:
    (settings.data_dir.parent / "pictures" / name).write_bytes(data)
    return f"/_p_/{name}?w=30&bg_remove=1"


def _document(answer: Answer) -> dict[str, Any]:
    assert answer.headers["cache-control"] == "no-store"
    document: dict[str, Any] = json.loads(answer.body)
    return document


@contextmanager
def _worker(settings: SettingsTree) -> Generator[None]:
    """One that is alive and does nothing."""
    session = LockFiles(Paths.below(settings.data_dir).workers).register(worker_info())
    yield
    session.unregister()


@contextmanager
def _held(settings: SettingsTree) -> Generator[None]:
    """Somebody else writes to the file for too long."""
    with closing(sqlite3.connect(settings.data_dir / "pellucid.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


class Queries:
    """Counts transactions of the whole process; `away` makes all of them fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.away = False
        for name in ("read", "run"):
            self._watch(monkeypatch, name)

    def _watch(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        real = getattr(Database, name)

        def counted(database: Database, *arguments: Any, **more: Any) -> Awaitable[Any]:
            if (database.url.database or "").endswith("cache.sqlite"):
                return real(database, *arguments, **more)  # the cache's own index
            self.count += 1
            if self.away:
                raise DatabaseAwayError("no connection to db.example")
            return real(database, *arguments, **more)

        monkeypatch.setattr(Database, name, counted)


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> Queries:
    # What a process does by itself would be counted as well.
    for chore in ("run_eviction", "run_queue_upkeep", "run_matte_upkeep", "run_upload_expiry"):
        monkeypatch.setattr(f"pellucid.wiring.web.{chore}", lambda *_, **__: asyncio.sleep(0))
    monkeypatch.setattr("pellucid.wiring.web.FOLLOW_S", 1e6)
    monkeypatch.setattr(Sender, "run", lambda _, stop: stop.wait())
    return Queries(monkeypatch)


# Readiness


async def test_without_a_database_server_a_process_starts_and_says_what_works(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, database={"url": NOBODY})
    _picture(settings, "a.jpg", photo(1))
    async with running(settings) as app:
        answer = await ask(app, "GET", "/-/ready")
        document = _document(answer)
        assert (answer.status, document["status"]) == (200, "degraded")
        checks = document["checks"]
        assert (checks["database"], checks["store"], checks["render"]) == ("away, see the log", "ok", "ok")
        assert checks["model"].startswith("unknown while the database is away")
        assert (document["works"], document["waits"]) == (WORKS, WAITS)
        assert "unserved" not in document
        assert b"topsecret" not in answer.body
        assert b"127.0.0.1" not in answer.body
        assert (await ask(app, "GET", "/_p_/a.jpg?w=30")).status == 200
        cut = await ask(app, "GET", "/_p_/a.jpg?w=30&bg_remove=1")
        assert (cut.status, cut.headers["pellucid-cutout"]) == (200, "busy")
        assert "pellucid-credits" not in cut.headers
        status = await ask(app, "GET", "/-/status/_p_/a.jpg?bg_remove=1")
        assert (status.status, json.loads(status.body)["type"]) == (503, "urn:problem-type:pellucid:database")
        assert b"127.0.0.1" not in status.body


async def test_a_database_that_cannot_be_written_to(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    async with running(settings) as app:
        with _worker(settings):
            assert _document(await ask(app, "GET", "/-/ready"))["status"] == "ready"
            with _held(settings):
                answer = await ask(app, "GET", "/-/ready")
            document = _document(answer)
            assert (answer.status, document["status"]) == (200, "degraded")
            assert document["checks"]["database"] == "not writable, see the log"
            assert (document["works"], document["waits"]) == (WORKS, WAITS)
            answer = await ask(app, "GET", "/-/ready")
            assert (answer.status, _document(answer)["status"]) == (200, "ready")
            assert _document(answer).keys() == {"status", "checks", "workers"}


async def test_what_is_missing_beside_the_database_is_no_state_to_send_anybody_to(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, database={"url": NOBODY})
    async with running(settings) as app:
        store = tmp_path / "data" / "store"
        store.rename(tmp_path / "aside")
        store.write_bytes(b"")
        answer = await ask(app, "GET", "/-/ready")
        assert (answer.status, _document(answer)["status"]) == (503, "not ready")
        store.unlink()
        (tmp_path / "aside").rename(store)
        assert _document(await ask(app, "GET", "/-/ready"))["status"] == "degraded"


async def test_what_no_living_worker_makes_is_named(tmp_path: Path) -> None:
    """After a change of the model: what is owed of the old one waits for nobody."""
    settings = settings_for(tmp_path)
    url = _picture(settings, "a.jpg", photo(1))
    async with running(settings) as app:
        with _worker(settings):
            await ask(app, "GET", url)
            assert "unserved" not in _document(await ask(app, "GET", "/-/ready"))
            async with open_database(settings) as database, open_queue(settings, database) as queue:
                for number in range(2):
                    claim = Claim(token=DEFAULT_TOKEN, origin_digest=f"{number:032x}", tier=Tier.STANDARD)
                    job = Job(key=f"k{number}", origin_digest=claim.origin_digest, page=0, recipe_id=OLDER.id)
                    await queue.submit(Submission(job=job, claim=claim))
            answer = await ask(app, "GET", "/-/ready")
            document = _document(answer)
            assert (answer.status, document["status"]) == (200, "ready")
            assert document["unserved"] == {OLDER.id: 2}


# What needs no query


async def test_a_cutout_known_to_be_paid_needs_no_database(tmp_path: Path, queries: Queries) -> None:
    settings = settings_for(tmp_path)
    data, empty = photo(1), photo(2)
    url, nothing = _picture(settings, "a.jpg", data), _picture(settings, "b.jpg", empty)
    await put_matte(settings, data)
    await put_matte(settings, empty, empty=True)
    async with running(settings) as app:
        assert (await ask(app, "GET", url)).headers["pellucid-credits"] == "charged=200"
        assert (await ask(app, "GET", nothing)).headers["pellucid-cutout"] == "no-subject"
        before = queries.count
        # Other widths: they are rendered, and come from no cache of answers.
        for width in range(20, 25):
            answer = await ask(app, "GET", f"{url}&w={width}")
            assert (answer.headers["pellucid-cutout"], answer.headers["pellucid-credits"]) == ("ready", "charged=200")
            answer = await ask(app, "GET", f"{nothing}&w={width}")
            assert answer.headers["pellucid-cutout"] == "no-subject"
        status = _document(await ask(app, "GET", "/-/status/_p_/a.jpg?bg_remove=1"))
        assert (status["state"], status["credits"]) == ("ready", {"price": 200, "charged": 200})
        assert queries.count == before
        queries.away = True
        answer = await ask(app, "GET", f"{url}&w=26")
        assert (answer.status, answer.headers["pellucid-cutout"]) == (200, "ready")


async def test_a_limited_tokens_answer_does_not_fail_without_its_balance(tmp_path: Path, queries: Queries) -> None:
    settings = settings_for(tmp_path, credits={"per_month": 500})
    data = photo(1)
    url = _picture(settings, "a.jpg", data)
    await put_matte(settings, data)
    async with running(settings) as app:
        answer = await ask(app, "GET", url)
        assert answer.headers["pellucid-credits"].startswith("charged=200;remaining=300;resets=")
        queries.away = True
        answer = await ask(app, "GET", f"{url}&w=31")
        assert (answer.status, answer.headers["pellucid-cutout"]) == (200, "ready")
        assert answer.headers["pellucid-credits"] == "charged=200"
        status = _document(await ask(app, "GET", "/-/status/_p_/a.jpg?bg_remove=1"))
        assert (status["state"], status["credits"]) == ("ready", {"price": 200, "charged": 200})
        queries.away = False
        answer = await ask(app, "GET", f"{url}&w=32")
        assert answer.headers["pellucid-credits"].startswith("charged=200;remaining=300;resets=")


async def test_a_process_that_forgot_shows_what_it_rendered_before(tmp_path: Path, queries: Queries) -> None:
    """Its key has the token's name in it, so it was paid for; nothing else is shown, owed or charged."""
    settings = settings_for(tmp_path)
    data, new = photo(1), photo(2)
    url, other = _picture(settings, "a.jpg", data), _picture(settings, "b.jpg", new)
    await put_matte(settings, data)
    async with running(settings) as app:
        before = await ask(app, "GET", url)
        assert before.headers["pellucid-cutout"] == "ready"
    async with running(settings) as app:
        queries.away = True
        answer = await ask(app, "GET", url)
        assert (answer.status, answer.headers["pellucid-cutout"], answer.body) == (200, "ready", before.body)
        for unknown in (f"{url}&w=31", other):
            answer = await ask(app, "GET", unknown)
            assert (answer.status, answer.headers["pellucid-cutout"]) == (200, "busy")
            assert answer.headers["content-type"] == "image/jpeg"
        queries.away = False
        assert (await ask(app, "GET", f"{url}&w=31")).headers["pellucid-cutout"] == "ready"
        assert (await ask(app, "GET", other)).headers["pellucid-cutout"].startswith("pending")


# Nobody to tell


def _notifying(tmp_path: Path, **more: Any) -> SettingsTree:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    return settings_for(tmp_path, notify={"secret": secret, "allow_hosts": ["hooks.example"], **more})


def _ignored(answer: Answer) -> str | None:
    return answer.headers.get("pellucid-ignored")


async def test_who_finds_no_room_for_a_listener_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pellucid.queue.outbox.MAX_LISTENERS", 1)
    settings = _notifying(tmp_path)
    url = _picture(settings, "a.jpg", photo(1))
    async with running(settings) as app:
        notify = f"{url}&bg_notify=https://hooks.example/"
        assert _ignored(await ask(app, "GET", f"{notify}1")) is None
        assert _ignored(await ask(app, "GET", f"{notify}2")) == '"bg_notify"'
        assert _ignored(await ask(app, "GET", f"{notify}2&utm=x")) == '"utm", "bg_notify"'
        assert _ignored(await ask(app, "GET", f"{notify}1")) is None, "it listens already"
        assert _ignored(await ask(app, "GET", url)) is None


async def test_the_operators_listeners_are_no_part_of_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pellucid.queue.outbox.MAX_LISTENERS", 1)
    settings = _notifying(tmp_path, urls=["https://hooks.example/a", "https://hooks.example/b"])
    url = _picture(settings, "a.jpg", photo(1))
    async with running(settings) as app:
        assert _ignored(await ask(app, "GET", url)) is None
        assert _ignored(await ask(app, "GET", f"{url}&bg_notify=https://hooks.example/c")) == '"bg_notify"'


# Without credits


@pytest.fixture
def poor(tmp_path: Path) -> SettingsTree:
    return settings_for(tmp_path, credits={"per_month": 150})


async def _events(app: ASGIApp, url: str) -> str:
    """All that a stream says until it ends."""
    path, _, query = url.partition("?")
    client = Client(app, f"/-/events{path}", query)
    async with asyncio.timeout(10):
        assert await client.status == 200
        await client.task
    return client.text


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("there", [False, True])
async def test_status_and_events_of_a_token_without_credits(poor: SettingsTree, asked: bool, there: bool) -> None:
    """Also where nobody asked for the picture yet, which is no state to wait in."""
    data = photo(1)
    url = _picture(poor, "a.jpg", data)
    if there:
        await put_matte(poor, data)
    async with running(poor) as app:
        if asked:
            assert (await ask(app, "GET", url)).headers["pellucid-cutout"] == "no-credits"
        status = _document(await ask(app, "GET", f"/-/status{url}"))
        assert status["state"] == "no-credits"
        assert (status["credits"]["price"], status["credits"].get("charged", 0)) == (200, 0)
        assert status["credits"]["remaining"] == 150
        said = await _events(app, url)
        assert said.count("event: ") == said.count("event: no-credits") == 1


async def test_what_others_are_owed_is_no_promise_to_who_cannot_pay(poor: SettingsTree) -> None:
    data = photo(1)
    url = _picture(poor, "a.jpg", data)
    rich = SettingsTree.model_validate(poor.model_dump() | {"credits": {"per_month": None}})
    async with running(poor) as app:
        async with open_database(rich) as database, open_queue(rich, database) as queue:
            await owe(queue, data, token=Token("another"))
        assert _document(await ask(app, "GET", f"/-/status{url}"))["state"] == "no-credits"
        assert (await _events(app, url)).count("event: no-credits") == 1


async def test_who_paid_before_the_limit_sees_it(poor: SettingsTree) -> None:
    data = photo(1)
    url = _picture(poor, "a.jpg", data)
    await put_matte(poor, data)
    rich = SettingsTree.model_validate(poor.model_dump() | {"credits": {"per_month": None}})
    await pay(rich, data)
    async with running(poor) as app:
        assert _document(await ask(app, "GET", f"/-/status{url}"))["state"] == "ready"
        assert (await _events(app, url)).count("event: ready") == 1


async def test_a_stream_of_events_waits_for_the_database(
    tmp_path: Path, queries: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ended with a problem would be over for good: its browser is told not to come back."""
    monkeypatch.setattr("pellucid.http.hub._RETRY_S", 0.1)
    settings = settings_for(tmp_path)
    _picture(settings, "a.jpg", photo(1))
    async with running(settings) as app:
        queries.away = True
        client = Client(app, "/-/events/_p_/a.jpg")
        await client.hears("retry:")
        queries.away = False
        await client.hears("event: unasked")
        assert "event: problem" not in client.text
        await client.leave()
