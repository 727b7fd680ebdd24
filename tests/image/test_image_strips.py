"""Strips: every one is worked on once, and what goes wrong in one is not lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from pellucid.image.strips import for_each_strip, in_order


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_every_strip_once(count: int) -> None:
    seen: list[int] = []
    lock = threading.Lock()

    def note(top: int) -> None:
        with lock:
            seen.append(top)

    for_each_strip(note, range(0, 3 * count, 3))
    assert sorted(seen) == list(range(0, 3 * count, 3))


@pytest.mark.parametrize("count", [1, 20])
def test_an_error_in_one_strip_is_raised(count: int) -> None:
    def fail_at_the_last(top: int) -> None:
        if top == count - 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        for_each_strip(fail_at_the_last, range(count))


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_what_is_made_of_strips_comes_in_their_order(count: int) -> None:
    started: list[int] = []

    def strips() -> Iterator[int]:
        for strip in range(count):
            started.append(strip)
            yield strip

    def make(strip: int) -> int:
        # Later ones are ready first.
        time.sleep(0.002 * (strip % 3 == 0))
        return -strip

    made = []
    for result in in_order(make, strips()):
        made.append(result)
        # However slowly results are taken, few strips are held.
        assert len(started) <= len(made) + 4
    assert made == [-strip for strip in range(count)]


@pytest.mark.parametrize("count", [1, 20])
def test_an_error_in_what_is_made_of_a_strip_is_raised(count: int) -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda strip: 1 // strip, reversed(range(count))))
