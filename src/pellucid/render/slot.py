"""One render process, the thread that speaks with it, and the limits that it is watched for.

One pipe and one thread per process. The standard library's pool is of no use here: the death of one worker breaks the
whole pool and every task in it; pools with a shared task pipe can dead-lock when the process that holds its lock is
killed. With a pipe each, a death concerns one task, which is tried once more on a fresh process.
"""

from __future__ import annotations

import contextlib
import enum
import multiprocessing
import os
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import structlog

from pellucid import errors
from pellucid.render import process

_log = structlog.get_logger(__name__)

_START_TIMEOUT_S = 60.0
_ATTEMPTS = 2

_WATCH_S = 0.02
"""How often a working process is looked at. One look takes 40 us; in between a decoder fills some 40 MB."""

_MIB = 1 << 20


class OutgrownError(Exception):
    """The task took more CPU time than its lane allows; it belongs into a slower one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRules:
    """`timeout_s` and `cpu_s` count from the start of the work, waiting excluded. `cpu_s` None: as long as `timeout_s`
    allows. `memory_bytes` bounds the resident memory of the process. `idle_s` None: started with the pool and kept;
    else started by the first task and ended after `idle_s` without one. A process that holds more than `kept_bytes`
    after a task is replaced. `models_dir` has the weights of models that look for insights, None where it runs none.
    """

    timeout_s: float
    memory_bytes: int
    nice: int
    cpu_s: float | None = None
    idle_s: float | None = None
    kept_bytes: int = process.KEPT_BYTES
    models_dir: Path | None = None


@dataclass(slots=True)
class Task:
    """One call of a task of `render.process`."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    future: Future[Any] = field(default_factory=Future[Any])


class _End(enum.Enum):
    """Why a process was ended while it worked."""

    TIME = enum.auto()
    CPU = enum.auto()
    MEMORY = enum.auto()


class _EndedError(Exception):
    def __init__(self, reason: _End) -> None:
        super().__init__(reason.name)
        self.reason = reason


class Slot:
    """Takes tasks from `tasks`, one at a time, until it takes None."""

    def __init__(self, tasks: queue.SimpleQueue[Task | None], *, rules: SlotRules) -> None:
        self._tasks = tasks
        self._rules = rules
        self._process: SpawnProcess | None = None
        # For other threads: only the own one may ask whether a process lives, or one takes its end from the other.
        self._pid: int | None = None
        self._pipe: Connection | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="render-slot", daemon=True)

    @property
    def pid(self) -> int | None:
        """The id of the process; None when there is none."""
        return self._pid

    def start(self) -> None:
        """Begin to take tasks."""
        self._thread.start()

    def stop(self) -> None:
        """End the process, whatever it does; who waits for it gets BusyError. The thread ends when it takes None."""
        self._stopping = True
        child = self._process
        if child is not None:
            with contextlib.suppress(ValueError):  # closed meanwhile by its thread
                child.kill()

    def join(self) -> None:
        """Wait until None was taken and the process has ended."""
        self._thread.join()

    def _run(self) -> None:
        if self._rules.idle_s is None:
            # Started before the first task, so that the first visitor does not pay for the imports.
            self._prepare()
        while True:
            try:
                task = self._tasks.get(timeout=self._rules.idle_s if self._process is not None else None)
            except queue.Empty:
                self._end_process()
                continue
            if task is None:
                break
            if not task.future.set_running_or_notify_cancel():
                continue
            if self._stopping:
                task.future.set_exception(_stopped())
            else:
                self._answer(task)
        self._end_process()

    def _prepare(self) -> None:
        with contextlib.suppress(errors.BusyError):
            self._connection()

    def _answer(self, task: Task) -> None:
        leaving = False
        try:
            kind, value, leaving = self._try(task)
        except _EndedError as ended:
            task.future.set_exception(self._explain(ended.reason))
        except errors.PellucidError as error:
            task.future.set_exception(error)
        except Exception as error:  # the thread must outlive whatever it is, or every later task would wait for ever
            _log.exception("render slot failed", task=task.name)
            self._end_process()
            task.future.set_exception(errors.RenderError(f"rendering failed ({type(error).__name__})"))
        else:
            if kind == "value":
                task.future.set_result(value)
            else:
                name, message = value
                task.future.set_exception(getattr(errors, name)(message))
        if leaving:
            self._end_process()
        if self._process is None and self._rules.idle_s is None and not self._stopping:
            # Now, not with the next task: that would wait for the imports.
            self._prepare()

    def _try(self, task: Task) -> process.Answer:
        """The answer of a process; a task whose process died is tried once more on a fresh one.

        Raises _EndedError when it broke a limit, ImageError when it ended two processes, BusyError when none could be
        started or the pool ends.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._ask(task)
            except _EndedError:
                self._end_process()
                raise
            except errors.BusyError:
                if attempt == _ATTEMPTS:
                    raise
            except (EOFError, OSError) as error:
                pid = self._process.pid if self._process else None
                self._end_process()
                if not self._stopping:
                    _log.warning("render process died", pid=pid, task=task.name, attempt=attempt, error=repr(error))
            if self._stopping:
                raise _stopped()
        raise errors.ImageError("the picture crashes its decoder")

    def _explain(self, reason: _End) -> Exception:
        match reason:
            case _End.TIME:
                return errors.RenderError(f"rendering took longer than {self._rules.timeout_s:g} s")
            case _End.CPU:
                return OutgrownError(f"{self._rules.cpu_s} s of CPU were not enough")
            case _End.MEMORY:
                return errors.ImageLimitError(
                    f"rendering this picture takes more memory than the limit, {self._rules.memory_bytes // _MIB} MiB"
                )

    def _ask(self, task: Task) -> process.Answer:
        pipe, child = self._connection(), self._process
        if child is None:  # never: `_connection` has just started it
            raise EOFError
        # Sending blocks as well when the process does not read: only its death ends that.
        watch = _Watch(child, self._rules)
        watch.start()
        try:
            pipe.send((task.name, task.args, task.kwargs))
            return pipe.recv()
        except (EOFError, OSError):
            if watch.ended is not None:
                raise _EndedError(watch.ended) from None
            raise
        finally:
            watch.stop()

    def _connection(self) -> Connection:
        """The pipe to the process, which is started if need be. Raises BusyError: that is no picture's fault."""
        if self._pipe is not None and self._process is not None and self._process.is_alive():
            return self._pipe
        self._end_process()
        try:
            child, ours = _start(self._rules)
        except OSError as error:  # no descriptors, no memory
            _log.error("no render process could be started", error=str(error))
            raise errors.BusyError("no render process could be started") from error
        self._process, self._pipe, self._pid = child, ours, child.pid
        try:
            if ours.poll(_START_TIMEOUT_S):
                ours.recv()
                return ours
        except EOFError:
            pass
        self._end_process()
        _log.error("a render process did not start")
        raise errors.BusyError("no render process could be started")

    def _end_process(self) -> None:
        self._pid = None
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


def _stopped() -> errors.BusyError:
    return errors.BusyError("the server stops")


def _start(rules: SlotRules) -> tuple[SpawnProcess, Connection]:
    """A new process and our end of its pipe. Raises OSError."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with theirs:
        child = context.Process(
            target=process.main,
            args=(theirs, rules.nice, rules.memory_bytes, rules.kept_bytes, rules.models_dir),
            name="pellucid-render",
        )
        try:
            child.start()
        except BaseException:
            ours.close()
            raise
    return child, ours


class _Watch:
    """Kills `child` when its task breaks `rules`; `ended` says which."""

    def __init__(self, child: SpawnProcess, rules: SlotRules) -> None:
        self._child = child
        self._rules = rules
        self._stat = Path(f"/proc/{child.pid}/stat")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="render-watch", daemon=True)
        self.ended: _End | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The task has ended. On return the process is not killed any more."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        deadline = time.monotonic() + self._rules.timeout_s
        cpu_s = self._look()[0]
        until_cpu_s = None if self._rules.cpu_s is None else cpu_s + self._rules.cpu_s
        while not self._over.wait(_WATCH_S):
            cpu_s, resident_bytes = self._look()
            if resident_bytes > self._rules.memory_bytes:
                self.ended = _End.MEMORY
            elif time.monotonic() > deadline:
                self.ended = _End.TIME
            elif until_cpu_s is not None and cpu_s > until_cpu_s:
                self.ended = _End.CPU
            if self.ended is not None:
                self._child.kill()
                return

    def _look(self) -> tuple[float, int]:
        """CPU time in seconds and resident bytes of the process; zeros where the system has no /proc."""
        try:
            fields = self._stat.read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0, 0
        return (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE_BYTES


_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
