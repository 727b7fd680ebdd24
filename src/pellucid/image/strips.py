"""Work on strips of a picture, on more than one core."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

_Strip = TypeVar("_Strip")
_Made = TypeVar("_Made")

_THREADS = min(2, os.cpu_count() or 1)
"""NumPy lets other threads run while it computes; more than two of them wait for memory and for each other."""


def for_each_strip(work: Callable[[int], None], tops: Sequence[int]) -> None:
    """Call `work` with each of `tops`, in any order; strips must not write to the same rows. Raises what it does."""
    if len(tops) < 2 or _THREADS < 2:
        for top in tops:
            work(top)
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        for done in [pool.submit(work, top) for top in tops]:
            done.result()


def in_order(make: Callable[[_Strip], _Made], strips: Iterable[_Strip]) -> Iterator[_Made]:
    """What `make` gives for each of `strips`, in their order. At most four of them are held at a time. Raises what it
    does.
    """
    strips = iter(strips)
    first = list(islice(strips, 2))
    if len(first) < 2 or _THREADS < 2:
        yield from map(make, chain(first, strips))
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        made: deque[Future[_Made]] = deque()
        for strip in chain(first, strips):
            made.append(pool.submit(make, strip))
            if len(made) >= 2 * _THREADS:
                yield made.popleft().result()
        for future in made:
            yield future.result()
