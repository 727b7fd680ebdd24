"""A folder of pictures with true masks: `images/`, `masks/` and, where some pixels are not to be scored, `ignore/`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pellucid.errors import ImageError, SettingsError
from pellucid.evaluate.measures import BoolArray, FloatArray
from pellucid.image.decode import decode_full
from pellucid.image.probe import probe
from pellucid.image.vips import to_array

_MAX_PIXELS = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One picture: its encoded bytes, its truth in [0, 1] (float32, H x W) and which pixels count (bool, H x W)."""

    name: str
    picture: bytes
    truth: FloatArray
    valid: BoolArray


def name_sets(folders: Iterable[Path]) -> dict[str, Path]:
    """Each folder by its own name, in order. Raises SettingsError when two have the same name."""
    sets: dict[str, Path] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in sets:
            raise SettingsError(f"{sets[name]} and {folder} have the same name; sets are told apart by it")
        sets[name] = folder
    return sets


def find_pairs(folder: Path) -> list[tuple[Path, Path, Path | None]]:
    """(picture, mask, ignore or None) for every picture that has a mask, by stem and in order.

    Raises SettingsError when the folder is not laid out so.
    """
    for name in ("images", "masks"):
        if not (folder / name).is_dir():
            raise SettingsError(f"{folder} has no folder {name}/; it needs images/, masks/ and may have ignore/")
    masks = {path.stem: path for path in (folder / "masks").iterdir() if path.is_file()}
    ignored = {path.stem: path for path in (folder / "ignore").glob("*") if path.is_file()}
    pictures = sorted(path for path in (folder / "images").iterdir() if path.stem in masks)
    if not pictures:
        raise SettingsError(f"no picture in {folder / 'images'} has a mask of the same name in {folder / 'masks'}")
    return [(path, masks[path.stem], ignored.get(path.stem)) for path in pictures]


def read_samples(folder: Path) -> Iterator[Sample]:
    """Every sample of `folder`. Raises SettingsError, and ImageError when a file is no picture or sizes differ."""
    for picture, mask, ignore in find_pairs(folder):
        yield read_sample(picture, mask, ignore)


def read_sample(picture: Path, mask: Path, ignore: Path | None) -> Sample:
    """One of `find_pairs`. Raises ImageError when a file is no picture or sizes differ."""
    data = picture.read_bytes()
    facts = probe(data, max_pixels=_MAX_PIXELS)
    truth = _levels(mask).astype(np.float32) / np.float32(255)
    valid = np.ones(truth.shape, np.bool_) if ignore is None else _levels(ignore) < 128
    for path, levels in ((mask, truth), (ignore, valid)):
        if levels.shape != (facts.height, facts.width):
            size = " x ".join(str(side) for side in reversed(levels.shape))
            raise ImageError(f"{path} is {size}, its picture {facts.width} x {facts.height}")
    return Sample(name=picture.stem, picture=data, truth=truth, valid=valid)


def _levels(path: Path) -> npt.NDArray[np.uint8]:
    """The first channel of a mask file, H x W uint8."""
    data = path.read_bytes()
    return to_array(decode_full(data, probe(data, max_pixels=_MAX_PIXELS)))[:, :, 0]
