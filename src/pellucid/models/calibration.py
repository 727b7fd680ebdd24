"""Calibrations: what a model's int8 graph is built from, beside its weights. Ranges of numbers, some kB of JSON.

A calibration says which tensors of the f32 graph carry 8-bit numbers and over which range, as found once by NNCF's
post-training quantisation on photographs. The graph itself is built from it where the weights are (`cutout.quantise`).
"""

from __future__ import annotations

import math
import tempfile
from importlib.resources import files
from pathlib import Path

import msgspec

from pellucid.errors import ModelUnavailableError
from pellucid.models.cards import ModelCard
from pellucid.store.keys import digest


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Of one file of weights.

    `made_with`: package to version. `pictures`: how many, and what they were, in words. `activations`: name of a tensor
    in the ONNX file to the (low, high) that its 256 levels span; 0 lies within. `floating`: convolutions, by
    the name of their weights' tensor, that stay in floating point.
    """

    model: str
    weights_sha256: str
    made_with: dict[str, str]
    pictures: str
    activations: dict[str, tuple[float, float]]
    floating: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.activations:
            raise ValueError("no activations")
        for name, (low, high) in self.activations.items():
            # Without 0 in the range the border that convolutions add would not be 0.
            if not (math.isfinite(high - low) and low <= 0 <= high and low < high):
                raise ValueError(f"[{low}, {high}] is no range for {name}")

    @property
    def digest(self) -> str:
        """32 hex digits of what the graph depends on: not of `made_with` and `pictures`."""
        told = (self.model, self.weights_sha256, self.activations, self.floating)
        return digest(msgspec.json.encode(told, order="deterministic"))


def load_calibration(card: ModelCard, models_dir: Path | None = None) -> Calibration | None:
    """The calibration for the weights of `card`: the user's own in `models_dir`, else ours; None when there is neither.

    One that was made for other weights (a card of the same name with another file) is passed over. Raises
    ModelUnavailableError when the user's own cannot be read.
    """
    own = None if models_dir is None else _read_own(own_calibration_path(card, models_dir))
    if own is not None and own.weights_sha256 == card.sha256:
        return own
    ours = files("pellucid.models").joinpath("calibrations", f"{card.name}.json")
    if not ours.is_file():
        return None
    calibration = msgspec.json.decode(ours.read_bytes(), type=Calibration)
    return calibration if calibration.weights_sha256 == card.sha256 else None


def own_calibration_path(card: ModelCard, models_dir: Path) -> Path:
    """Where the user's own calibration lies, made by `pellucid models optimize`; deleting it brings ours back."""
    return models_dir / f"{card.name}-calibration.json"


def save_own_calibration(calibration: Calibration, card: ModelCard, models_dir: Path) -> Path:
    """Put `calibration` in place as the user's own; it appears whole or not at all. Raises OSError."""
    target = own_calibration_path(card, models_dir)
    with tempfile.TemporaryDirectory(prefix=".calibration-", dir=models_dir) as scratch:
        part = Path(scratch) / target.name
        part.write_bytes(encode_calibration(calibration))
        part.replace(target)
    return target


def encode_calibration(calibration: Calibration) -> bytes:
    """JSON, a line for each activation."""
    told = msgspec.to_builtins(calibration)
    activations = ",\n".join(
        f"  {msgspec.json.encode(name).decode()}: {msgspec.json.encode(span).decode()}"
        for name, span in calibration.activations.items()
    )
    head = [
        f" {msgspec.json.encode(name).decode()}: {msgspec.json.encode(value).decode()}"
        for name, value in told.items()
        if name != "activations"
    ]
    return (",\n".join(["{\n" + head[0], *head[1:], ' "activations": {\n' + activations + "\n }"]) + "\n}\n").encode()


def _read_own(path: Path) -> Calibration | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Calibration)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ModelUnavailableError(
            f"the calibration {path} cannot be used ({error}); delete it, or make it with `pellucid models optimize`"
        ) from error
