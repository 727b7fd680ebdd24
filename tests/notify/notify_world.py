"""A sender with a real database, a real receiver, and a clock that is set by the test."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from origin_servers import LOOPBACK
from queue_helpers import SOON_S, MovableClock, Process, Recorder, working

from pellucid.notify.cdn import ANYWHERE, CdnApi
from pellucid.notify.sender import Sender
from pellucid.notify.signature import SigningKeys
from pellucid.queue.outbox import Outbox
from pellucid.queue.turns import Urgency
from pellucid.queue.values import Listener
from pellucid.source.netguard import Guard
from pellucid.source.session import GuardedSession

KEY = bytes(range(32))
IMAGE = "/h.example/a.png?bg_remove=1"


@dataclass
class Call:
    """One request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def is_signed_by(self, key: bytes) -> bool:
        """Computed here from the specification, not by the code under test."""
        signed = b".".join([self.id.encode(), self.headers["webhook-timestamp"].encode(), self.body])
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return f"v1,{expected}" in self.headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """Answers calls with the statuses in turn, the last one for ever. `hold` makes it wait before it answers."""

    statuses: list[int] = field(default_factory=lambda: [204])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    hold: asyncio.Event | None = None
    calls: list[Call] = field(default_factory=list[Call])

    async def answer(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append(Call(request.method, request.path_qs, headers, await request.read()))
        if self.hold is not None:
            await self.hold.wait()
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, headers=self.headers, body=self.body if status != 204 else None)


@asynccontextmanager
async def run_sender(
    outbox: Outbox,
    *,
    guard: Guard = LOOPBACK,
    keys: tuple[bytes, ...] = (KEY,),
    cdn: CdnApi | None = None,
    clock: MovableClock | None = None,
    timeout_s: float = 5,
    concurrency: int = 16,
) -> AsyncGenerator[None]:
    """A sender at work inside the block."""
    async with GuardedSession(guard=guard) as webhooks, GuardedSession(guard=ANYWHERE) as purges:
        sender = Sender(
            outbox,
            webhooks=webhooks,
            purges=purges,
            keys=SigningKeys(keys),
            cdn=cdn,
            timeout_s=timeout_s,
            concurrency=concurrency,
            poll_s=0.01,
            clock=clock or MovableClock(),
        )
        stop = asyncio.Event()
        task = asyncio.create_task(sender.run(stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, SOON_S)


async def make_pending(process: Process, *urls: str, key: str = "k") -> None:
    """Run a job with a listener for each of `urls`, so that deliveries are pending."""
    notify = tuple(Listener(url=url, image=IMAGE) for url in urls)
    await process.enqueue(key, urgency=Urgency.WARM_UP, notify=notify)
    async with working(process, Recorder()):
        assert await process.wait(key)
