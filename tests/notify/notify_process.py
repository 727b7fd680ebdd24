"""A sender in a process of its own: `notify_process.py FILE AHEAD_S`. The queue's clock is AHEAD_S seconds ahead."""

from __future__ import annotations

import asyncio
import sys
import time
from ipaddress import IPv4Network
from pathlib import Path

from pellucid.notify.sender import Sender
from pellucid.notify.signature import SigningKeys
from pellucid.queue.sqlite import SqliteQueue
from pellucid.source.netguard import Guard
from pellucid.source.session import GuardedSession


async def main(path: Path, ahead_s: float) -> None:
    queue = await SqliteQueue.open(path=path, clock=lambda: time.time() + ahead_s)
    guard = Guard(allow_networks=(IPv4Network("127.0.0.0/8"),))
    async with GuardedSession(guard=guard) as session:
        sender = Sender(queue, webhooks=session, purges=session, keys=SigningKeys((bytes(range(32)),)), poll_s=0.01)
        await sender.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
