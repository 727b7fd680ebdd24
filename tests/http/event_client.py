"""A client of `/-/events`, without a network."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message


class Client:
    """Opens a stream and leaves when `left` is set."""

    def __init__(self, app: ASGIApp, url: str, query: str = "bg_remove=1", *, address: str = "127.0.0.1") -> None:
        self.left = asyncio.Event()
        self.text = ""
        self._more = asyncio.Event()
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "path": url,
            "raw_path": url.encode(),
            "query_string": query.encode(),
            "headers": [],
            "client": (address, 1),
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status.set_result(message["status"])
        else:
            self.text += message.get("body", b"").decode()
            self._more.set()

    async def hears(self, text: str, *, times: int = 1) -> None:
        """Wait until `text` was sent."""
        async with asyncio.timeout(20):
            while self.text.count(text) < times:
                self._more.clear()
                await self._more.wait()

    async def leave(self) -> None:
        self.left.set()
        await self.task
