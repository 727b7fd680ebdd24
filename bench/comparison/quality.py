"""Mattes of both programs against true masks (`pellucid.evaluate`)."""

from __future__ import annotations

import io
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from comparison.progress import say
from comparison.results import REMBG, REMBG_MATTING, Quality
from comparison.sides import Programs, Side
from pellucid.evaluate.dataset import Sample, read_samples
from pellucid.evaluate.measures import FloatArray, boundary_iou, gradient_error, iou

_HALF = 0.5


def measure_quality(
    tiers: list[str], programs: Programs, folders: list[Path], *, limit: int | None, with_matting: bool
) -> dict[str, dict[str, list[Quality]]]:
    """Measures by folder name, then side. `limit`: so many pictures of each folder; `with_matting`: rembg's closed-form
    matting, too. Raises SideGoneError, and what `read_samples` raises.
    """
    found: dict[str, dict[str, list[Quality]]] = {}
    with ExitStack() as stack:
        sides = [stack.enter_context(Side.start(name, programs)) for name in [REMBG, *tiers]]
        for folder in folders:
            scores = found.setdefault(folder.resolve().name, {})
            for number, sample in enumerate(read_samples(folder)):
                if number == limit:
                    break
                say(f"quality: {folder.name}, {sample.name}")
                for side in sides:
                    way = "mask" if side.name == REMBG else "default"
                    scores.setdefault(side.name, []).append(_score(side, sample, way))
                if with_matting:
                    scores.setdefault(REMBG_MATTING, []).append(_score(sides[0], sample, "matting"))
    return found


def _score(side: Side, sample: Sample, way: str) -> Quality:
    _, png = side.cut(sample.picture, way=way, whole=True)
    return score(_alpha(png), sample)


def score(alpha: FloatArray, sample: Sample) -> Quality:
    """As `pellucid.evaluate.measures.measure` does it, without the saliency measures.

    Raises ValueError when the matte is not of the truth's size.
    """
    if alpha.shape != sample.truth.shape:
        raise ValueError(f"{sample.name}: the matte is {alpha.shape}, the truth {sample.truth.shape}")
    alpha = np.where(sample.valid, alpha, sample.truth).astype(np.float32)
    masks = alpha >= _HALF, sample.truth >= _HALF
    return Quality(
        iou=iou(*masks, sample.valid),
        boundary_iou=boundary_iou(*masks, sample.valid),
        mae=float(np.abs(alpha - sample.truth)[sample.valid].mean(dtype=np.float64)),
        gradient=gradient_error(alpha, sample.truth, sample.valid),
    )


def _alpha(png: bytes) -> FloatArray:
    """The matte of a grey or RGBA PNG: its last channel, float32, H x W, [0, 1]."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.getchannel(image.getbands()[-1]), np.float32) / np.float32(255)
