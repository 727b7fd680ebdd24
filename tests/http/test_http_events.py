"""Streams of events: how many at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from contract_world import ask, photo, running, settings_for
from starlette.types import ASGIApp, Message


class Client:
    """Opens a stream and leaves when `left` is set."""

    def __init__(self, app: ASGIApp, url: str) -> None:
        self.left = asyncio.Event()
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "path": url,
            "raw_path": url.encode(),
            "query_string": b"bg_remove=1",
            "headers": [],
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status.set_result(message["status"])


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
