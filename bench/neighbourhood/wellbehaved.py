"""Somebody who asks for what a shop's pages ask for, and measures it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from neighbourhood.open_loop import at_rate

ADDRESS = "127.0.0.50"

CACHED, WIDTHS, CUTOUTS = "cached pictures", "new widths of ready cutouts", "new cutouts"

_CACHED_PER_S, _WIDTHS_PER_S, _CUTOUTS_PER_S = 20.0, 1.0, 0.5
_LOOK_S = 0.25
_GIVE_UP_S = 60.0


@dataclass
class Experience:
    """Milliseconds of what went well, by kind, and what went wrong."""

    ms: dict[str, list[float]] = field(default_factory=lambda: {CACHED: [], WIDTHS: [], CUTOUTS: []})
    errors: dict[str, Counter[str]] = field(
        default_factory=lambda: {CACHED: Counter(), WIDTHS: Counter(), CUTOUTS: Counter()}
    )


class WellBehaved:
    """One client with a few kept connections, as browsers have them."""

    def __init__(self, server: str, origin_host: str) -> None:
        self._base = f"http://{server}"
        self._origin = origin_host
        self._numbers = itertools.count()
        self.experience = Experience()

    async def run(self, seconds: float) -> Experience:
        connector = aiohttp.TCPConnector(limit=0, local_addr=(ADDRESS, 0))
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=_GIVE_UP_S)
        ) as self._http:
            await self._prepare()
            await asyncio.gather(
                at_rate(self._ask_cached, per_s=_CACHED_PER_S, seconds=seconds),
                at_rate(self._ask_width, per_s=_WIDTHS_PER_S, seconds=seconds),
                at_rate(self._ask_cutout, per_s=_CUTOUTS_PER_S, seconds=seconds),
            )
        return self.experience

    async def _prepare(self) -> None:
        """What is called cached and ready below is made so."""
        while True:
            status, headers = await self._get("/photo/ready.jpg?w=400&bg_remove=1")
            if status == 200 and headers.get("Pellucid-Cutout") == "ready":
                break
            await asyncio.sleep(_LOOK_S)
        for width in range(400, 410):
            await self._get(f"/photo/ready.jpg?w={width}&bg_remove=1")

    async def _get(self, path: str) -> tuple[int, Mapping[str, str]]:
        async with self._http.get(f"{self._base}/{self._origin}{path}") as answer:
            await answer.read()
            return answer.status, answer.headers

    async def _ask_cached(self, number: int, due: float) -> None:
        await self._measure(CACHED, f"/photo/ready.jpg?w={400 + number % 10}&bg_remove=1", due)

    async def _ask_width(self, number: int, due: float) -> None:
        # Some 1,200 widths and then other qualities: none twice.
        await self._measure(WIDTHS, f"/photo/ready.jpg?w={50 + number % 1000}&bg_remove=1&q={90 - number // 1000}", due)

    async def _measure(self, kind: str, path: str, due: float) -> None:
        try:
            status, headers = await self._get(path)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.experience.errors[kind][type(error).__name__] += 1
            return
        state = headers.get("Pellucid-Cutout", "")
        if status == 200 and state == "ready":
            self.experience.ms[kind].append((time.perf_counter() - due) * 1000)
        else:
            self.experience.errors[kind][f"{status} {state}".strip()] += 1

    async def _ask_cutout(self, number: int, due: float) -> None:
        path = f"/photo/new-{number}.jpg?w=400&bg_remove=1"
        try:
            while time.perf_counter() < due + _GIVE_UP_S:
                status, headers = await self._get(path)
                state = headers.get("Pellucid-Cutout", "")
                if status != 200:
                    self.experience.errors[CUTOUTS][f"{status} {state}".strip()] += 1
                    return
                if state == "ready":
                    self.experience.ms[CUTOUTS].append((time.perf_counter() - due) * 1000)
                    return
                await asyncio.sleep(_LOOK_S)
            self.experience.errors[CUTOUTS]["not ready in time"] += 1
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.experience.errors[CUTOUTS][type(error).__name__] += 1


def run_well_behaved(server: str, origin_host: str, seconds: float) -> Experience:
    """For a process of its own."""
    return asyncio.run(WellBehaved(server, origin_host).run(seconds))
