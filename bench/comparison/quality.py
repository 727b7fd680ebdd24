"""Mattes of both programs against true masks (`pellucid.evaluate`)."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from comparison.cutouts import CutoutStore
from comparison.progress import say
from comparison.results import Quality, QualitySet
from comparison.sides import Programs
from pellucid.evaluate.dataset import Sample, find_pairs, name_sets, read_sample
from pellucid.evaluate.measures import FloatArray, boundary_iou, gradient_error, iou, veil
from pellucid.settings.cores import available_cores

_HALF = 0.5

Pair = tuple[Path, Path, Path | None]


def measure_quality(
    sides: list[str], store: CutoutStore, programs: Programs, folders: list[Path], *, limit: int | None
) -> dict[str, QualitySet]:
    """Measures by the folder's name. `limit`: so many pictures of each folder. What `store` has is not cut again.

    Raises SideGoneError, and what `name_sets` and `read_samples` raise.
    """
    sets = {name: find_pairs(folder)[:limit] for name, folder in name_sets(folders).items()}
    store.fill(programs, [picture for pairs in sets.values() for picture, _, _ in pairs])
    found: dict[str, QualitySet] = {}
    # Not forked: libvips has threads by now.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(available_cores(), mp_context=context) as pool:
        for name, pairs in sets.items():
            say(f"quality: {name}, {len(pairs)} pictures")
            files = [[store.path(side, pair[0].read_bytes()) for side in sides] for pair in pairs]
            rows = list(pool.map(score_files, pairs, files))
            scores = {side: list(column) for side, column in zip(sides, zip(*rows, strict=True), strict=True)}
            found[name] = QualitySet(pictures=[picture.stem for picture, _, _ in pairs], scores=scores)
    return found


def score_files(pair: Pair, cutouts: list[Path]) -> list[Quality]:
    """Measures of several cutouts of one picture. Raises as `read_sample` and `score` do."""
    sample = read_sample(*pair)
    return [score(read_alpha(file), sample) for file in cutouts]


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
        veil=veil(alpha, sample.truth, sample.valid),
    )


def read_alpha(png: Path) -> FloatArray:
    """The matte of an RGBA PNG: float32, H x W, [0, 1]."""
    with Image.open(png) as image:
        return np.asarray(image.getchannel("A"), np.float32) / np.float32(255)
