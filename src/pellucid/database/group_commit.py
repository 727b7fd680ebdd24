"""Group commit for SQLite: one thread writes for all callers, with one lock and one flush for all that wait."""

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
"""Works of one transaction. They hold the file's lock for some 30 ms, while other processes wait."""

QUEUE_FULL = "too many transactions wait for the database"


class GroupCommit:
    """Runs the works that were submitted during the last flush in one transaction.

    SQLite allows one writer at a time, and those that wait poll for the lock at random times. Four threads of a process
    that wrote all the time, with 15 ms per flush, kept a matte worker from the file for more than 2 s, which ended it.

    `begin`: begins a transaction.
    `run_single`: runs one work in a transaction of its own, and raises the error that the caller is to see.
    `explain`: turns an error into that error.
    `max_queued`: works that may wait.
    """

    def __init__(
        self,
        begin: Callable[[], AbstractContextManager[sa.Connection]],
        *,
        run_single: Callable[[Work], Any],
        explain: Callable[[Exception], Exception],
        max_queued: int,
    ) -> None:
        self._begin = begin
        self._run_single = run_single
        self._explain = explain
        self._max_queued = max_queued
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database-write")
        self._waiting: deque[tuple[Work, Future[Any]]] = deque()

    def submit(self, work: Work) -> Future[Any]:
        """Queue `work` and return the future of its result. If its transaction fails, each of its works runs again in
        one of its own. Raises DatabaseBusyError when the queue is full.
        """
        if len(self._waiting) >= self._max_queued:
            raise DatabaseBusyError(QUEUE_FULL)
        done: Future[Any] = Future()
        self._waiting.append((work, done))
        self._thread.submit(self._write)
        return done

    def shutdown(self) -> None:
        """Wait until all queued works have run."""
        self._thread.shutdown()

    def _write(self) -> None:
        batch = self._next_batch()
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
            # The file is locked or gone. Retrying each work would only wait again.
            for _, done in batch:
                done.set_exception(self._explain(error))
            return
        for (_, done), result in zip(batch, results, strict=True):
            done.set_result(result)

    def _next_batch(self) -> list[tuple[Work, Future[Any]]]:
        """The works that wait, without those whose caller gave up."""
        batch: list[tuple[Work, Future[Any]]] = []
        while self._waiting and len(batch) < _TOGETHER:
            work, done = self._waiting.popleft()
            if done.set_running_or_notify_cancel():
                batch.append((work, done))
        return batch

    def _one_by_one(self, batch: list[tuple[Work, Future[Any]]]) -> None:
        for work, done in batch:
            try:
                result = self._run_single(work)
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(result)
