"""Tables of what cutting costs: time and memory."""

from __future__ import annotations

from comparison.markdown import number, table
from comparison.numbers import folder_peak_mb, images_per_s, median_png_mb, median_s, ratio, startup_s
from comparison.results import REMBG, Results


def cost_tables(results: Results) -> list[str]:
    """One for each part that was measured, with rembg's figure divided by each tier's."""
    return [text for part in (_latency, _folder, _startup, _memory) if (text := part(results))]


def _latency(results: Results) -> str:
    if not results.latency:
        return ""
    rows: list[list[str]] = []
    for megapixels, timings in results.latency.items():
        base = median_s(results, megapixels, REMBG)
        for side, timing in timings.items():
            seconds = median_s(results, megapixels, side)
            factor = None if side == REMBG else ratio(base, seconds)
            size = number(median_png_mb(results, megapixels, side), "{:.2f}")
            rows.append([megapixels, side, str(len(timing.seconds)), number(seconds, "{:.3f}"), _times(factor), size])
    return "JPEG bytes to PNG bytes, resident process, medians:\n\n" + table(
        ["MP", "", "pictures", "seconds", "x", "PNG, MB"], rows, words=2
    )


def _folder(results: Results) -> str:
    if results.folder is None:
        return ""
    base = images_per_s(results, REMBG)
    rows = [
        [
            side,
            number(rate := images_per_s(results, side), "{:.2f}"),
            _times(None if side == REMBG else ratio(rate, base)),
            number(folder_peak_mb(results, side), "{:.0f}"),
        ]
        for side in results.folder.runs
    ]
    rounds = max(map(len, results.folder.runs.values()))
    text = f"`rembg p` and `pellucid cut` over {results.folder.pictures} pictures of 1 MP, whole commands"
    return f"{text}, median of {rounds}:\n\n" + table(["", "images per second", "x", "peak memory, MB"], rows)


def _startup(results: Results) -> str:
    if results.startup is None:
        return ""
    base = startup_s(results, REMBG)
    rows = [
        [
            side,
            number(seconds := startup_s(results, side), "{:.2f}"),
            _times(None if side == REMBG else ratio(base, seconds)),
            number(results.startup.uncompiled.get(side), "{:.2f}"),
        ]
        for side in results.startup.seconds
    ]
    return "From process start to the first PNG, 1 MP:\n\n" + table(
        ["", "seconds", "x", "with no compiled model on disk"], rows
    )


def _memory(results: Results) -> str:
    memory = results.memory
    if memory is None:
        return ""
    rows = [
        [
            side,
            number(memory.large_mb.get(side), "{:.0f}"),
            number(memory.worker_mb.get(side), "{:.0f}"),
            number(growth.rss_mb[0], "{:.0f}"),
            number(growth.rss_mb[-1], "{:.0f}"),
            number(growth.slope_mb, "{:+.1f}"),
        ]
        for side, growth in memory.growth.items()
    ]
    large = f"{memory.large_megapixels:g} MP"
    last = max((growth.pictures[-1] for growth in memory.growth.values()), default=0)
    return "Memory in MB (10^6 bytes):\n\n" + table(
        [
            "",
            f"peak, {large} to PNG",
            f"peak, {large}, matte only",
            "after 1 picture of 1 MP",
            f"after {last}",
            "growth per 100",
        ],
        rows,
    )


def _times(value: float | None) -> str:
    return number(value, "{:.2f}")
