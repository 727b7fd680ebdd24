"""From the start of a process to its first PNG: interpreter, imports, model, one picture of 1 megapixel."""

from __future__ import annotations

import time
from tempfile import TemporaryDirectory

from comparison.pictures import Pictures
from comparison.progress import say
from comparison.results import REMBG, Startup
from comparison.sides import Programs, Side


def measure_startup(tiers: list[str], programs: Programs, pictures: Pictures, *, rounds: int) -> Startup:
    """The sides take turns; one round before is not counted: it fills the page cache and what programs keep compiled.
    Then each tier once with nothing compiled on disk. Raises SideGoneError.
    """
    picture = pictures.jpeg(0, 1)
    found = Startup(seconds={side: [] for side in [REMBG, *tiers]}, uncompiled={})
    for turn in range(rounds + 1):
        say(f"start-up: round {turn} of {rounds}")
        for name, seconds in found.seconds.items():
            took = _first_cut(name, programs, picture)
            if turn:
                seconds.append(took)
    for tier in tiers:
        with TemporaryDirectory(prefix="compiled-") as compiled:
            found.uncompiled[tier] = _first_cut(tier, programs, picture, compiled)
    return found


def _first_cut(name: str, programs: Programs, picture: bytes, *more: str) -> float:
    started = time.perf_counter()
    with Side.start(name, programs, *more) as side:
        side.cut(picture)
        return time.perf_counter() - started
