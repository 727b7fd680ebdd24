"""Streams of events: how many at a time, what they share, and when they look."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from contract_world import ask, owe, photo, put_matte, running, settings_for
from event_client import Client

from pellucid.concurrency.clients import Client as Address
from pellucid.customers.customer import Customer
from pellucid.http.app import App
from pellucid.pipeline.deliver import Pipeline
from pellucid.pipeline.states import CutoutStatus
from pellucid.queue.queue import Queue
from pellucid.settings.model import SettingsTree
from pellucid.spec import Spec
from pellucid.wiring.storage import open_database, open_queue


class Looks:
    """Counts looks at cutouts, which are made all the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.backlogs = 0
        look, backlog = Pipeline.cutout_status, Queue.backlog

        async def counted(
            pipeline: Pipeline, customer: Customer, spec: Spec, *, client: Address, has_key: bool
        ) -> CutoutStatus:
            self.count += 1
            return await look(pipeline, customer, spec, client=client, has_key=has_key)

        async def counted_backlog(queue: Queue) -> Any:
            self.backlogs += 1
            return await backlog(queue)

        monkeypatch.setattr(Pipeline, "cutout_status", counted)
        monkeypatch.setattr(Queue, "backlog", counted_backlog)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


def _pictures(tmp_path: Path, number: int) -> list[str]:
    """That many pictures, as they are asked for."""
    for each in range(number):
        (tmp_path / "pictures" / f"{each}.jpg").write_bytes(photo(each))
    return [f"/_p_/{each}.jpg?bg_remove=1" for each in range(number)]


def _query(urls: list[str]) -> str:
    return "&".join("url=" + quote(url, safe="") for url in urls)


async def test_a_burst_does_not_overrun_the_limit_and_who_leaves_makes_room(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, web={"event_streams": 3})
    (tmp_path / "pictures" / "a.jpg").write_bytes(photo(1))
    async with running(settings) as app:
        url = "/-/events/_p_/a.jpg"
        await ask(app, "GET", "/_p_/a.jpg?bg_remove=1")
        clients = [Client(app, url) for _ in range(10)]
        async with asyncio.timeout(20):
            statuses = await asyncio.gather(*(each.status for each in clients))
            assert sorted(statuses) == [200] * 3 + [503] * 7
            assert await Client(app, url).status == 503
            for each in clients:
                each.left.set()
            await asyncio.gather(*(each.task for each in clients))
            again = Client(app, url)
            assert await again.status == 200
            again.left.set()
            await again.task


@pytest.mark.slow
async def test_all_streams_of_a_picture_share_its_looks(tmp_path: Path, looks: Looks) -> None:
    settings = settings_for(tmp_path)
    urls = _pictures(tmp_path, 20)
    async with running(settings) as app:
        for url in urls:
            await ask(app, "GET", url)
        wide = [f"{url}&w={width}" for url in urls for width in (20, 30)]
        clients = [Client(app, "/-/events", _query(wide)) for _ in range(10)]
        for each in clients:
            assert await each.status == 200
            await each.hears("19.jpg")
        assert looks.count == 20
        before = looks.backlogs
        await asyncio.sleep(2.5)
        assert looks.count == 20, "a job that waits is not looked at, but for its position"
        assert looks.backlogs - before <= 3, "one look for all positions"
        assert clients[0].text.count("event: pending") >= 40
        for each in clients:
            await each.leave()


async def test_a_clients_slow_origins_hold_up_nobody_elses_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Pipeline.cutout_status

    async def slow(
        self: Pipeline, customer: Customer, spec: Spec, *, client: Address, has_key: bool = False
    ) -> CutoutStatus:
        if spec.origin.path != "/0.jpg":
            await asyncio.sleep(60)
        return await real(self, customer, spec, client=client, has_key=has_key)

    monkeypatch.setattr(Pipeline, "cutout_status", slow)
    settings = settings_for(tmp_path)
    hero, *hanging = _pictures(tmp_path, 21)
    async with running(settings) as app:
        await ask(app, "GET", hero)
        stranger = Client(app, "/-/events", _query([*hanging, hero]), address="192.0.2.1")
        assert await stranger.status == 200
        visitor = Client(app, "/-/events", _query([hero]), address="192.0.2.2")
        await visitor.hears("event: pending")
        await stranger.hears("event: pending")  # told by the visitor's look
        await visitor.leave()
        await stranger.leave()


@pytest.mark.slow
async def test_what_cannot_change_by_itself_is_woken(tmp_path: Path, looks: Looks) -> None:
    settings = settings_for(tmp_path)
    here, elsewhere = _pictures(tmp_path, 2)
    async with running(settings) as app:
        client = Client(app, "/-/events", _query([here, elsewhere]))
        await client.hears("1.jpg")
        assert client.text.count("event: unasked") == 2
        await asyncio.sleep(2.2)
        assert looks.count == 2
        await ask(app, "GET", here)
        await client.hears("event: pending")
        await _owe_elsewhere(settings, photo(1))
        await client.hears("event: pending", times=2)
        assert looks.count <= 5
        await client.leave()


async def _owe_elsewhere(settings: SettingsTree, data: bytes) -> None:
    """As a request in another process does."""
    async with open_database(settings) as database, open_queue(settings, database) as queue:
        await owe(queue, data)


async def test_pictures_are_bounded_by_client_and_in_all(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, web={"event_pictures": 25, "event_pictures_per_client": 15})
    urls = _pictures(tmp_path, 10)
    async with running(settings) as app:

        def stream(address: str) -> Client:
            return Client(app, "/-/events", _query(urls), address=address)

        clients = [stream(address) for address in ("192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2", "192.0.2.3")]
        assert [await each.status for each in clients] == [200, 503, 200, 503, 503]
        await clients[0].leave()
        assert await stream("192.0.2.3").status == 200


async def test_streams_end_when_the_process_stops(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, web={"wait_s": 25})
    [url] = _pictures(tmp_path, 1)
    async with running(settings) as app:
        assert isinstance(app, App)
        await ask(app, "GET", url)
        client = Client(app, "/-/events/_p_/0.jpg")
        await client.hears("event: pending")
        held = asyncio.create_task(ask(app, "GET", f"{url}&bg_pending=wait"))
        await asyncio.sleep(0.3)
        app.stop_waiting()
        async with asyncio.timeout(5):
            await client.task
            answer = await held
        assert client.text.count("retry:") == 2
        assert answer.status == 200
        assert answer.headers["pellucid-cutout"].startswith("pending")


async def test_a_slow_origin_holds_up_no_other_picture(tmp_path: Path, looks: Looks) -> None:
    settings = settings_for(tmp_path, origin={"allow_networks": ["127.0.0.0/8"], "allow_ports": None})
    [url] = _pictures(tmp_path, 1)
    await put_matte(settings, photo(0), empty=True)
    stop = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stop.wait()
        writer.close()

    never = await asyncio.start_server(say_nothing, "127.0.0.1")
    port = never.sockets[0].getsockname()[1]
    async with never, running(settings) as app:
        slow = [f"/http://127.0.0.1:{port}/{each}.jpg?bg_remove=1" for each in range(8)]
        clients = [Client(app, "/-/events", _query(slow), address=f"192.0.2.{last}") for last in (1, 2)]
        client = Client(app, "/-/events", _query([url]), address="192.0.2.3")
        async with asyncio.timeout(2):
            await client.hears("event: no-subject")
        stop.set()
        for each in (*clients, client):
            await each.leave()
