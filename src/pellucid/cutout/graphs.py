"""Which precision a model runs in on a device, and the file that holds its graph in that precision."""

from __future__ import annotations

from pathlib import Path

from pellucid.cutout.quantise import build_int8, int8_path, is_built
from pellucid.errors import ModelUnavailableError
from pellucid.inference.runtime import DeviceInfo, Precision
from pellucid.models.calibration import Calibration, load_calibration
from pellucid.models.cards import ModelCard


def resolve_precision(requested: str, device: DeviceInfo, *, int8: bool) -> Precision:
    """`auto` as what `device` computes fastest at equal scores: int8 where the model can (`int8`), then bf16; anything
    else as it is named.
    """
    if requested != "auto":
        return Precision(requested)
    order = (Precision.INT8, Precision.BF16) if int8 else (Precision.BF16,)
    return next((each for each in order if each in device.precisions), Precision.F32)


def find_graph(card: ModelCard, models_dir: Path, *, requested: str, device: DeviceInfo) -> tuple[Precision, Path]:
    """The precision for `requested` and its graph; an int8 graph that is not there yet is built (about a second, once).

    With `auto`, a models folder that cannot be written and has no int8 graph gives the next best. Raises
    ModelUnavailableError when int8 was named and cannot be had.
    """
    calibration = load_calibration(card, models_dir)
    if resolve_precision(requested, device, int8=calibration is not None) is Precision.INT8:
        try:
            return Precision.INT8, _int8(card, models_dir, calibration)
        except ModelUnavailableError:
            if requested != "auto":
                raise
    return resolve_precision(requested, device, int8=False), card.path_in(models_dir)


def _int8(card: ModelCard, models_dir: Path, calibration: Calibration | None) -> Path:
    if calibration is None:
        raise ModelUnavailableError(
            f"{card.name} has no calibration for int8; `pellucid models optimize {card.name} PHOTOS_DIR` makes one"
        )
    if is_built(card, models_dir, calibration):
        return int8_path(card, models_dir, calibration)
    return build_int8(card.path_in(models_dir), calibration, models_dir)
