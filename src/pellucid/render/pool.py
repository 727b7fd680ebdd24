"""A small pool of render processes, seen from a web process.

One pipe and one thread per process. The standard library's pool is of no use here: the death of one worker breaks the
whole pool and every task in it; pools with a shared task pipe can dead-lock when the process that holds its lock is
killed. With a pipe each, a death concerns one task, which is tried once more on a fresh process.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import queue
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, cast

import structlog

from pellucid import errors
from pellucid.clients import SERVER, Client
from pellucid.fairness import FairSemaphore
from pellucid.image.facts import ImageFacts
from pellucid.render import process
from pellucid.render.run import BlankJob, RenderJob

_log = structlog.get_logger(__name__)

_START_TIMEOUT_S = 60.0
_ATTEMPTS = 2


@dataclass(slots=True)
class _Task:
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    future: Future[Any] = field(default_factory=Future[Any])
    attempts: int = 0


class RenderPool:
    """Probes and renders in other processes. Use as an async context manager.

    Every call raises BusyError when `max_waiting` tasks wait already, RenderError when the picture killed two processes
    or took longer than `timeout_s`, and whatever the task itself raises.
    """

    def __init__(self, *, processes: int, max_waiting: int, timeout_s: float, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        # One more than renders, so that the next one's bytes are at hand; the others wait without theirs.
        self._places = FairSemaphore(
            processes + 1,
            max_waiting=max_waiting,
            max_waiting_per_client=max(1, max_waiting // 2),
            busy="too many pictures wait to be rendered",
        )
        self._slots = [_Slot(self._tasks, timeout_s=timeout_s) for _ in range(processes)]

    async def __aenter__(self) -> RenderPool:
        for slot in self._slots:
            slot.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for _slot in self._slots:
            self._tasks.put(None)
        for slot in self._slots:
            await asyncio.to_thread(slot.join)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the living render processes."""
        return tuple(pid for slot in self._slots if (pid := slot.pid) is not None)

    @asynccontextmanager
    async def room(self, client: Client = SERVER) -> AsyncGenerator[None, None]:
        """Hold a place at a process, which clients that wait get in turns. What a task needs in memory is to be read
        inside: 256 waiting pictures of 20 MB would else be 5 GB. Raises BusyError when too many wait already.
        """
        async with self._places.acquire(client):
            yield

    async def probe(self, data: bytes, client: Client = SERVER) -> ImageFacts:
        """`image.probe.probe` in a render process."""
        async with self.room(client):
            return cast(ImageFacts, await self._call("probe", data, max_pixels=self._max_pixels))

    async def probe_when_read(self, read: Callable[[], Awaitable[bytes]], client: Client = SERVER) -> ImageFacts:
        """`probe` of what `read` reads once there is a place: pictures that wait are not in memory."""
        async with self.room(client):
            return cast(ImageFacts, await self._call("probe", await read(), max_pixels=self._max_pixels))

    async def render(self, origin: bytes, matte: bytes | None, job: RenderJob) -> bytes:
        """`render.run.render` in a render process; to be called inside `room`."""
        return cast(bytes, await self._call("render", origin, matte, job))

    async def blank(self, job: BlankJob) -> bytes:
        """`render.run.render_blank` in a render process; to be called inside `room`."""
        return cast(bytes, await self._call("blank", job))

    async def _call(self, name: str, *args: object, **kwargs: object) -> object:
        task = _Task(name=name, args=args, kwargs=kwargs)
        self._tasks.put(task)
        return await asyncio.wrap_future(task.future)


class _Slot:
    """One render process and the thread that speaks with it."""

    def __init__(self, tasks: queue.SimpleQueue[_Task | None], *, timeout_s: float) -> None:
        self._tasks = tasks
        self._timeout_s = timeout_s
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="render-slot", daemon=True)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.is_alive() else None

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        # Started before the first task, so that the first visitor does not pay for the imports.
        with contextlib.suppress(errors.RenderError, OSError):
            self._connection()
        while (task := self._tasks.get()) is not None:
            if not task.future.set_running_or_notify_cancel():
                continue
            self._answer(task)
        self._end_process()

    def _answer(self, task: _Task) -> None:
        while True:
            task.attempts += 1
            try:
                kind, value = self._ask(task)
            except TimeoutError:
                self._end_process()
                task.future.set_exception(errors.RenderError(f"rendering took longer than {self._timeout_s:.0f} s"))
                return
            except (EOFError, OSError) as error:
                pid = self._process.pid if self._process else None
                self._end_process()
                _log.warning("render process died", pid=pid, task=task.name, attempt=task.attempts, error=repr(error))
                if task.attempts < _ATTEMPTS:
                    continue
                task.future.set_exception(errors.RenderError("the picture crashed its decoder"))
                return
            except errors.RenderError as error:
                task.future.set_exception(error)
                return
            except (
                Exception
            ) as error:  # the thread must outlive whatever it is, or every later task would wait for ever
                _log.exception("render slot failed", task=task.name)
                self._end_process()
                task.future.set_exception(errors.RenderError(f"rendering failed ({type(error).__name__})"))
                return
            if kind == "value":
                task.future.set_result(value)
            else:
                name, message = value
                task.future.set_exception(getattr(errors, name)(message))
            return

    def _ask(self, task: _Task) -> process.Answer:
        pipe, child = self._connection(), self._process
        over = threading.Event()

        def end() -> None:
            over.set()
            if child is not None:
                child.kill()

        # Sending blocks as well when the process does not read: only its death ends that.
        timer = threading.Timer(self._timeout_s, end)
        timer.daemon = True
        timer.start()
        try:
            pipe.send((task.name, task.args, task.kwargs))
            return pipe.recv()
        except (EOFError, OSError):
            if over.is_set():
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
            timer.join()

    def _connection(self) -> Connection:
        if self._pipe is not None and self._process is not None and self._process.is_alive():
            return self._pipe
        self._end_process()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        child = context.Process(target=process.main, args=(theirs,), name="pellucid-render")
        child.start()
        theirs.close()
        self._process, self._pipe = child, ours
        try:
            if ours.poll(_START_TIMEOUT_S):
                ours.recv()
                return ours
        except EOFError:
            pass
        self._end_process()
        raise errors.RenderError("no render process could be started")

    def _end_process(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.join(0.2)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process.close()
            self._process = None
