"""`pellucid eval`: how good the mattes are on pictures with true masks, and the edges' colours on made scenes."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.progress import track

from pellucid.errors import ModelUnavailableError, SettingsError
from pellucid.extras import install_command
from pellucid.settings.model import SettingsTree
from pellucid.wiring.engines import open_library_engine

if TYPE_CHECKING:
    from pellucid.engine import Engine
    from pellucid.evaluate.halo import HaloResult, Summary

_WORST = 20
_OWN_MATTE = "Pellucid, own matte"
_TITLES = ("IoU", "bIoU", "MAE", "MSE", "SAD", "grad", "S", "max-F")
"""In the order of `evaluate.run.MEASURES`."""


def evaluate_folder(folder: Path, settings: SettingsTree, *, sheet_file: Path | None, json_file: Path | None) -> int:
    """Measure every picture of `folder`, print a table with the mean, write the files asked for; returns 0.

    Raises SettingsError when the folder is not laid out as it must be, or the extra `[eval]` is not installed.
    """
    _require("py_sod_metrics", "scipy")
    from pellucid.evaluate.dataset import find_pairs, read_samples  # noqa: PLC0415 - the extra's packages
    from pellucid.evaluate.run import MEASURES, evaluate, mean, peak_memory_mib, worst_first  # noqa: PLC0415
    from pellucid.evaluate.sheet import sheet  # noqa: PLC0415

    total = len(find_pairs(folder))
    engine = open_library_engine(settings)
    console = Console()
    results = list(
        track(evaluate(read_samples(folder), engine), total=total, console=Console(stderr=True), transient=True)
    )
    name_width = max(len(result.sample.name) for result in results)
    say = console.out  # no table: its columns would be cut off where the terminal is narrow
    say(f"{'picture':{name_width}}" + "".join(f"{title:>9}" for title in (*_TITLES, "conf", "seconds")))
    for result in results:
        numbers = "".join(f"{getattr(result.measures, name):9.4f}" for name in MEASURES)
        say(f"{result.sample.name:{name_width}}{numbers}{result.cutout.confidence:9.2f}{result.seconds:9.2f}")
    average = mean(results)
    seconds = statistics.fmean(result.seconds for result in results)
    numbers = "".join(f"{getattr(average, name):9.4f}" for name in MEASURES)
    say(f"{f'mean of {len(results)}':{name_width}}{numbers}{'':9}{seconds:9.2f}")
    console.print(
        f"\nrecipe {engine.recipe.id} on {engine.device.full_name.strip()}; peak memory {peak_memory_mib():.0f} MiB",
        highlight=False,
        soft_wrap=True,
    )
    if sheet_file is not None:
        sheet_file.write_text(sheet(f"{folder.resolve().name}: {engine.recipe.id}", worst_first(results)[:_WORST]))
        console.print(f"the worst {min(_WORST, len(results))}: {sheet_file}", highlight=False, soft_wrap=True)
    if json_file is not None:
        document = {
            "recipe": engine.recipe.id,
            "mean": asdict(average) | {"seconds": seconds},
            "pictures": {r.sample.name: asdict(r.measures) | {"seconds": r.seconds} for r in results},
        }
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    return 0


def evaluate_synthetic(
    settings: SettingsTree,
    *,
    photographs: Path | None,
    sheet_file: Path | None,
    json_file: Path | None,
    count: int | None = None,
    size: tuple[int, int] | None = None,
) -> int:
    """Measure the colour of edges on scenes made by code, print a table by kind, write the files asked for; returns 0.

    `photographs`: a folder whose pictures are one more backdrop. `count` and `size` (width, height; multiples of 4) of
    the scenes are the benchmark's own unless given. Without the model's weights, what needs no model is measured.
    Raises SettingsError when the extra `[eval]` is not installed, ImageError when a photograph cannot be used.
    """
    _require("scipy")
    from pellucid.evaluate import halo  # noqa: PLC0415 - the extra's packages
    from pellucid.evaluate.backdrops import load_photographs  # noqa: PLC0415
    from pellucid.evaluate.contenders import CONTENDERS  # noqa: PLC0415
    from pellucid.evaluate.halo_sheet import halo_sheet, scene_table  # noqa: PLC0415

    console = Console()
    pictures = [] if photographs is None else load_photographs(photographs)
    count = count or (halo.SCENES_WITH_PHOTOGRAPHS if pictures else halo.SCENES)
    size = size or halo.SCENE_SIZE
    width = size[0] // 4
    engine = _engine_if_there(settings, console)
    results: dict[str, list[HaloResult]] = {name: [] for name in CONTENDERS}
    if engine is not None:
        results[_OWN_MATTE] = []
    rows: list[str] = []
    scenes = halo.make_scenes(count, size=size, photographs=pictures)
    for scene in track(scenes, total=count, console=Console(stderr=True), transient=True):
        found = {
            name: halo.measure_given_matte(scene, contender, width=width) for name, contender in CONTENDERS.items()
        }
        if engine is not None:
            found[_OWN_MATTE] = halo.measure_own_matte(scene, engine, width=width)
        for name, result in found.items():
            results[name].append(result)
        if sheet_file is not None:
            rows.append(scene_table(scene, halo.truth_of(scene).reduced(width), found))
    summaries = {name: halo.summarise(group) for name, group in results.items()}
    _print_halos(console, summaries, size=size, width=width)
    if sheet_file is not None:
        sheet_file.write_text(halo_sheet("halo of made scenes", rows))
        console.print(f"\nthe scenes: {sheet_file}", highlight=False, soft_wrap=True)
    if json_file is not None:
        document = {
            "recipe": engine.recipe.id if engine is not None else None,
            "size": size,
            "width": width,
            "summary": summaries,
            "scenes": {
                name: {r.scene: {"own": r.own, "small": r.small} for r in group} for name, group in results.items()
            },
        }
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    return 0


def _print_halos(
    console: Console, summaries: dict[str, dict[str, Summary]], *, size: tuple[int, int], width: int
) -> None:
    """Two blocks, a line for each way and a column for each kind of edge."""
    blocks = (
        (f"at {size[0]} x {size[1]}, over black", "own_black"),
        (f"at {width} px across, over black", "small_black"),
        (f"at {width} px across, mean over six backdrops", "small_all"),
    )
    wide = max(len(name) for name in summaries)
    for title, field in blocks:
        kinds = list(next(iter(summaries.values())))
        console.out(f"\nerror in mixed pixels {title}, 8-bit levels")
        console.out(" " * wide + "".join(f"{kind:>9}" for kind in kinds))
        for name, summary in summaries.items():
            console.out(f"{name:{wide}}" + "".join(f"{getattr(summary[kind], field):9.2f}" for kind in kinds))


def _engine_if_there(settings: SettingsTree, console: Console) -> Engine | None:
    try:
        return open_library_engine(settings)
    except ModelUnavailableError as error:
        console.print(f"true mattes only: {error}", markup=False, highlight=False, soft_wrap=True)
        return None


def _require(*packages: str) -> None:
    if any(find_spec(package) is None for package in packages):
        raise SettingsError(f"`pellucid eval` needs its extra: {install_command('eval')}")
