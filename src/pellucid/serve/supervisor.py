"""The supervisor: starts the processes, starts them again when they die, stops them in order."""

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
"""How long children may finish what they do after SIGTERM."""

_HARD_STOP_S = 2.0
"""What they get after a second signal."""

_SOUND_S = 10.0
"""A child that lived this long was sound: its next start does not wait."""

_BACKOFF_MAX_S = 30.0
_STARVED_S = 2.0


@dataclass(slots=True, eq=False)
class _Child:
    """One process that must run: what it runs, and how often it failed in a row."""

    name: str
    target: Callable[..., None]
    args: tuple[Any, ...]
    process: SpawnProcess | None = None
    lifeline: connection.Connection | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    failures: int = 0
    exit_codes: list[int] = field(default_factory=list[int])


class Supervisor:
    """Runs children until it gets SIGINT or SIGTERM; a second one stops them harder. `on_stop` is called once, when the
    children have been told to stop.
    """

    def __init__(self, *, on_stop: Callable[[], None] = lambda: None) -> None:
        self._on_stop = on_stop
        self._context = multiprocessing.get_context("spawn")
        self._children: list[_Child] = []
        self._signals = 0
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_write.setblocking(False)

    def add(self, name: str, target: Callable[..., None], *args: object) -> None:
        """Have `target(*args, lifeline)` run in a process of its own."""
        self._children.append(_Child(name=name, target=target, args=args))

    def run(self, *, tick: Callable[[], None]) -> int:
        """Start everything and keep it running. `tick` is called about every 100 ms. Returns the exit status."""
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
            # No memory, process ids or descriptors left: a machine in need is no reason to take the others down.
            for end in ends:
                end.close()
            child.start_at = time.monotonic() + _STARVED_S
            _log.error("process cannot be started now", process=child.name, error=str(error), in_s=_STARVED_S)
            return
        theirs.close()
        child.process, child.lifeline, child.started_at = process, ours, time.monotonic()

    def _wait(self) -> None:
        """Until a child ends or a signal comes, about 100 ms at most."""
        alive = [child.process.sentinel for child in self._children if child.process is not None]
        ready = connection.wait([*alive, self._wake_read], timeout=0.1)
        if self._wake_read in ready:
            self._wake_read.recv(64)

    def _reap(self) -> bool:
        """Take note of the dead. True when one of them cannot start at all, which ends the server."""
        for child in self._children:
            if child.process is None or child.process.is_alive():
                continue
            code = child.process.exitcode or 0
            lived_s = time.monotonic() - child.started_at
            self._release(child)
            # A worker that gave a picture up for its memory is sound, however soon after its start that was.
            sound = lived_s > _SOUND_S or code == EXIT_MEMORY
            child.failures = 0 if sound else child.failures + 1
            delay_s = 0.0 if child.failures <= 1 else min(_BACKOFF_MAX_S, 2.0 ** (child.failures - 4))
            child.start_at = time.monotonic() + delay_s
            if code == EXIT_CANNOT_START and not child.exit_codes:  # however long its start took
                _log.error("a process cannot start; stopping", process=child.name)
                return True
            child.exit_codes = [*child.exit_codes[-9:], code]
            _log.warning("process ended, starting it again", process=child.name, status=code, in_s=delay_s)
        return False

    def _stop_all(self) -> None:
        signals = self._signals
        self._tell_to_stop()
        self._on_stop()
        deadline = time.monotonic() + _STOP_S
        while self._release_dead() and time.monotonic() < deadline:
            self._wait()
            if self._signals > max(signals, 1):
                signals = self._signals
                self._tell_to_stop()
                deadline = min(deadline, time.monotonic() + _HARD_STOP_S)
        for child in self._children:
            if child.process is not None:
                child.process.kill()
            self._release(child)
        self._wake_read.close()
        self._wake_write.close()

    def _tell_to_stop(self) -> None:
        for child in self._children:
            if child.process is not None and child.process.is_alive() and child.process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.process.pid, signal.SIGTERM)

    def _release_dead(self) -> bool:
        """Whether any child is left."""
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
