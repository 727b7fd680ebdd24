"""Whose cutouts keep the old background's colour in their edges? Made scenes, true mattes given, errors in levels.

    .venv/bin/python bench/halo.py [--scenes 28] [--first 0] [--size 1600 1200] [--photographs [DIR]] [--own-matte]
                                   [--rembg-python PYTHON] [--sheet FILE] [--json FILE]

Prints three tables by kind of edge: the halo at the scene's own size, at a quarter of it, and there over six colours.
"Reduced after" are cutouts at full size, reduced by premultiplied area means. With --rembg-python, a Python that has
rembg and its packages, rembg's functions run on the same photos and mattes: its naive cutout, and its decontamination
(pymatting's estimate_foreground_ml), at full size and reduced after, and on what was reduced before. The last row is
the true cutout scaled by libvips' sharper kernel: part of the error of a rendition is that, not a halo.

With --photographs, pictures of DIR, or the sample photographs, are one more backdrop. With --own-matte, Pellucid also
cuts the scenes itself, with the model that the settings name (PELLUCID_MODEL_QUALITY and others). --sheet writes an
HTML page with every cutout of every scene, --json all numbers. Needs the extra `[eval]`.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track
from scenes.backdrops import load_photographs
from scenes.contenders import CONTENDERS, Contender, PhotoAsItIs, Reduced
from scenes.halo import (
    SCENE_SIZE,
    SCENES,
    SCENES_WITH_PHOTOGRAPHS,
    HaloResult,
    Summary,
    backdrop_errors,
    make_scenes,
    measure_given_matte,
    measure_own_matte,
    summarise,
    truth_of,
)
from scenes.halo_sheet import halo_sheet, scene_table
from scenes.reduce import Pixels
from scenes.synthetic import Scene

from pellucid.engine import Engine
from pellucid.errors import PellucidError
from pellucid.image.vips import from_array, to_array, to_srgb_size
from pellucid.render.compose import with_alpha
from pellucid.settings.load import load_settings
from pellucid.wiring.engines import open_library_engine

REDUCTION = 4
"""How many times narrower than the scene the small cutouts are."""

OWN_MATTE = "Pellucid, own matte"
TRUTH = "the truth, scaled by libvips"
ONLY_SMALL = ("photo, reduced after", "Pellucid, reduced after", "pymatting ml, reduced before", TRUTH)
"""Rows that say nothing new at the scene's own size."""


class Rembg:
    """One of rembg's cutout functions; below full size on photo and matte at that size."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, way: str) -> None:
        self._process, self._folder, self._way = process, folder, way

    def cut(self, photo: Pixels, matte_hw: Pixels, /) -> Pixels:
        path = self._folder / "job.npz"
        np.savez(path, photo=photo, matte=matte_hw)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{self._way} {path}\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "done\n":
            raise SystemExit("the other program ended; its message is above")
        return np.load(path.with_suffix(".npy"))

    def render(self, photo: bytes, matte_hw: Pixels, width: int, /) -> Pixels:
        small = PhotoAsItIs().render(photo, matte_hw, width)
        return self.cut(small[..., :3], small[..., 3])


@contextmanager
def rembg(python: str) -> Generator[Mapping[str, Contender]]:
    script = Path(__file__).with_name("halo_rembg.py")
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        decontaminate = Rembg(process, Path(folder), "decontaminate")
        yield {
            "rembg naive, reduced after": Reduced(Rembg(process, Path(folder), "naive")),
            "pymatting ml, reduced after": Reduced(decontaminate),
            "pymatting ml, reduced before": decontaminate,
        }
        assert process.stdin is not None
        process.stdin.close()


def sharper_truth(scene: Scene, width: int) -> HaloResult:
    """The true cutout scaled by libvips, whose kernel is sharper than area means: what no estimation can undo."""
    rgba = with_alpha(scene.foreground, scene.matte_hw)
    small = to_array(to_srgb_size(from_array(rgba), width=width, height=rgba.shape[0] // REDUCTION))
    truth = truth_of(scene)
    return HaloResult(
        scene=scene.name,
        kind=scene.kind,
        own=backdrop_errors(rgba, truth),
        small=backdrop_errors(small, truth.reduced(width)),
        small_rgba=small,
    )


def measure(
    scene: Scene, contenders: Mapping[str, Contender], engine: Engine | None, width: int
) -> dict[str, HaloResult]:
    """One scene, cut in every way. In the order of the tables."""
    found = {name: measure_given_matte(scene, contender, width=width) for name, contender in contenders.items()}
    if engine is not None:
        found[OWN_MATTE] = measure_own_matte(scene, engine, width=width)
    return found | {TRUTH: sharper_truth(scene, width)}


def print_table(title: str, summaries: Mapping[str, Mapping[str, Summary]], field: str) -> None:
    kinds = list(next(iter(summaries.values())))
    print(f"\n{title}\n\n| | {' | '.join(kinds)} |\n|---{'|---' * len(kinds)}|")
    for name, summary in summaries.items():
        print(f"| {name} | {' | '.join(f'{getattr(summary[kind], field):.2f}' for kind in kinds)} |")


def print_tables(results: Mapping[str, list[HaloResult]], size: tuple[int, int]) -> None:
    summaries = {name: summarise(group) for name, group in results.items()}
    own = {name.removesuffix(", reduced after"): each for name, each in summaries.items() if name not in ONLY_SMALL}
    width, height = size
    small = f"{width // REDUCTION} px across"
    print_table(f"Halo at {width} x {height} (levels, over black)", own, "own_black")
    print_table(f"Halo at {small} (levels, over black)", summaries, "small_black")
    print_table(f"At {small}, mean over black, white, red, green, blue, magenta", summaries, "small_all")


def as_json(results: Mapping[str, list[HaloResult]], size: tuple[int, int], engine: Engine | None) -> bytes:
    """What the tables are made of, and the errors of each scene over each colour."""
    document = {
        "recipe": engine.recipe.id if engine is not None else None,
        "size": size,
        "width": size[0] // REDUCTION,
        "summary": {name: summarise(group) for name, group in results.items()},
        "scenes": {
            name: {each.scene: {"own": each.own, "small": each.small} for each in group}
            for name, group in results.items()
        },
    }
    return msgspec.json.format(msgspec.json.encode(document))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the colour of edges on made scenes.")
    parser.add_argument("--scenes", type=int, help="how many; 28 by default, with photographs 35")
    parser.add_argument("--first", type=int, default=0, help="seed of the first scene")
    parser.add_argument("--size", type=int, nargs=2, default=SCENE_SIZE, metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--photographs", type=Path, nargs="?", const=False, default=None, metavar="DIR")
    parser.add_argument("--own-matte", action="store_true", help="measure Pellucid's own mattes, too")
    parser.add_argument("--rembg-python", metavar="PYTHON", help="a Python that has rembg")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="write an HTML page of all scenes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers as JSON")
    options = parser.parse_args()
    if min(options.size) < 64 or any(side % REDUCTION for side in options.size):
        parser.error(f"--size takes multiples of {REDUCTION}, 64 or more")
    return options


def main() -> None:
    options = read_options()
    try:
        photographs = [] if options.photographs is None else load_photographs(options.photographs or None)
        engine = open_library_engine(load_settings(flags={})) if options.own_matte else None
    except PellucidError as error:
        sys.exit(str(error))
    size = (options.size[0], options.size[1])
    width = size[0] // REDUCTION
    count = options.scenes or (SCENES_WITH_PHOTOGRAPHS if photographs else SCENES)
    scenes = make_scenes(count, first=options.first, size=size, photographs=photographs)
    results: dict[str, list[HaloResult]] = {}
    shown: list[str] = []
    none: Mapping[str, Contender] = {}
    with rembg(options.rembg_python) if options.rembg_python else nullcontext(none) as others:
        contenders = {
            **CONTENDERS,
            "photo, reduced after": Reduced(PhotoAsItIs()),
            "Pellucid, reduced after": Reduced(CONTENDERS["Pellucid"]),
            **others,
        }
        for scene in track(scenes, total=count, console=Console(stderr=True), transient=True):
            found = measure(scene, contenders, engine, width)
            for name, result in found.items():
                results.setdefault(name, []).append(result)
            if options.sheet:
                shown.append(scene_table(scene, truth_of(scene).reduced(width), found))
    backdrops = ", photographs among the backdrops" if photographs else ""
    made = f"{count} scenes from seed {options.first}{backdrops}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}; {made}")
    print_tables(results, size)
    if options.sheet:
        options.sheet.write_text(halo_sheet("halo of made scenes", shown))
    if options.json:
        options.json.write_bytes(as_json(results, size, engine))


if __name__ == "__main__":
    main()
