"""Strips: every one is worked on once, and what goes wrong in one is not lost."""

from __future__ import annotations

import threading

import pytest

from pellucid.strips import for_each_strip


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
