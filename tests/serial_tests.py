"""Tests marked `serial` run while no other process of the run has a test: they measure how soon something happens."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_DOOR = Path(__file__)
"""Whoever waits for the room to be empty holds it, so that nobody else enters meanwhile."""

_ROOM = Path(__file__).parent


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    alone = item.get_closest_marker("serial") is not None
    with _locked(_DOOR) as door, _locked(_ROOM, shared=not alone):
        fcntl.flock(door, fcntl.LOCK_UN)
        return (yield)


@contextmanager
def _locked(path: Path, *, shared: bool = False) -> Iterator[int]:
    file = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield file
    finally:
        # Closing is not enough: a process that the test forked has it open, too.
        fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)
