"""`pellucid eval`: how good the mattes are on pictures with true masks."""

from __future__ import annotations

import heapq
import statistics
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.progress import track

from pellucid.errors import SettingsError
from pellucid.settings.model import SettingsTree
from pellucid.system.extras import install_command
from pellucid.wiring.engines import open_library_engine

if TYPE_CHECKING:
    from pellucid.evaluate.measures import Measures
    from pellucid.evaluate.run import Result, Score

_WORST = 20
"""On the sheet."""

_NAMED = 5
"""Of each set, below the means."""

_TITLES = ("IoU", "bIoU", "MAE", "MSE", "SAD", "grad", "veil", "S", "max-F")
"""In the order of the fields of `evaluate.measures.Measures`."""


def evaluate_folders(
    folders: list[Path], settings: SettingsTree, *, sheet_file: Path | None, json_file: Path | None
) -> int:
    """Measure every picture of `folders`, print a table for each with its mean and, where there are several, one of
    their means; write the files asked for; returns 0.

    Raises SettingsError when a folder is not laid out as it must be, two have the same name, or the extra `[eval]` is
    not installed.
    """
    if any(find_spec(package) is None for package in ("py_sod_metrics", "scipy")):
        raise SettingsError(f"`pellucid eval` needs its extra: {install_command('eval')}")
    from pellucid.evaluate.dataset import find_pairs, name_sets, read_samples  # noqa: PLC0415 - the extra's packages
    from pellucid.evaluate.run import evaluate, mean, peak_memory_mib  # noqa: PLC0415
    from pellucid.evaluate.sheet import sheet  # noqa: PLC0415

    totals = {name: len(find_pairs(folder)) for name, folder in name_sets(folders).items()}
    engine = open_library_engine(settings)
    console = Console()
    sets: dict[str, list[Score]] = {}
    worst: list[tuple[str, Result]] = []
    for (name, total), folder in zip(totals.items(), folders, strict=True):
        scores = sets[name] = []
        run = evaluate(read_samples(folder), engine)
        for result in track(run, total=total, description=name, console=Console(stderr=True), transient=True):
            scores.append(result.score)
            if sheet_file is not None:
                # No more pixels are kept than the page shows.
                label = f"{name}: {result.score.name}" if len(folders) > 1 else result.score.name
                worst = heapq.nsmallest(_WORST, [*worst, (label, result)], key=lambda pair: _boundary_iou(pair[1]))
        _print_scores(console, name, scores)
    means = {name: mean([score.measures for score in scores]) for name, scores in sets.items()}
    if len(sets) > 1:
        _print_means(console, sets, means)
    console.print(
        f"\nrecipe {engine.recipe.id} on {engine.device.full_name.strip()}; peak memory {peak_memory_mib():.0f} MiB",
        highlight=False,
        soft_wrap=True,
    )
    if sheet_file is not None:
        sheet_file.write_text(sheet(f"{', '.join(sets)}: {engine.recipe.id}", worst))
        console.print(f"the worst {len(worst)}: {sheet_file}", highlight=False, soft_wrap=True)
    if json_file is not None:
        document = {
            "recipe": engine.recipe.id,
            "sets": {
                name: {
                    "mean": asdict(means[name]) | {"seconds": _mean_seconds(scores)},
                    "pictures": {each.name: asdict(each.measures) | {"seconds": each.seconds} for each in scores},
                }
                for name, scores in sets.items()
            },
            "mean": asdict(mean(means.values())),
        }
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    return 0


def _print_scores(console: Console, name: str, scores: list[Score]) -> None:
    """A line for each picture of a set, and their mean."""
    from pellucid.evaluate.run import mean  # noqa: PLC0415 - the extra's packages

    width = max(len(name), *(len(score.name) for score in scores))
    say = console.out  # no table: its columns would be cut off where the terminal is narrow
    say(f"{name:{width}}" + "".join(f"{title:>9}" for title in (*_TITLES, "conf", "seconds")))
    for score in scores:
        say(f"{score.name:{width}}{_numbers(score.measures)}{score.confidence:9.2f}{score.seconds:9.2f}")
    average = mean([score.measures for score in scores])
    say(f"{f'mean of {len(scores)}':{width}}{_numbers(average)}{'':9}{_mean_seconds(scores):9.2f}\n")


def _print_means(console: Console, sets: dict[str, list[Score]], means: dict[str, Measures]) -> None:
    """A line for each set, the mean over sets, each set counting the same, and which pictures to look at first."""
    from pellucid.evaluate.run import mean, worst_first  # noqa: PLC0415 - the extra's packages

    last = f"mean of {len(sets)} sets"
    width = max(len(name) for name in (*sets, last))
    console.out(f"{'set':{width}}{'pictures':>9}" + "".join(f"{title:>9}" for title in (*_TITLES, "seconds")))
    for name, scores in sets.items():
        console.out(f"{name:{width}}{len(scores):9}{_numbers(means[name])}{_mean_seconds(scores):9.2f}")
    console.out(f"{last:{width}}{sum(map(len, sets.values())):9}{_numbers(mean(means.values()))}")
    console.out("\nlowest boundary IoU of each set:")
    for name, scores in sets.items():
        worst = worst_first(scores)[:_NAMED]
        named = ", ".join(f"{score.name} {score.measures.boundary_iou:.2f}" for score in worst)
        console.out(f"{name:{width}}  {named}")


def _numbers(measures: Measures) -> str:
    return "".join(f"{value:9.4f}" for value in asdict(measures).values())


def _mean_seconds(scores: list[Score]) -> float:
    return statistics.fmean(score.seconds for score in scores)


def _boundary_iou(result: Result) -> float:
    return result.score.measures.boundary_iou
