"""A sender in a process of its own: `notify_process.py URL AHEAD_S`. The outbox's clock is AHEAD_S seconds ahead."""

from __future__ import annotations

import asyncio
import sys
import time
from ipaddress import IPv4Network

from pellucid.database.database import Database
from pellucid.notify.sender import Sender
from pellucid.notify.signature import SigningKeys
from pellucid.queue.outbox import Outbox
from pellucid.source.netguard import Guard
from pellucid.source.session import GuardedSession


async def main(url: str, ahead_s: float) -> None:
    outbox = Outbox(await Database.open(url), clock=lambda: time.time() + ahead_s)
    guard = Guard(allow_networks=(IPv4Network("127.0.0.0/8"),))
    async with GuardedSession(guard=guard) as session:
        sender = Sender(outbox, webhooks=session, purges=session, keys=SigningKeys((bytes(range(32)),)), poll_s=0.01)
        await sender.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
