"""The halo: how wrong the foreground's colours are where pixels are mixed, against scenes whose colours are known.

All errors are mean absolute differences in 8-bit levels over the band of the truth: pixels whose true alpha, rounded to
8 bits at the size that is measured, is 1/255 to 254/255. What is compared is what shows: alpha F over a backdrop D,
alpha F + (1 - alpha) D. Over black that is alpha F alone; the other backdrops differ from it only where the alpha
itself is not the true one.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.engine import Engine
from pellucid.evaluate.measures import BoolArray
from scenes.contenders import CONTENDERS, Contender, as_png
from scenes.reduce import Pixels, area_means, whole_factor
from scenes.synthetic import Scene, generate
from scenes.textures import FloatArray

SCENE_SIZE = (1600, 1200)
SCENES = 28
SCENES_WITH_PHOTOGRAPHS = 35
"""Every kind before every backdrop, once."""

BACKDROPS: Mapping[str, tuple[int, int, int]] = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "magenta": (255, 0, 255),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """`premultiplied`: alpha F, float32 levels, (height, width, 3). `alpha`: float32, (height, width), [0, 1]."""

    premultiplied: FloatArray
    alpha: FloatArray

    @property
    def band(self) -> BoolArray:
        """Where pixels are mixed: alpha, rounded to 8 bits, is neither 0 nor 255."""
        levels = np.rint(self.alpha * 255)
        return (levels > 0) & (levels < 255)

    def reduced(self, width: int) -> Truth:
        """Area means of alpha F and of alpha. Raises ValueError when `width` does not divide this one's."""
        factor = whole_factor(self.alpha, width)
        return Truth(premultiplied=area_means(self.premultiplied, factor), alpha=area_means(self.alpha, factor))


def truth_of(scene: Scene) -> Truth:
    """What a cutout of `scene` should be."""
    return Truth(premultiplied=scene.foreground * scene.alpha[..., None], alpha=scene.alpha)


def halo_error(premultiplied: FloatArray, truth: Truth) -> float:
    """The mean error of alpha F (float32, (height, width, 3), levels) in the band; 0 where there is none."""
    band = truth.band
    return float(np.abs(premultiplied - truth.premultiplied)[band].mean(dtype=np.float64)) if band.any() else 0.0


def backdrop_errors(rgba: Pixels, truth: Truth) -> dict[str, float]:
    """The mean error of the composite over each of `BACKDROPS`, in the band. `rgba`: straight alpha, truth's size.

    Over black it is the halo error. Raises ValueError when the sizes differ.
    """
    if rgba.shape != (*truth.alpha.shape, 4):
        raise ValueError(f"the cutout is {rgba.shape}, its truth {truth.alpha.shape}")
    alpha = rgba[..., 3].astype(np.float32) / np.float32(255)
    premultiplied = rgba[..., :3] * alpha[..., None]
    rest = (truth.alpha - alpha)[..., None]
    return {
        name: halo_error(premultiplied + rest * np.array(colour, np.float32), truth)
        for name, colour in BACKDROPS.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class HaloResult:
    """One scene by one contender. `own` and `small`: `backdrop_errors` at the scene's size and at the smaller one;
    `small_rgba` is the cutout there.
    """

    scene: str
    kind: str
    own: dict[str, float]
    small: dict[str, float]
    small_rgba: Pixels


def make_scenes(
    count: int = SCENES,
    *,
    first: int = 0,
    size: tuple[int, int] = SCENE_SIZE,
    photographs: Sequence[Pixels] = (),
) -> Iterator[Scene]:
    """The benchmark's scenes: `count` seeds from `first` on. `photographs` are one more backdrop."""
    return (generate(seed, size, photographs=photographs) for seed in range(first, first + count))


def measure_given_matte(scene: Scene, contender: Contender, *, width: int) -> HaloResult:
    """The foreground estimation alone: the true matte is given. `width`: of the smaller size, in pixels."""
    truth = truth_of(scene)
    small_rgba = contender.render(as_png(scene.photo), scene.matte_hw, width)
    return HaloResult(
        scene=scene.name,
        kind=scene.kind,
        own=backdrop_errors(contender.cut(scene.photo, scene.matte_hw), truth),
        small=backdrop_errors(small_rgba, truth.reduced(width)),
        small_rgba=small_rgba,
    )


def measure_own_matte(scene: Scene, engine: Engine, *, width: int) -> HaloResult:
    """The engine's own matte, with all that it misses, in the band of the true one. `width` as above."""
    cutout = engine.cut(scene.photo)
    truth = truth_of(scene)
    small_rgba = CONTENDERS["Pellucid"].render(as_png(scene.photo), cutout.matte_hw, width)
    return HaloResult(
        scene=scene.name,
        kind=scene.kind,
        own=backdrop_errors(cutout.rgba(), truth),
        small=backdrop_errors(small_rgba, truth.reduced(width)),
        small_rgba=small_rgba,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Means over scenes, in levels: over black (the halo) and over all `BACKDROPS`, at both sizes."""

    own_black: float
    own_all: float
    small_black: float
    small_all: float


def summarise(results: Iterable[HaloResult]) -> dict[str, Summary]:
    """By kind in their order, then `mean` over all scenes."""
    results = list(results)
    groups = {kind: [r for r in results if r.kind == kind] for kind in dict.fromkeys(r.kind for r in results)}
    return {name: _summary(group) for name, group in (groups | {"mean": results}).items()}


def _summary(results: list[HaloResult]) -> Summary:
    return Summary(
        own_black=statistics.fmean(r.own["black"] for r in results),
        own_all=statistics.fmean(error for r in results for error in r.own.values()),
        small_black=statistics.fmean(r.small["black"] for r in results),
        small_all=statistics.fmean(error for r in results for error in r.small.values()),
    )
