"""What a resident process takes: for one large picture, and after many."""

from __future__ import annotations

import numpy as np

from comparison.pictures import Pictures
from comparison.progress import say
from comparison.results import REMBG, Growth, Memory
from comparison.sides import Programs, Side

_DIFFERENT = 10
"""Pictures that are taken in turn for the long run: all of 1 megapixel, of several shapes."""


def measure_memory(
    tiers: list[str], programs: Programs, pictures: Pictures, *, large_megapixels: float, count: int, every: int
) -> Memory:
    """Peaks of fresh processes, then resident sizes over `count` pictures. Raises SideGoneError."""
    large = pictures.jpeg(0, large_megapixels)
    found = Memory(large_megapixels=large_megapixels, large_mb={}, worker_mb={}, growth={})
    for name in [REMBG, *tiers]:
        say(f"memory: {name}, {large_megapixels:g} MP")
        with Side.start(name, programs) as side:
            side.cut(large)
            found.large_mb[name] = side.memory_mb("VmHWM")
        if name != REMBG:
            with Side.start(name, programs) as side:
                side.ask({"do": "matte"}, large)
                found.worker_mb[name] = side.memory_mb("VmHWM")
    for name in [REMBG, *tiers]:
        say(f"memory: {name}, {count} pictures")
        with Side.start(name, programs) as side:
            found.growth[name] = _grow(side, pictures.jpegs(min(count, _DIFFERENT), 1), count, every)
    return found


def _grow(side: Side, pictures: list[bytes], count: int, every: int) -> Growth:
    side.cut(pictures[0])
    done, rss_mb = [0], [side.memory_mb("VmRSS")]
    for number in range(1, count + 1):
        side.cut(pictures[number % len(pictures)])
        if number % every == 0:
            done.append(number)
            rss_mb.append(side.memory_mb("VmRSS"))
    return Growth(pictures=done, rss_mb=rss_mb, slope_mb=slope(done, rss_mb))


def slope(pictures: list[int], rss_mb: list[float]) -> float:
    """MB per 100 pictures: a straight line by least squares through the second half, after the allocator's pools have
    filled.
    """
    half = len(pictures) // 2
    across, up = np.array(pictures[half:], np.float64), np.array(rss_mb[half:], np.float64)
    across -= across.mean()
    return float((across * up).sum() / (across**2).sum() * 100)
