"""A thread that does what others ask for, one after the other, as long as the process lives."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

_Result = TypeVar("_Result")

_TIMEOUT_S = 10
"""So long a process that ends waits for what is under way. A pass takes a tenth of a second, giving a model up less."""

_Task = tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]


class OneThread:
    """Started by the first call. A process that ends lets it finish what was asked for, for ten seconds at most: Python
    stops such a thread wherever it next wants to run Python, and where that is below a destructor of the runtime's the
    process is aborted (`pellucid cut`, which gives its model up last, in 1 of 20 runs with two streams).
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._reset()
        # A forked process has this object and not its thread.
        os.register_at_fork(after_in_child=self._reset)

    def call(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        """What `function` returns or raises."""
        return self.submit(function, *arguments).result()

    def submit(self, function: Callable[..., _Result], *arguments: object) -> Future[_Result]:
        """As `call`, without waiting."""
        future: Future[_Result] = Future()
        self._tasks.put((future, function, arguments))
        with self._lock:
            start, self._started = not self._started, True
        if start:
            atexit.register(self._finish)
            threading.Thread(target=_work, args=(self._tasks,), name=self._name, daemon=True).start()
        return future

    def _finish(self) -> None:
        if self._started:
            with suppress(TimeoutError):
                self.submit(int).result(_TIMEOUT_S)

    def _reset(self) -> None:
        # A finaliser may come in between, and ask for something itself.
        self._lock = threading.RLock()
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._started = False


def _work(tasks: SimpleQueue[_Task]) -> None:
    while True:
        _do(*tasks.get())


def _do(future: Future[Any], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    # A function of its own: what it worked on is not kept until the next task comes.
    try:
        future.set_result(function(*arguments))
    except BaseException as error:
        future.set_exception(error)
    finally:
        # The error's traceback has this frame.
        del future, function, arguments
