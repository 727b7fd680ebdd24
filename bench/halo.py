"""Whose cutouts keep the old background's colour in their edges? Made scenes, true mattes given, errors in levels.

    .venv/bin/python bench/halo.py [--scenes 28] [--first 0] [--photographs [DIR]] [--rembg-python PYTHON]

Prints three tables by kind of edge: the halo at the scene's own size (1600 x 1200), at 400 px across, and there over
six colours. With --rembg-python, a Python that has rembg and its packages, rembg's functions run on the same photos and
mattes: its naive cutout, and its decontamination (pymatting's estimate_foreground_ml), at full size and then reduced by
premultiplied area means, and at the rendered size. The last row is the true cutout scaled by libvips' sharper kernel:
part of the error of a rendition is that, not a halo. With --photographs, pictures of DIR, or the sample photographs,
are one more backdrop.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pellucid.evaluate.backdrops import load_photographs
from pellucid.evaluate.contenders import CONTENDERS, Contender, PhotoAsItIs
from pellucid.evaluate.halo import (
    RENDERED_WIDTH,
    SCENES,
    SCENES_WITH_PHOTOGRAPHS,
    HaloResult,
    backdrop_errors,
    make_scenes,
    measure_given_matte,
    summarise,
    truth_of,
)
from pellucid.evaluate.reduce import Pixels, reduce_cutout
from pellucid.evaluate.synthetic import Scene
from pellucid.image.decode import decode_full
from pellucid.image.probe import probe
from pellucid.image.vips import from_array, to_array, to_srgb_size
from pellucid.render.compose import with_alpha

TRUTH = "the truth, scaled by libvips"
ONLY_SMALL = ("photo, reduced after", "Pellucid, reduced after", "pymatting ml at 400 px", TRUTH)
"""Rows that say nothing new at the scene's own size."""


class Reduced:
    """A contender's cutout at full size, reduced afterwards: what a caller does who has only the whole cutout."""

    def __init__(self, inner: Contender) -> None:
        self._inner = inner

    def cut(self, photo: Pixels, matte_hw: Pixels, /) -> Pixels:
        return self._inner.cut(photo, matte_hw)

    def render(self, photo: bytes, matte_hw: Pixels, width: int, /) -> Pixels:
        pixels = to_array(decode_full(photo, probe(photo, max_pixels=10**8)))
        return reduce_cutout(self._inner.cut(pixels, matte_hw), width)


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
            "rembg naive, reduced": Reduced(Rembg(process, Path(folder), "naive")),
            "pymatting ml, reduced": Reduced(decontaminate),
            "pymatting ml at 400 px": decontaminate,
        }
        assert process.stdin is not None
        process.stdin.close()


def sharper_truth(scene: Scene) -> HaloResult:
    """The true cutout scaled by libvips, whose kernel is sharper than area means: what no estimation can undo."""
    rgba = with_alpha(scene.foreground, scene.matte_hw)
    height = scene.matte_hw.shape[0] * RENDERED_WIDTH // scene.matte_hw.shape[1]
    small = to_array(to_srgb_size(from_array(rgba), width=RENDERED_WIDTH, height=height))
    truth = truth_of(scene)
    return HaloResult(
        scene=scene.name,
        kind=scene.kind,
        own=backdrop_errors(rgba, truth),
        small=backdrop_errors(small, truth.reduced(RENDERED_WIDTH)),
        small_rgba=small,
    )


def table(title: str, results: Mapping[str, list[HaloResult]], field: str) -> None:
    summaries = {name: summarise(group) for name, group in results.items()}
    kinds = list(next(iter(summaries.values())))
    print(f"\n{title}\n\n| | {' | '.join(kinds)} |\n|---{'|---' * len(kinds)}|")
    for name, summary in summaries.items():
        print(f"| {name} | {' | '.join(f'{getattr(summary[kind], field):.2f}' for kind in kinds)} |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int)
    parser.add_argument("--first", type=int, default=0, help="seed of the first scene")
    parser.add_argument("--photographs", type=Path, nargs="?", const=False, default=None)
    parser.add_argument("--rembg-python")
    options = parser.parse_args()
    photographs = [] if options.photographs is None else load_photographs(options.photographs or None)
    count = options.scenes or (SCENES_WITH_PHOTOGRAPHS if photographs else SCENES)
    none: Mapping[str, Contender] = {}
    with rembg(options.rembg_python) if options.rembg_python else nullcontext(none) as others:
        contenders = {
            **CONTENDERS,
            "photo, reduced after": Reduced(PhotoAsItIs()),
            "Pellucid, reduced after": Reduced(CONTENDERS["Pellucid"]),
            **others,
        }
        results: dict[str, list[HaloResult]] = {name: [] for name in (*contenders, TRUTH)}
        for scene in make_scenes(count, first=options.first, photographs=photographs):
            for name, contender in contenders.items():
                results[name].append(measure_given_matte(scene, contender))
            results[TRUTH].append(sharper_truth(scene))
    backdrops = ", photographs among the backdrops" if photographs else ""
    scenes = f"{count} scenes from seed {options.first}{backdrops}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}; {scenes}")
    own = {name: group for name, group in results.items() if name not in ONLY_SMALL}
    names = {"rembg naive, reduced": "rembg naive", "pymatting ml, reduced": "pymatting ml"}
    own = {names.get(name, name): group for name, group in own.items()}
    table("Halo at 1600 x 1200 (levels, over black)", own, "own_black")
    table("Halo at 400 px across (levels, over black)", results, "small_black")
    table("At 400 px across, mean over black, white, red, green, blue, magenta", results, "small_all")


if __name__ == "__main__":
    main()
