"""What a run finds, as it is written to results.json: no paths, no host names. Memory in MB (10^6 bytes)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

REMBG = "rembg"
REMBG_DECONTAMINATE = "rembg, decontaminate"
REMBG_MATTING = "rembg, alpha matting"
TIERS = ("fast", "standard", "best")

PARTS = ("latency", "folder", "memory", "startup", "quality")
"""Fields of `Results` that can be measured alone."""


class Machine(msgspec.Struct, kw_only=True):
    """Where it ran. `features`: the CPU flags that matter for the arithmetic of models. `busy_elsewhere`: the share of
    all cores' time that other work took before or after the run, whichever is more, [0, 1].
    """

    cpu: str
    cores: int
    memory_gb: float
    virtual: bool
    features: list[str]
    system: str
    python: str
    busy_elsewhere: float


class Timing(msgspec.Struct, kw_only=True):
    """One side at one size: seconds and PNG sizes, picture by picture."""

    seconds: list[float] = []
    png_bytes: list[int] = []


class FolderRun(msgspec.Struct, kw_only=True):
    """One whole command over the folder. `peak_mb`: VmHWM, summed over the command's processes."""

    seconds: float
    peak_mb: float


class Folder(msgspec.Struct, kw_only=True):
    """`runs`: by side."""

    pictures: int
    runs: dict[str, list[FolderRun]]


class Growth(msgspec.Struct, kw_only=True):
    """VmRSS after so many pictures, from the warm-up (0) on. `slope_mb`: per 100 pictures, over the second half."""

    pictures: list[int]
    rss_mb: list[float]
    slope_mb: float


class Memory(msgspec.Struct, kw_only=True):
    """By side. `large_mb`: VmHWM of a fresh process after one large picture to PNG; `worker_mb`: the same after the
    matte alone, which is all that a matte worker makes.
    """

    large_megapixels: float
    large_mb: dict[str, float]
    worker_mb: dict[str, float]
    growth: dict[str, Growth]


class Startup(msgspec.Struct, kw_only=True):
    """Seconds from process start to the first PNG, by side; `uncompiled` without a compiled model on disk."""

    seconds: dict[str, list[float]]
    uncompiled: dict[str, float]


class Quality(msgspec.Struct, kw_only=True):
    """Measures of one picture (`pellucid.evaluate.measures`)."""

    iou: float
    boundary_iou: float
    mae: float
    gradient: float
    veil: float


class QualitySet(msgspec.Struct, kw_only=True):
    """One data folder. `scores`: by side, in the order of `pictures`, their names."""

    pictures: list[str]
    scores: dict[str, list[Quality]]


class Results(msgspec.Struct, kw_only=True):
    """One run. `recipes`: by tier. `latency`: by megapixels ("1"), then by side; `quality`: by data folder."""

    date: str
    quick: bool
    machine: Machine
    versions: dict[str, str]
    tiers: list[str]
    recipes: dict[str, str]
    latency: dict[str, dict[str, Timing]] = {}
    folder: Folder | None = None
    memory: Memory | None = None
    startup: Startup | None = None
    quality: dict[str, QualitySet] = {}

    def sides(self) -> list[str]:
        """rembg and the tiers that were there."""
        return [REMBG, *self.tiers]


def joined(earlier: Results, now: Results, measured: Collection[str]) -> Results:
    """`now` with the parts that are not among `measured` from an `earlier` run.

    Raises ValueError when that was another machine, other programs or a quick run.
    """
    for field in ("quick", "versions", "tiers", "recipes"):
        if getattr(earlier, field) != getattr(now, field):
            raise ValueError(f"the earlier run had other {field}: {getattr(earlier, field)}, now {getattr(now, field)}")
    kept = {part: getattr(earlier, part) for part in PARTS if part not in measured}
    # Mattes are the same on a busy machine.
    taken = ((earlier, [part for part in kept if kept[part]]), (now, measured))
    busy = max((run.machine.busy_elsewhere for run, parts in taken if set(parts) - {"quality"}), default=0)
    machines = [msgspec.structs.replace(run.machine, busy_elsewhere=busy) for run in (earlier, now)]
    if machines[0] != machines[1]:
        raise ValueError(f"the earlier run was on another machine: {earlier.machine}")
    return msgspec.structs.replace(now, machine=machines[1], **kept)


def to_json(results: Results) -> bytes:
    """Indented, numbers rounded to nine digits after the point: finer than any clock or measure here."""
    return msgspec.json.format(msgspec.json.encode(_rounded(msgspec.to_builtins(results))), indent=1) + b"\n"


def from_json(data: bytes) -> Results:
    """Raises msgspec.ValidationError when `data` is something else."""
    return msgspec.json.decode(data, type=Results)


def _rounded(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, list):
        return [_rounded(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value
