"""The supervisor: starts the processes, restarts them when they end, and stops them in order."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

import structlog

from pellucid.system.exit_codes import EXIT_CANNOT_START, EXIT_MEMORY

_log = structlog.get_logger(__name__)

_STOP_S = 15.0
"""Time for children to finish their work after SIGTERM."""

_HARD_STOP_S = 2.0
"""The time after a second signal."""

_HEALTHY_S = 10.0
"""A child that ran this long was healthy, and is restarted at once."""

_BACKOFF_MAX_S = 30.0
_NO_RESOURCES_S = 2.0
"""Pause after a failed start for lack of memory, process ids or descriptors."""


@dataclass(slots=True, eq=False)
class _Child:
    """A process that is kept running."""

    name: str
    target: Callable[..., None]
    args: tuple[Any, ...]
    process: SpawnProcess | None = None
    lifeline: connection.Connection | None = None
    """Our end of a pipe, which the kernel closes when the supervisor ends."""
    started_at: float = 0.0
    """Of the last start; monotonic seconds, as `start_at`."""
    start_at: float = 0.0
    """Earliest time of the next start."""
    failures: int = 0
    """Failures in a row."""
    exit_codes: list[int] = field(default_factory=list[int])
    """The last ten."""


class Supervisor:
    """Runs children until it gets SIGINT or SIGTERM. A second signal shortens the time that they have to stop.
    `on_stop` is called once, after SIGTERM was sent to the children.
    """

    def __init__(self, *, on_stop: Callable[[], None] = lambda: None) -> None:
        self._on_stop = on_stop
        self._context = multiprocessing.get_context("spawn")
        self._children: list[_Child] = []
        self._signals = 0
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_write.setblocking(False)

    def add(self, name: str, target: Callable[..., None], *args: object) -> None:
        """Add a child that runs `target(*args, lifeline)`."""
        self._children.append(_Child(name=name, target=target, args=args))

    def run(self, *, tick: Callable[[], None]) -> int:
        """Start the children and keep them running. `tick` is called about every 100 ms. Returns the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        try:
            while not self._signals:
                self._start_due()
                self._wait()
                if self._reap():
                    return 1
                tick()
            return 0
        finally:
            self._stop_all()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        with contextlib.suppress(OSError):
            self._wake_write.send(b"x")

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is None and child.start_at <= now:
                self._start(child)

    def _start(self, child: _Child) -> None:
        ends: tuple[connection.Connection, ...] = ()
        try:
            ends = theirs, ours = self._context.Pipe(duplex=False)
            process = self._context.Process(target=child.target, args=(*child.args, theirs), name=child.name)
            process.start()
        except OSError as error:
            # No memory, process ids or descriptors left: the other children must go on.
            for end in ends:
                end.close()
            child.start_at = time.monotonic() + _NO_RESOURCES_S
            _log.error("process cannot be started now", process=child.name, error=str(error), in_s=_NO_RESOURCES_S)
            return
        theirs.close()
        child.process, child.lifeline, child.started_at = process, ours, time.monotonic()

    def _wait(self) -> None:
        """Wait until a child ends or a signal comes, at most about 100 ms."""
        alive = [child.process.sentinel for child in self._children if child.process is not None]
        ready = connection.wait([*alive, self._wake_read], timeout=0.1)
        if self._wake_read in ready:
            self._wake_read.recv(64)

    def _reap(self) -> bool:
        """Schedule restarts of children that have ended. True if one cannot start at all, which ends the server."""
        for child in self._children:
            if child.process is None or child.process.is_alive():
                continue
            code = child.process.exitcode or 0
            lived_s = time.monotonic() - child.started_at
            self._release(child)
            # A worker that ended because of a job's memory is healthy, however short it ran.
            healthy = lived_s > _HEALTHY_S or code == EXIT_MEMORY
            child.failures = 0 if healthy else child.failures + 1
            delay_s = 0.0 if child.failures <= 1 else min(_BACKOFF_MAX_S, 2.0 ** (child.failures - 4))
            child.start_at = time.monotonic() + delay_s
            if code == EXIT_CANNOT_START and not child.exit_codes:  # at the first start, however long that took
                _log.error("a process cannot start; stopping", process=child.name)
                return True
            child.exit_codes = [*child.exit_codes[-9:], code]
            _log.warning("process ended, restarting", process=child.name, status=code, in_s=delay_s)
        return False

    def _stop_all(self) -> None:
        signals = self._signals
        self._signal_stop()
        self._on_stop()
        deadline = time.monotonic() + _STOP_S
        while self._release_dead() and time.monotonic() < deadline:
            self._wait()
            if self._signals > max(signals, 1):
                signals = self._signals
                self._signal_stop()
                deadline = min(deadline, time.monotonic() + _HARD_STOP_S)
        for child in self._children:
            if child.process is not None:
                child.process.kill()
            self._release(child)
        self._wake_read.close()
        self._wake_write.close()

    def _signal_stop(self) -> None:
        for child in self._children:
            if child.process is not None and child.process.is_alive() and child.process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.process.pid, signal.SIGTERM)

    def _release_dead(self) -> bool:
        """Release children that have ended. True if any is left."""
        for child in self._children:
            if child.process is not None and not child.process.is_alive():
                self._release(child)
        return any(child.process is not None for child in self._children)

    @staticmethod
    def _release(child: _Child) -> None:
        if child.process is not None:
            child.process.join()
            child.process.close()
            child.process = None
        if child.lifeline is not None:
            child.lifeline.close()
            child.lifeline = None
