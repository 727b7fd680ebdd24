"""Work on strips of a picture, on more than one core."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

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
