"""Plots of results as SVG: text as text, no dates, the same bytes from the same results."""

from __future__ import annotations

from importlib import import_module
from itertools import zip_longest
from pathlib import Path
from typing import Any

from comparison.numbers import mean_quality, median_s
from comparison.results import REMBG, REMBG_MATTING, Results

_COLOURS = {
    REMBG: "#8a8a8a",
    REMBG_MATTING: "#5c5c5c",
    "fast": "#2f9e62",
    "standard": "#1f6fb5",
    "best": "#7a3fa0",
}
"""Apart in lightness, too: for print and for eyes that see no red or green."""

_STYLE: dict[str, Any] = {
    "svg.hashsalt": "pellucid",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
"""Ticks of the time axis."""

_PANELS = 3
"""Beside each other."""

_MEASURES = (("boundary_iou", "boundary IoU (more is better)"), ("gradient", "gradient error (less is better)"))


def draw(results: Results, folder: Path) -> dict[str, str]:
    """Write the plots that the results have numbers for; file name by what is to be said in place of the picture."""
    # By name: it takes half a second, is an extra, and its types are partial.
    context: Any = import_module("matplotlib").rc_context
    new_figure: Any = import_module("matplotlib.figure").Figure
    new_canvas: Any = import_module("matplotlib.backends.backend_svg").FigureCanvasSVG
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, str] = {}
    for name, (words, paint) in _PLOTS.items():
        with context(_STYLE):
            figure = new_figure()
            canvas = new_canvas(figure)
            if paint(figure, results):
                with (folder / name).open("wb") as file:
                    canvas.print_svg(file, metadata={"Date": None, "Creator": None})
                written[words] = name
    return written


def _frontier(figure: Any, results: Results) -> bool:  # noqa: ANN401 - the plotting library is not typed throughout
    """Seconds at 1 MP against quality: for each measure a panel for each set of more than one picture."""
    times = {side: median_s(results, "1", side) for side in (REMBG, REMBG_MATTING, *results.tiers)}
    names = [name for name, found in results.quality.items() if len(found.pictures) > 1]
    if not names or times[REMBG] is None:
        return False
    known = [seconds for seconds in times.values() if seconds is not None]
    low, high = min(known) / 1.6, max(known) * 1.6
    across = min(_PANELS, len(names))
    rows = -(-len(names) // across)
    figure.set_size_inches(7.5, 2.3 * rows * len(_MEASURES))
    grid = figure.subplots(rows * len(_MEASURES), across, squeeze=False)
    for at, (measure, label) in enumerate(_MEASURES):
        for axis, name in zip_longest(grid[at * rows : (at + 1) * rows].flat, names):
            axis.set_visible(name is not None)
            for side, seconds in times.items():
                mean = mean_quality(results, name or "", side)
                if mean is None or seconds is None:
                    continue
                axis.plot([seconds], [getattr(mean, measure)], "o", color=_COLOURS[side], markersize=6, label=side)
            axis.set_xscale("log")
            axis.margins(0.28)
            axis.set_xticks([tick for tick in _SECONDS if low <= tick <= high], minor=False)
            axis.xaxis.set_major_formatter("{x:g}")
            axis.minorticks_off()
            axis.set_xlim(low, high)
            axis.set_ylim(*_room(axis.get_ylim(), measure))
            axis.set_title(name, loc="left", fontsize=8)
            axis.tick_params(labelsize=7)
        for row in grid[at * rows : (at + 1) * rows]:
            row[0].set_ylabel(label, fontsize=8)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(times))
    figure.supxlabel("seconds for 1 MP, JPEG to PNG", fontsize=8)
    return True


def _room(limits: tuple[float, float], measure: str) -> tuple[float, float]:
    """The vertical axis: errors from 0, IoU over at least a tenth, so that no difference looks larger than it is."""
    bottom, top = limits
    if measure == "gradient":
        return 0, top * 1.1
    missing = max(0, 0.1 - (top - bottom)) / 2
    return bottom - missing, top + missing


def _bars(figure: Any, results: Results) -> bool:  # noqa: ANN401
    """Median seconds at each size, side by side."""
    sizes = [size for size, timings in results.latency.items() if REMBG in timings]
    sides = [side for side in results.sides() if all(side in results.latency[size] for size in sizes)]
    if not sizes:
        return False
    figure.set_size_inches(7.5, 3.2)
    axis = figure.subplots()
    width = 0.8 / len(sides)
    for at, side in enumerate(sides):
        heights = [median_s(results, size, side) or 0 for size in sizes]
        places = [place + (at - (len(sides) - 1) / 2) * width for place in range(len(sizes))]
        bars = axis.bar(places, heights, width * 0.92, label=side, color=_COLOURS[side])
        axis.bar_label(bars, fmt="{:.2f}", fontsize=7, padding=2)
    axis.set_xticks(range(len(sizes)), [f"{size} MP" for size in sizes])
    axis.grid(visible=False, axis="x")
    axis.set_ylabel("seconds, JPEG to PNG (median)")
    axis.legend(loc="upper left")
    return True


def _growth(figure: Any, results: Results) -> bool:  # noqa: ANN401
    """Resident size over a long run."""
    if results.memory is None or not results.memory.growth:
        return False
    figure.set_size_inches(7.5, 3.0)
    axis = figure.subplots()
    for side, growth in results.memory.growth.items():
        axis.plot(growth.pictures, growth.rss_mb, "o-", color=_COLOURS[side], label=side, markersize=4)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("pictures of 1 MP cut by one process")
    axis.set_ylabel("resident memory, MB")
    axis.legend()
    return True


_PLOTS = {
    "frontier.svg": ("Quality of the mattes against seconds at 1 megapixel", _frontier),
    "latency.svg": ("Seconds from JPEG to PNG at each size", _bars),
    "memory.svg": ("Resident memory over many pictures", _growth),
}
