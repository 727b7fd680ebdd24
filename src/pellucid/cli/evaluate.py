"""`pellucid eval`: how good the mattes are on pictures with true masks."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import track

from pellucid.errors import SettingsError
from pellucid.settings.model import SettingsTree
from pellucid.wiring.engines import open_library_engine

_WORST = 20
_TITLES = ("IoU", "bIoU", "MAE", "MSE", "SAD", "grad", "S", "max-F")
"""In the order of `evaluate.run.MEASURES`."""


def evaluate_folder(folder: Path, settings: SettingsTree, *, sheet_file: Path | None, json_file: Path | None) -> int:
    """Measure every picture of `folder`, print a table with the mean, write the files asked for; returns 0.

    Raises SettingsError when the folder is not laid out as it must be, or the extra `[eval]` is not installed.
    """
    if find_spec("py_sod_metrics") is None or find_spec("scipy") is None:
        raise SettingsError("`pellucid eval` needs its extra: pip install 'pellucid[eval]'")
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
