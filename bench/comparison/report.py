"""Results as Markdown tables: on the terminal, and as a section of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence

from comparison.numbers import (
    folder_peak_mb,
    images_per_s,
    mean_quality,
    median_png_mb,
    median_s,
    ratio,
    startup_s,
)
from comparison.results import REMBG, Results
from comparison.targets import Verdict, judge

START = "<!-- bench/compare.py writes from here -->"
END = "<!-- to here -->"

_INTRODUCTION = """`.venv/bin/python bench/compare.py --data DIR... --docs`: both programs with the same U2-Net weights,
in one run on one machine, each with its own defaults, taking turns picture by picture. "x" is how many times as fast as
rembg's default."""

_BUSY = 0.05
"""Above it the tables say so; an idle machine is at 0.00 to 0.02."""


def tables(results: Results) -> str:
    """Everything that was measured, with rembg's figure divided by each tier's, and the targets' verdict."""
    parts = (_latency, _folder, _startup, _memory, _quality, _verdicts)
    return "\n\n".join(text for part in parts if (text := part(results)))


def heading(results: Results) -> str:
    """Machine, versions, date and counts, as a paragraph."""
    machine = results.machine
    place = f"{machine.cores} cores of {machine.cpu}{', a virtual machine' if machine.virtual else ''}"
    versions = ", ".join(f"{name} {number}" for name, number in results.versions.items())
    note = " A quick run: a try, not a measurement." if results.quick else ""
    if machine.busy_elsewhere > _BUSY:
        note += f" Other work took {machine.busy_elsewhere:.0%} of the cores: run it again on an idle machine."
    return (
        f"{results.date}: {place}, {machine.memory_gb:g} GB; {' '.join(machine.features) or 'no flags of note'}; "
        f"Python {machine.python}, {versions}.{note}"
    )


def section(results: Results, plots: dict[str, str]) -> str:
    """The section between its markers. `plots`: path from the page, by what is said in place of the picture."""
    pictures = "\n\n".join(f"![{words}]({path})" for words, path in plots.items())
    parts = ("## Beside rembg", _INTRODUCTION, heading(results), tables(results), pictures)
    return "\n".join([START, "\n\n".join(parts), END])


def put_section(page: str, text: str) -> str:
    """`page` with `text` in place of what is between the markers, or at its end where there are none.

    Raises ValueError when one marker is there without the other.
    """
    if START not in page and END not in page:
        return f"{page.rstrip()}\n\n{text}\n"
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError("the page has one marker of the section without the other")
    return before + text + after


def _latency(results: Results) -> str:
    if not results.latency:
        return ""
    rows: list[list[str]] = []
    for megapixels, timings in results.latency.items():
        base = median_s(results, megapixels, REMBG)
        for side, timing in timings.items():
            seconds = median_s(results, megapixels, side)
            factor = None if side == REMBG else ratio(base, seconds)
            size = _number(median_png_mb(results, megapixels, side), "{:.2f}")
            rows.append([megapixels, side, str(len(timing.seconds)), _number(seconds, "{:.3f}"), _times(factor), size])
    return "JPEG bytes to PNG bytes, resident process, medians:\n\n" + _table(
        ["MP", "", "pictures", "seconds", "x", "PNG, MB"], rows, words=2
    )


def _folder(results: Results) -> str:
    if results.folder is None:
        return ""
    base = images_per_s(results, REMBG)
    rows = [
        [
            side,
            _number(rate := images_per_s(results, side), "{:.2f}"),
            _times(None if side == REMBG else ratio(rate, base)),
            _number(folder_peak_mb(results, side), "{:.0f}"),
        ]
        for side in results.folder.runs
    ]
    rounds = max(map(len, results.folder.runs.values()))
    text = f"`rembg p` and `pellucid cut` over {results.folder.pictures} pictures of 1 MP, whole commands"
    return f"{text}, median of {rounds}:\n\n" + _table(["", "images per second", "x", "peak memory, MB"], rows)


def _startup(results: Results) -> str:
    if results.startup is None:
        return ""
    base = startup_s(results, REMBG)
    rows = [
        [
            side,
            _number(seconds := startup_s(results, side), "{:.2f}"),
            _times(None if side == REMBG else ratio(base, seconds)),
            _number(results.startup.uncompiled.get(side), "{:.2f}"),
        ]
        for side in results.startup.seconds
    ]
    return "From process start to the first PNG, 1 MP:\n\n" + _table(
        ["", "seconds", "x", "with no compiled model on disk"], rows
    )


def _memory(results: Results) -> str:
    memory = results.memory
    if memory is None:
        return ""
    rows = [
        [
            side,
            _number(memory.large_mb.get(side), "{:.0f}"),
            _number(memory.worker_mb.get(side), "{:.0f}"),
            _number(growth.rss_mb[0], "{:.0f}"),
            _number(growth.rss_mb[-1], "{:.0f}"),
            _number(growth.slope_mb, "{:+.1f}"),
        ]
        for side, growth in memory.growth.items()
    ]
    large = f"{memory.large_megapixels:g} MP"
    last = max((growth.pictures[-1] for growth in memory.growth.values()), default=0)
    return "Memory in MB (10^6 bytes):\n\n" + _table(
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


def _quality(results: Results) -> str:
    rows: list[list[str]] = []
    for folder, scores in results.quality.items():
        base = mean_quality(results, folder, REMBG)
        for side, values in scores.items():
            mean = mean_quality(results, folder, side)
            assert mean is not None and base is not None
            gains = side != REMBG
            rows.append(
                [
                    f"{folder} ({len(values)})",
                    side,
                    f"{mean.iou:.4f}" + (f" ({mean.iou - base.iou:+.4f})" if gains else ""),
                    f"{mean.boundary_iou:.4f}" + (f" ({mean.boundary_iou - base.boundary_iou:+.4f})" if gains else ""),
                    f"{mean.mae:.4f}" + (f" ({mean.mae - base.mae:+.4f})" if gains else ""),
                    f"{mean.gradient:.4f}" + (f" ({mean.gradient / base.gradient - 1:+.0%})" if gains else ""),
                ]
            )
    if not rows:
        return ""
    return "Mattes against true masks, means over pictures, with the difference to rembg:\n\n" + _table(
        ["set (pictures)", "", "IoU", "boundary IoU", "MAE", "gradient error"], rows, words=2
    )


def _verdicts(results: Results) -> str:
    rows = [
        [verdict.tier, verdict.what, _bound(verdict), _measured(verdict), _word(verdict)] for verdict in judge(results)
    ]
    return "Targets; differences are to rembg:\n\n" + _table(
        ["tier", "target", "wanted", "measured", ""], rows, words=2
    )


def _bound(verdict: Verdict) -> str:
    return ("at least " if verdict.at_least else "at most ") + _quantity(verdict, verdict.bound)


def _measured(verdict: Verdict) -> str:
    return "" if verdict.measured is None else _quantity(verdict, verdict.measured)


def _quantity(verdict: Verdict, value: float) -> str:
    if verdict.unit == "%":
        return f"{value:+.0%}"
    if not verdict.unit:
        return f"{value:+.4f}"
    return f"{value:.0f}{verdict.unit}" if verdict.unit == " MB" else f"{value:.2f}{verdict.unit}"


def _word(verdict: Verdict) -> str:
    return {True: "reached", False: "missed", None: "not measured"}[verdict.reached]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _times(value: float | None) -> str:
    return _number(value, "{:.2f}")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """A Markdown table, padded to be read as it is; the first `words` columns to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if at < words else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join(padded) + " |"

    rule = (
        "|"
        + "|".join("-" * (width + 2) if at < words else "-" * (width + 1) + ":" for at, width in enumerate(widths))
        + "|"
    )
    return "\n".join([line(head), rule, *map(line, rows)])
