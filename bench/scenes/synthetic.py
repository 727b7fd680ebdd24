"""Scenes whose foreground is known: photos with masks know the alpha, not the colour below it.

A scene is I = alpha F + (1 - alpha) B in sRGB values, all four at hand. It follows from a seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scenes.backdrops import BACKDROPS, photograph
from scenes.layers import Layer
from scenes.subjects import KINDS
from scenes.textures import FloatArray, Size

PHOTOGRAPH = "photograph"
"""The backdrop of scenes that stand before one of the caller's pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One made picture. All arrays have the scene's size.

    `foreground`, `background`, `photo`: uint8 sRGB, (height, width, 3); the foreground is black where alpha is 0.
    `matte_hw`: uint8, (height, width), alpha in 255ths: exactly what was mixed with, nothing is lost in it. `kind` and
    `backdrop` are names of `KINDS` and `BACKDROPS`, or `PHOTOGRAPH`.
    """

    name: str
    kind: str
    backdrop: str
    foreground: npt.NDArray[np.uint8]
    background: npt.NDArray[np.uint8]
    photo: npt.NDArray[np.uint8]
    matte_hw: npt.NDArray[np.uint8]

    @property
    def alpha(self) -> FloatArray:
        """The true alpha: float32, (height, width), [0, 1]."""
        return self.matte_hw.astype(np.float32) / np.float32(255)


def generate(
    seed: int,
    size: Size,
    *,
    kind: str | None = None,
    backdrop: str | None = None,
    photographs: Sequence[npt.NDArray[np.uint8]] = (),
) -> Scene:
    """The scene of `seed` at `size` (width, height), at least 64 x 64.

    Without `kind` and `backdrop` seeds in a row go through all kinds, then through all backdrops: 28 of them show every
    pair. With `photographs` (height, width, 3 uint8) those are one more backdrop: 35 seeds. Another size is another
    scene, not the same one larger.
    """
    names = (*BACKDROPS, PHOTOGRAPH) if photographs else tuple(BACKDROPS)
    kinds = tuple(KINDS)
    kind = kind or kinds[seed % len(kinds)]
    backdrop = backdrop or names[seed // len(kinds) % len(names)]
    rng = np.random.default_rng(seed)
    matte, foreground = _quantised(KINDS[kind](rng, size, light=(seed + seed // len(kinds)) % 2 == 0))
    if backdrop == PHOTOGRAPH:
        behind = photograph(rng, size, photographs)
    else:
        weight = matte.astype(np.float32)[..., None]
        mean = (foreground * weight).sum(axis=(0, 1)) / weight.sum()
        behind = BACKDROPS[backdrop](rng, size, mean.astype(np.float32))
    background = np.rint(behind).astype(np.uint8)
    return Scene(
        name=f"{kind}-{backdrop}-{seed}",
        kind=kind,
        backdrop=backdrop,
        foreground=foreground,
        background=background,
        photo=mix(foreground, background, matte),
        matte_hw=matte,
    )


def mix(
    foreground: npt.NDArray[np.uint8], background: npt.NDArray[np.uint8], matte_hw: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """The photo alpha F + (1 - alpha) B, rounded: uint8, (height, width, 3)."""
    alpha = matte_hw.astype(np.float32)[..., None] / np.float32(255)
    return np.rint(foreground * alpha + background * (1 - alpha)).astype(np.uint8)


def _quantised(layer: Layer) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Alpha in 255ths and the straight colour that belongs to it."""
    matte = np.rint(layer.alpha * 255).astype(np.uint8)
    straight = layer.colour / np.maximum(layer.alpha, np.float32(1e-6))[..., None]
    foreground = np.rint(np.clip(straight, 0, 255)).astype(np.uint8)
    foreground[matte == 0] = 0
    return matte, foreground
