"""Render processes, seen from a web process: a lane for light work, one for heavy work, one that looks for insights.

What a rendition costs is estimated before (`render.cost`). Light ones share `processes` processes; heavy ones queue for
one of their own, which is started when one comes, is nicer than the others, and ends when there is nothing to do. So a
picture of 400 px never waits behind one of 50 megapixels, on one core either. Where the estimate is wrong, a light task
that has used `_LIGHT_CPU_S` of CPU loses its process and begins again in the heavy lane.

A place is held by a task that runs, or that is next with its bytes at hand. Inside a place the store is read, nothing
else is waited for: no fetch, no other place (docs/architecture.md, "What is held while something is waited for").
"""

from __future__ import annotations

import asyncio
import queue
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from cachetools import TTLCache

from pellucid.concurrency.clients import SERVER, Client
from pellucid.concurrency.fair_semaphore import FairSemaphore
from pellucid.errors import BusyError, RenderError
from pellucid.formats import ImageFormat
from pellucid.image.box import Box
from pellucid.image.facts import ImageFacts
from pellucid.insights.needs import Needs
from pellucid.insights.record import InsightRecord
from pellucid.render.cost import is_heavy, is_heavy_blank, is_heavy_decode
from pellucid.render.job import BlankJob, Rendered, RenderJob
from pellucid.render.plan import Plan
from pellucid.render.slot import OutgrownError, Slot, SlotRules, Task

_LIGHT_NICE = 10
"""Between web processes (0) and what is heavy (19), which it is to outrun: at 17 the system gives it one and a half
times as much as a matte worker, at 10 seven times. With all cores busy, 1 of 100 cached pictures takes 5 ms beside
renditions at 17, 6 to 7 ms beside renditions at 5.
"""
_HEAVY_NICE = 19

_LIGHT_CPU_S = 2.0
"""Four times what the heaviest light task is estimated at: a slower machine, or a picture that costs more than its kind
does. CPU time, because a machine with other work to do makes no picture heavier.
"""

_HEAVY_IDLE_S = 60.0

_LOOKING_IDLE_S = 600.0
"""Loading the models takes half a second each."""

_LOOKING_KEPT_BYTES = 512 << 20
"""With both models, the runtime and what a large image left: 315 MiB after four of 2 megapixels."""

_OUTGROWN = 1000
_OUTGROWN_S = 600.0

_CHECK_S = 5.0
"""Longer than two light tasks that are about to be ended, on a machine with nothing else to do."""

_CHECK_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000002000000020802000000fdd49a730000001649444154"
    "789c633c2117c5c0c0c0c4c0c0c0c0c000000f980144e249c0260000000049454e44ae426082"
)
"""2 x 2 pixels."""

Inputs = Callable[[], Awaitable[tuple[bytes, bytes | None] | None]]
"""Reads the bytes of an origin, and of its matte if there is one to apply, from the store; None when some are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """What rendering may take.

    `processes` light ones and one heavy one; of each lane `max_waiting` callers wait at most, none longer than
    `wait_s`. A task ends after `timeout_s` of work, a process beyond `memory_bytes`. `max_pixels` and
    `max_decode_bytes` bound the pictures themselves.
    """

    processes: int
    max_waiting: int
    timeout_s: float
    max_pixels: int
    wait_s: float = 30.0
    memory_bytes: int = 1 << 30
    max_decode_bytes: int = 768 << 20
    models_dir: Path | None = None
    """Weights of the models that look for insights; None: none are found."""


class RenderPool:
    """Probes and renders in other processes. Use as an async context manager; on leaving it, what runs is ended.

    Every call raises BusyError when too many wait already or the wait took longer than `limits.wait_s`, ImageLimitError
    when the picture took more memory than a process may have, ImageError when it killed two processes, RenderError when
    it took longer than `limits.timeout_s`, and whatever the task itself raises.
    """

    def __init__(self, limits: PoolLimits) -> None:
        self._limits = limits
        rules = SlotRules(timeout_s=limits.timeout_s, memory_bytes=limits.memory_bytes, nice=_LIGHT_NICE)
        # One place more than processes, so that the next one's bytes are at hand; the others wait without theirs.
        self._light = _Lane(
            limits,
            slots=limits.processes,
            places_per_client=None,
            rules=replace(rules, cpu_s=min(_LIGHT_CPU_S, limits.timeout_s)),
            busy="too many pictures wait to be rendered",
        )
        # One client's second heavy picture waits until its first is done, or others would wait for both.
        self._heavy = _Lane(
            limits,
            slots=1,
            places_per_client=1,
            rules=replace(rules, nice=_HEAVY_NICE, idle_s=_HEAVY_IDLE_S),
            busy="too many large pictures wait to be rendered",
        )
        # Models stay in the memory of one process: two of 100 MB, and the runtime.
        self._looking = _Lane(
            limits,
            slots=1,
            places_per_client=None,
            rules=replace(rules, idle_s=_LOOKING_IDLE_S, kept_bytes=_LOOKING_KEPT_BYTES, models_dir=limits.models_dir),
            busy="too many pictures wait to be looked at",
        )
        # What turned out to be heavy goes there at once for a while: pictures, and from how many pixels on.
        self._outgrown: TTLCache[str, int] = TTLCache(_OUTGROWN, _OUTGROWN_S, time.monotonic)

    async def __aenter__(self) -> RenderPool:
        for lane in self._lanes:
            lane.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(lane.aclose() for lane in self._lanes))

    @property
    def _lanes(self) -> tuple[_Lane, ...]:
        return self._light, self._heavy, self._looking

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the living render processes, the light lane's first."""
        return tuple(pid for lane in self._lanes for pid in lane.pids)

    async def probe(self, data: bytes, client: Client = SERVER) -> ImageFacts:
        """`image.examine.examine` in a render process."""

        async def inputs() -> tuple[object, ...]:
            return (data,)

        return await self._probe(inputs, client)

    async def probe_when_read(self, read: Callable[[], Awaitable[bytes]], client: Client = SERVER) -> ImageFacts:
        """`probe` of what `read` reads once there is a place: pictures that wait are not in memory."""

        async def inputs() -> tuple[object, ...]:
            return (await read(),)

        return await self._probe(inputs, client)

    async def probe_page(
        self, read: Callable[[], Awaitable[bytes | None]], page: int, *, client: Client = SERVER
    ) -> ImageFacts | None:
        """`probe_when_read` of one `page` of a document, from 1; None when its bytes are gone."""

        async def inputs() -> tuple[object, ...] | None:
            data = await read()
            return None if data is None else (data,)

        return await self._probe(inputs, client, page=page)

    async def _probe(self, inputs: _Read, client: Client, *, page: int = 1) -> ImageFacts:
        options = {
            "max_pixels": self._limits.max_pixels,
            "max_bytes": self._limits.max_decode_bytes,
            "page": page,
        }
        return cast("ImageFacts", await self._run("examine", inputs, client, options, heavy=False))

    async def render(
        self, inputs: Inputs, job: RenderJob, *, origin: str, size_bytes: int, cut: bool, client: Client = SERVER
    ) -> Rendered | None:
        """`render.run.render` in a render process, for `client`, with what `inputs` reads once there is a place: 256
        waiting pictures of 20 MB would else be 5 GB. None when `inputs` says that something is gone.

        `inputs` waits for nothing but the store. `origin` names the picture, whose file has `size_bytes`; `cut` = there
        is a matte.
        """

        async def read() -> tuple[object, ...] | None:
            found = await inputs()
            return None if found is None else (*found, job)

        pixels = job.plan.width * job.plan.height
        heavy = is_heavy(job, size_bytes=size_bytes, cut=cut) or pixels >= self._outgrown.get(origin, sys.maxsize)
        options = {"max_bytes": self._limits.max_decode_bytes}

        def outgrown() -> None:
            self._outgrown[origin] = min(pixels, self._outgrown.get(origin, sys.maxsize))

        rendered = await self._run("render", read, client, options, heavy=heavy, outgrown=outgrown)
        return cast("Rendered | None", rendered)

    async def look(
        self,
        read: Callable[[], Awaitable[bytes | None]],
        facts: ImageFacts,
        needs: Needs,
        *,
        size_bytes: int,
        client: Client = SERVER,
    ) -> InsightRecord | None:
        """`insights.find.find_insights` in a render process, for the image that `read` reads once there is a place;
        None when its bytes are gone. What models look for has a process of its own, which keeps them.
        """

        async def inputs() -> tuple[object, ...] | None:
            data = await read()
            return None if data is None else (data, facts, needs)

        options = {"max_bytes": self._limits.max_decode_bytes}
        if needs.faces or needs.salience:
            found = await self._in(self._looking, "look", inputs, client, options)
        else:
            heavy = is_heavy_decode(facts, size_bytes=size_bytes)
            found = await self._run("look", inputs, client, options, heavy=heavy)
        return cast("InsightRecord | None", found)

    async def blank(self, job: BlankJob, *, client: Client = SERVER) -> Rendered:
        """`render.run.render_blank` in a render process."""

        async def inputs() -> tuple[object, ...]:
            return (job,)

        return cast("Rendered", await self._run("blank", inputs, client, {}, heavy=is_heavy_blank(job)))

    async def check(self) -> None:
        """Render a tiny picture, before all that wait. Raises BusyError when neither that nor anything else comes
        through in 5 s, PellucidError when it fails.
        """
        facts = ImageFacts(format=ImageFormat.PNG, width=2, height=2, has_alpha=False)
        pixel = Box(left=0, top=0, width=1, height=1)
        plan = Plan(scaled_width=1, scaled_height=1, crop=pixel, width=1, height=1)
        job = RenderJob(facts=facts, plan=plan, background=None, format=ImageFormat.PNG)
        done = self._light.done
        try:
            async with asyncio.timeout(_CHECK_S), self._light.places.acquire(SERVER, first=True):
                await self._light.call("render", (_CHECK_PNG, None, job), {})
        except TimeoutError as error:
            if self._light.done != done:
                return  # slow pictures are rendered, one after the other
            raise BusyError(f"no picture was rendered within {_CHECK_S:g} s") from error
        except OutgrownError as error:
            raise RenderError("a picture of one pixel took too long") from error

    async def _run(
        self,
        task: str,
        inputs: _Read,
        client: Client,
        options: Mapping[str, object],
        *,
        heavy: bool,
        outgrown: Callable[[], None] = lambda: None,
    ) -> object:
        """The result of `task`; None when `inputs` is."""
        if not heavy:
            try:
                return await self._in(self._light, task, inputs, client, options)
            except OutgrownError:
                outgrown()
        return await self._in(self._heavy, task, inputs, client, options)

    async def _in(self, lane: _Lane, task: str, inputs: _Read, client: Client, options: Mapping[str, object]) -> object:
        async with lane.places.acquire(client, timeout_s=self._limits.wait_s):
            args = await inputs()
            return None if args is None else await lane.call(task, args, options)


_Read = Callable[[], Awaitable[tuple[object, ...] | None]]


class _Lane:
    """Some processes, the tasks that are at hand for them, and the places that callers wait for."""

    def __init__(
        self, limits: PoolLimits, *, slots: int, places_per_client: int | None, rules: SlotRules, busy: str
    ) -> None:
        self.places = FairSemaphore(
            slots + 1,
            per_client=places_per_client,
            max_waiting=limits.max_waiting,
            max_waiting_per_client=max(1, limits.max_waiting // 2),
            busy=busy,
        )
        self.done = 0
        """Tasks that ended well."""
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._slots = [Slot(self._tasks, rules=rules) for _ in range(slots)]

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(pid for slot in self._slots if (pid := slot.pid) is not None)

    def start(self) -> None:
        for slot in self._slots:
            slot.start()

    async def aclose(self) -> None:
        for slot in self._slots:
            slot.stop()
            self._tasks.put(None)
        for slot in self._slots:
            await asyncio.to_thread(slot.join)

    async def call(self, name: str, args: tuple[object, ...], kwargs: Mapping[str, object]) -> object:
        """The result of a task; to be called by who holds a place."""
        task = Task(name=name, args=args, kwargs=dict(kwargs))
        self._tasks.put(task)
        result = await asyncio.wrap_future(task.future)
        self.done += 1
        return result
