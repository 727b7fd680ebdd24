"""The sender: its requests, which responses count as accepted, and addresses that are refused."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from notify_world import IMAGE, KEY, Receiver, make_pending, run_sender
from origin_servers import serving, serving_raw
from queue_helpers import SOON_S, MakeProcess, MovableClock, Process, until

from pellucid.notify.cdn import CdnApi
from pellucid.notify.purge import CdnPurger
from pellucid.source.netguard import Guard

DAY_S = 86_400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pellucid.sqlite"


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def make_process(path: Path, tmp_path: Path) -> AsyncGenerator[MakeProcess]:
    make = MakeProcess(f"sqlite:///{path}", tmp_path / "workers")
    yield make
    await make.aclose()


@pytest.fixture
async def process(make_process: MakeProcess, clock: MovableClock) -> Process:
    return await make_process(clock=clock)


def rows(path: Path) -> list[tuple[int, float]]:
    """(failed attempts, due time in seconds since the epoch) of the pending deliveries."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT attempts, due_at FROM outbox ORDER BY due_at, created_at").fetchall()


def has_failed(path: Path, attempts: int) -> Callable[[], bool]:
    return lambda: [row[0] for row in rows(path)] == [attempts]


def nothing_pending(path: Path) -> Callable[[], bool]:
    return lambda: rows(path) == []


# Requests


async def test_a_webhook_is_signed_and_says_what_happened(path: Path, process: Process, clock: MovableClock) -> None:
    receiver = Receiver()
    async with serving(receiver.answer) as server:
        await make_pending(process, f"{server.url}/a%2Fb?x=%20+1")
        async with run_sender(process.outbox, keys=(KEY, bytes(24)), clock=clock):
            await until(nothing_pending(path))
    (call,) = receiver.calls
    assert (call.method, call.path) == ("POST", "/a%2Fb?x=%20+1")
    assert call.headers["content-type"] == "application/json"
    assert call.headers["user-agent"].startswith("Pellucid/")
    assert call.headers["webhook-timestamp"] == str(int(clock.now))
    assert call.is_signed_by(KEY)
    assert call.is_signed_by(bytes(24)), "during a change of secrets, both are valid"
    assert not call.is_signed_by(b"another secret, never used")
    message = json.loads(call.body)
    assert message["type"] == "cutout.ready"
    assert message["data"]["image"] == IMAGE


async def test_every_attempt_has_a_new_signature_and_the_same_id(
    path: Path, process: Process, clock: MovableClock
) -> None:
    receiver = Receiver(statuses=[500, 204])
    async with serving(receiver.answer) as server:
        await make_pending(process, server.url)
        async with run_sender(process.outbox, clock=clock):
            await until(has_failed(path, 1))
            clock.now += 7
            await until(nothing_pending(path))
    first, second = receiver.calls
    assert (first.id, first.body) == (second.id, second.body)
    assert int(second.headers["webhook-timestamp"]) == int(first.headers["webhook-timestamp"]) + 7
    assert first.is_signed_by(KEY)
    assert second.is_signed_by(KEY)


# Responses


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_accepted(path: Path, process: Process, clock: MovableClock, status: int) -> None:
    receiver = Receiver(statuses=[status], body=b"thanks")
    async with serving(receiver.answer) as server:
        await make_pending(process, server.url)
        async with run_sender(process.outbox):
            await until(nothing_pending(path))
            clock.now += DAY_S
            await asyncio.sleep(0.1)
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500, 503])
async def test_a_delivery_that_is_not_accepted_is_retried(
    path: Path, process: Process, clock: MovableClock, status: int
) -> None:
    receiver = Receiver(statuses=[status, 200], headers={"Location": "/elsewhere"})
    async with serving(receiver.answer) as server:
        await make_pending(process, f"{server.url}/hook")
        async with run_sender(process.outbox):
            await until(has_failed(path, 1))
            ((_, due_at),) = rows(path)
            assert clock.now + 5 <= due_at <= clock.now + 6
            clock.now += 6
            await until(nothing_pending(path))
    assert [call.path for call in receiver.calls] == ["/hook", "/hook"], "no redirect is followed"


async def test_a_receiver_that_answers_gone_gets_no_more(
    path: Path, process: Process, clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(statuses=[410])
    async with serving(receiver.answer) as server:
        await make_pending(process, server.url)
        async with run_sender(process.outbox):
            await until(nothing_pending(path))
    assert len(receiver.calls) == 1
    assert "dropped at attempt 1: the receiver wants no more (status 410)" in caplog.text


async def test_attempts_end(path: Path, process: Process, clock: MovableClock) -> None:
    receiver = Receiver(statuses=[500])
    async with serving(receiver.answer) as server:
        await make_pending(process, server.url)
        async with run_sender(process.outbox):
            for attempt in range(1, 8):
                await until(has_failed(path, attempt))
                clock.now += DAY_S
            await until(nothing_pending(path))
    assert len(receiver.calls) == 8
    assert len({call.id for call in receiver.calls}) == 1


async def test_a_pause_that_the_receiver_requests(path: Path, process: Process, clock: MovableClock) -> None:
    receiver = Receiver(statuses=[429], headers={"Retry-After": "120"})
    async with serving(receiver.answer) as server:
        await make_pending(process, server.url)
        async with run_sender(process.outbox):
            await until(has_failed(path, 1))
    ((_, due_at),) = rows(path)
    assert clock.now + 120 <= due_at <= clock.now + 144


async def test_a_receiver_that_never_answers_times_out(path: Path, process: Process) -> None:
    receiver = Receiver(hold=asyncio.Event())
    async with serving(receiver.answer) as server:
        await make_pending(process, server.url)
        async with run_sender(process.outbox, timeout_s=0.2):
            await until(has_failed(path, 1))
    assert len(receiver.calls) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 10_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx",
    ],
)
async def test_only_the_start_of_a_response_matters(path: Path, process: Process, answer: bytes) -> None:
    async with serving_raw(answer, hold=True) as raw:
        await make_pending(process, f"http://127.0.0.1:{raw.port}/")
        async with run_sender(process.outbox):
            await until(nothing_pending(path))
        assert raw.connections == 1


async def test_a_receiver_without_http(path: Path, process: Process, caplog: pytest.LogCaptureFixture) -> None:
    async with serving_raw(b"SSH-2.0-OpenSSH\r\n") as raw:
        await make_pending(process, f"http://127.0.0.1:{raw.port}/")
        with caplog.at_level(logging.WARNING):
            async with run_sender(process.outbox):
                await until(has_failed(path, 1))
    assert "does not speak HTTP" in caplog.text


# Refused addresses


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_private_networks_are_refused(
    path: Path, process: Process, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver()
    async with serving(receiver.answer) as server:
        await make_pending(process, f"http://{host}:{server.port}/")
        with caplog.at_level(logging.WARNING):
            async with run_sender(process.outbox, guard=Guard()):
                await until(has_failed(path, 1))
    assert receiver.calls == []
    assert "PELLUCID_ORIGIN_ALLOW_NETWORKS" in caplog.text


async def test_closed_ports_are_refused(path: Path, process: Process) -> None:
    receiver = Receiver()
    guard = Guard(allow_networks=(IPv4Network("127.0.0.0/8"),), allow_ports=frozenset({80, 443}))
    async with serving(receiver.answer) as server:
        await make_pending(process, server.url)
        async with run_sender(process.outbox, guard=guard):
            await until(has_failed(path, 1))
    assert receiver.calls == []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "no url"])
async def test_an_invalid_url_is_dropped(path: Path, process: Process, url: str) -> None:
    await make_pending(process, url)
    async with run_sender(process.outbox):
        await until(nothing_pending(path))


async def test_without_a_secret_nothing_is_sent(path: Path, process: Process, caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver()
    async with serving(receiver.answer) as server:
        await make_pending(process, server.url)
        async with run_sender(process.outbox, keys=()):
            await until(nothing_pending(path))
    assert receiver.calls == []
    assert "PELLUCID_NOTIFY_SECRET" in caplog.text


# Several at a time


async def test_a_hanging_receiver_blocks_no_other(path: Path, process: Process) -> None:
    slow, quick = Receiver(hold=asyncio.Event()), Receiver()
    async with serving(slow.answer) as slow_server, serving(quick.answer) as server:
        await make_pending(process, *(f"{slow_server.url}/{n}" for n in range(10)), key="slow")
        await make_pending(process, *(f"{server.url}/{n}" for n in range(10)), key="quick")
        async with run_sender(process.outbox, concurrency=8):
            await until(lambda: len(quick.calls) == 10)
            assert 1 <= len(slow.calls) < 8
            assert slow.hold is not None
            slow.hold.set()
            await until(nothing_pending(path))
    assert len({call.id for call in slow.calls}) == len(slow.calls) == 10


async def test_two_senders_send_each_message_once(
    path: Path, process: Process, make_process: MakeProcess, clock: MovableClock
) -> None:
    receiver = Receiver()
    other = await make_process(clock=clock)
    async with serving(receiver.answer) as server:
        for n in range(4):
            await make_pending(process, *(f"{server.url}/{n}/{m}" for m in range(10)), key=f"k{n}")
        async with run_sender(process.outbox, concurrency=3), run_sender(other.outbox, concurrency=3):
            await until(nothing_pending(path))
    assert len(receiver.calls) == len({call.id for call in receiver.calls}) == 40


async def test_stopping_lets_attempts_in_flight_end(path: Path, process: Process) -> None:
    receiver = Receiver(hold=asyncio.Event())
    assert receiver.hold is not None
    async with serving(receiver.answer) as server:
        await make_pending(process, server.url)
        async with run_sender(process.outbox):
            await until(lambda: len(receiver.calls) == 1)
            asyncio.get_running_loop().call_later(0.2, receiver.hold.set)
        assert rows(path) == []


async def test_a_database_that_fails_for_a_moment_stops_no_sender(
    path: Path, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.notify.sender._RETRY_PAUSE_S", 0.05)
    receiver = Receiver()
    async with serving(receiver.answer) as server:
        await make_pending(process, server.url)
        with closing(sqlite3.connect(path)) as db:
            db.execute("ALTER TABLE outbox RENAME TO away")
        async with run_sender(process.outbox):
            await asyncio.sleep(0.2)
            assert receiver.calls == []
            with closing(sqlite3.connect(path)) as db:
                db.execute("ALTER TABLE away RENAME TO outbox")
            await until(nothing_pending(path))


# Purges


async def test_purges_go_to_private_networks_with_the_headers_of_the_settings(path: Path, process: Process) -> None:
    receiver = Receiver(statuses=[200])
    async with serving(receiver.answer) as server:
        cdn = CdnApi(
            method="POST",
            url=f"{server.url}/purge_cache",
            headers={"Authorization": "Bearer t"},
            body='{"tags":{tags}}',
        )
        await CdnPurger(process.outbox, api=cdn, again_s=None).purge(["o-1", "o-2"], ["/a"])
        async with run_sender(process.outbox, guard=Guard(), keys=(), cdn=cdn):
            await until(nothing_pending(path))
    (call,) = receiver.calls
    assert (call.method, call.path, call.headers["authorization"]) == ("POST", "/purge_cache", "Bearer t")
    assert json.loads(call.body) == {"tags": ["o-1", "o-2"]}
    assert "webhook-signature" not in call.headers


async def test_purges_are_retried_with_the_present_settings(
    path: Path, process: Process, clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(statuses=[403, 302, 200], body=b"bad key", headers={"Location": "/elsewhere"})
    async with serving(receiver.answer) as server:
        wrong = CdnApi(method="POST", url=f"{server.url}/purge/{{tag}}", headers={"Fastly-Key": "wrong"}, body="")
        right = CdnApi(method="POST", url=f"{server.url}/service/{{tag}}", headers={"Fastly-Key": "right"}, body="")
        await CdnPurger(process.outbox, api=wrong, again_s=None).purge(["o/1"], [])
        with caplog.at_level(logging.WARNING):
            async with run_sender(process.outbox, cdn=wrong):
                await until(has_failed(path, 1))
        assert "status 403" in caplog.text
        assert "o/1" in caplog.text
        assert "bad key" in caplog.text
        async with run_sender(process.outbox, cdn=right):
            clock.now += 6
            await until(has_failed(path, 2))
            clock.now += 31
            await until(nothing_pending(path))
    assert [(call.path, call.headers["fastly-key"]) for call in receiver.calls] == [
        ("/purge/o%2F1", "wrong"),
        ("/service/o%2F1", "right"),
        ("/service/o%2F1", "right"),
    ]


async def test_responses_in_flight_are_purged_as_well(path: Path, process: Process, clock: MovableClock) -> None:
    receiver = Receiver(statuses=[200, 200])
    async with serving(receiver.answer) as server:
        cdn = CdnApi(method="POST", url=f"{server.url}/purge/{{tag}}", headers={}, body="")
        await CdnPurger(process.outbox, api=cdn, again_s=25).purge(["o1"], [])
        async with run_sender(process.outbox, cdn=cdn):
            await until(lambda: len(receiver.calls) == 1 and len(rows(path)) == 1)
            clock.now += 26
            await until(nothing_pending(path))
    assert [call.path for call in receiver.calls] == ["/purge/o1", "/purge/o1"]


async def test_a_cache_that_has_nothing_counts_as_purged(path: Path, process: Process) -> None:
    receiver = Receiver(statuses=[404])
    async with serving(receiver.answer) as server:
        cdn = CdnApi(method="PURGE", url=server.url + "{url}", headers={}, body="")
        await CdnPurger(process.outbox, api=cdn, again_s=None).purge(
            ["o-1"], ["/h.example/a%20b.png?w=400&bg_remove=1"]
        )
        async with run_sender(process.outbox, cdn=cdn):
            await until(nothing_pending(path))
    assert [(call.method, call.path) for call in receiver.calls] == [
        ("PURGE", "/h.example/a%20b.png?w=400&bg_remove=1")
    ]


async def test_without_a_cdn_nothing_is_queued(path: Path, process: Process) -> None:
    await CdnPurger(process.outbox, api=None, again_s=None).purge(["o-1"], ["/a"])
    cdn = CdnApi(method="POST", url="http://127.0.0.1:1/purge_all", headers={}, body="")
    await CdnPurger(process.outbox, api=cdn, again_s=None).purge([], [])
    assert rows(path) == []
    await CdnPurger(process.outbox, api=cdn, again_s=None).purge(["o-1"], [])
    assert len(rows(path)) == 1
    async with run_sender(process.outbox, cdn=None):
        async with asyncio.timeout(SOON_S):
            await until(nothing_pending(path))
