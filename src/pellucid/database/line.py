"""The line of writers before a SQLite file: one thread, one lock and one flush for all who wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa

from pellucid.errors import DatabaseBusyError

Work = Callable[[sa.Connection], Any]

_TOGETHER = 50
"""Works of one transaction: they hold the file's lock for some 30 ms, which the queue and other processes wait for."""

TOO_MUCH = "too much waits for the database"


class WriteLine:
    """Does in one transaction what came while the last one was flushed. SQLite lets one write at a time and has those
    who wait look again at random moments: four threads of a process that write all the time, 15 ms to flush each, kept
    a matte worker from its own file for more than 2 s, which ended it.

    `begin` begins a transaction; `alone` does one work in one of its own, and raises what the caller is to see;
    `room` is for how many that wait.
    """

    def __init__(
        self,
        begin: Callable[[], AbstractContextManager[sa.Connection]],
        *,
        alone: Callable[[Work], Any],
        explain: Callable[[Exception], Exception],
        room: int,
    ) -> None:
        self._begin = begin
        self._alone = alone
        self._explain = explain
        self._room = room
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database-write")
        self._waiting: deque[tuple[Work, Future[Any]]] = deque()

    def submit(self, work: Work) -> Future[Any]:
        """The result of `work`, some time. It may be done twice: what fails in company is done again alone. Raises
        DatabaseBusyError.
        """
        if len(self._waiting) >= self._room:
            raise DatabaseBusyError(TOO_MUCH)
        done: Future[Any] = Future()
        self._waiting.append((work, done))
        self._thread.submit(self._write)
        return done

    def shutdown(self) -> None:
        """Finish what waits."""
        self._thread.shutdown()

    def _write(self) -> None:
        batch = self._take()
        if len(batch) < 2:
            self._one_by_one(batch)
            return
        begun = False
        try:
            with self._begin() as connection:
                begun = True
                results = [work(connection) for work, _ in batch]
        except Exception as error:
            if begun:
                self._one_by_one(batch)
                return
            # The file is locked or gone: waiting for it once more for each would not help.
            for _, done in batch:
                done.set_exception(self._explain(error))
            return
        for (_, done), result in zip(batch, results, strict=True):
            done.set_result(result)

    def _take(self) -> list[tuple[Work, Future[Any]]]:
        """Those who wait, without those who gave up."""
        batch: list[tuple[Work, Future[Any]]] = []
        while self._waiting and len(batch) < _TOGETHER:
            work, done = self._waiting.popleft()
            if done.set_running_or_notify_cancel():
                batch.append((work, done))
        return batch

    def _one_by_one(self, batch: list[tuple[Work, Future[Any]]]) -> None:
        for work, done in batch:
            try:
                result = self._alone(work)
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(result)
