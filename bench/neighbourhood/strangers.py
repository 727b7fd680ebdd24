"""Those who do what a review found to stop the server, each from an address of its own and at a fixed rate."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp

from neighbourhood.open_loop import at_rate
from neighbourhood.pictures import BOMBS

_GIVE_UP_S = 40.0


@dataclass
class Stranger:
    """One who sends. `origin` is where origins listen; `answers` counts statuses and what broke."""

    address: str
    server: str
    origin: str
    answers: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, local_addr=(self.address, 0))
        self.http = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=_GIVE_UP_S))

    async def get(self, path: str) -> None:
        try:
            async with self.http.get(f"http://{self.server}{path}") as answer:
                await answer.read()
                self.answers[str(answer.status)] += 1
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.answers[type(error).__name__] += 1


async def hang_names(me: Stranger, number: int) -> None:
    """Names whose look-up is never answered."""
    await me.get(f"/name-{number}.hang.test/a.jpg?w=100")


async def enlarge(me: Stranger, number: int) -> None:
    """Renditions as large as may be: of 12 megapixels at their own size, and enlarged."""
    size = ("", "w=8600&h=5800", f"w={3990 - number % 900}")[number % 3]
    await me.get(f"/{me.origin}/large/{number % 4}.jpg?{size}&q={50 + number % 40}")


async def watch(me: Stranger, number: int) -> None:
    """A stream of events for 100 pictures that nobody asked for, kept open for half a minute."""
    query = urlencode(
        [("url", f"/{me.origin}/photo/watched-{number % 5}-{each}.jpg?bg_remove=1") for each in range(100)]
    )
    with suppress(TimeoutError):
        async with asyncio.timeout(30):
            try:
                async with me.http.get(f"http://{me.server}/-/events?{query}") as answer:
                    me.answers[str(answer.status)] += 1
                    await answer.read()
            except (aiohttp.ClientError, OSError) as error:
                me.answers[type(error).__name__] += 1


async def half_open(me: Stranger, number: int) -> None:
    """A connection that sends the beginning of a request and no more, for as long as it is let."""
    try:
        host, _, port = me.server.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=(me.address, 0))
    except OSError as error:
        me.answers[type(error).__name__] += 1
        return
    try:
        writer.write(b"GET /_samples_/bowl.jpg?w=400 HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        async with asyncio.timeout(_GIVE_UP_S):
            me.answers["closed" if not await reader.read(1) else "answered"] += 1
    except (OSError, TimeoutError) as error:
        me.answers[type(error).__name__] += 1
    finally:
        writer.close()


async def many_hosts(me: Stranger, number: int) -> None:
    """Origins on hosts that were never asked before."""
    port = me.origin.rpartition(":")[2]
    await me.get(f"/http://host-{number}.shops.test:{port}/photo/a.jpg?w=100")


async def heavy(me: Stranger, number: int) -> None:
    """Origins of 45 MB."""
    await me.get(f"/{me.origin}/heavy/{number}.jpg?w=100")


async def loop(me: Stranger, number: int) -> None:
    """The server's own URLs as origins, ten deep."""
    await me.get(f"/http://{me.server}" * 10 + f"/{me.origin}/photo/loop-{number}.jpg?w=100")


async def bomb(me: Stranger, number: int) -> None:
    """Few bytes, very many pixels; every other time the background is to be removed."""
    query = "w=100" + "&bg_remove=1" * (number % 2)
    await me.get(f"/{me.origin}/bomb/{number}.{BOMBS[number % len(BOMBS)]}?{query}")


@dataclass(frozen=True)
class Attack:
    """`item` is the number in the list of what was seen, `per_s` the rate."""

    item: int
    send: Callable[[Stranger, int], Awaitable[None]]
    per_s: float

    @property
    def name(self) -> str:
        return self.send.__name__.replace("_", " ")


ATTACKS = (
    Attack(1, hang_names, 4.0),
    Attack(3, enlarge, 0.5),
    Attack(4, watch, 4.0),  # 120 at a time
    Attack(5, half_open, 30.0),  # over 1,000 at a time where they are let
    Attack(5, many_hosts, 15.0),
    Attack(6, heavy, 0.5),
    Attack(7, loop, 1.0),
    Attack(10, bomb, 0.25),
)


async def _run(server: str, origin: str, seconds: float) -> dict[str, Counter[str]]:
    results: dict[str, Counter[str]] = {}
    async with asyncio.TaskGroup() as group:
        for place, attack in enumerate(ATTACKS, start=1):
            me = Stranger(f"127.0.1.{place}", server, origin)
            results[attack.name] = me.answers
            group.create_task(_send(attack, me, seconds))
    return results


async def _send(attack: Attack, me: Stranger, seconds: float) -> None:
    async def send(number: int, _: float) -> None:
        await attack.send(me, number)

    async with me.http:
        me.answers["skipped"] += await at_rate(send, per_s=attack.per_s, seconds=seconds)


def run_strangers(server: str, origin: str, seconds: float) -> dict[str, Counter[str]]:
    """For a process of its own."""
    os.nice(19)  # it stands for other machines, whose processors are not the server's
    return asyncio.run(_run(server, origin, seconds))
