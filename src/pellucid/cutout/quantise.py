"""A model's int8 graph, built from its f32 weights and a calibration with the runtime alone: no NNCF, no photographs.

Every tensor that the calibration names goes through a FakeQuantize (256 levels over its range), and the weights of
convolutions become int8 with one scale for each output channel, max |w| / 127. The runtime computes a convolution whose
inputs are both such in int8. It is the usual linear quantisation (Jacob et al., CVPR 2018) in the form that OpenVINO's
low-precision transformations expect.

Beside the weights lie, for each graph, `NAME.bin`, `NAME.xml` and `NAME.json`: the record, written last, with the
sizes and digests of the other two. Without it there is no graph.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from pellucid.errors import ModelUnavailableError
from pellucid.inference.runtime import openvino_module
from pellucid.models.calibration import Calibration
from pellucid.models.cards import ModelCard
from pellucid.models.weights import sha256_of

_BUILD_VERSION = 1
"""Part of the file name: raise it when the same weights and calibration give another graph."""

_LEVELS = 256
_WEIGHT_MAX = 127
"""Weights use -127 to 127, 255 levels, symmetric: -128 would need another scale on the other side."""


class _File(msgspec.Struct, frozen=True):
    size_bytes: int
    sha256: str


class _Record(msgspec.Struct, frozen=True):
    xml: _File
    bin: _File


def int8_path(card: ModelCard, models_dir: Path, calibration: Calibration) -> Path:
    """Where the int8 graph of `card` lies once built (OpenVINO IR, .xml)."""
    return models_dir / f"{_stem(card.name, calibration)}.xml"


def is_built(card: ModelCard, models_dir: Path, calibration: Calibration) -> bool:
    """Whether a whole int8 graph is there, by the sizes in its record: cheap enough for every start."""
    xml = int8_path(card, models_dir, calibration)
    record = _read_record(xml)
    return record is not None and all(
        path.is_file() and path.stat().st_size == told.size_bytes for path, told in _told(xml, record)
    )


def verify_int8(card: ModelCard, models_dir: Path, calibration: Calibration) -> Path:
    """The path of the int8 graph after reading it whole. Raises ModelUnavailableError when missing or damaged."""
    xml = int8_path(card, models_dir, calibration)
    hint = f"run `pellucid models pull {card.name}`"
    record = _read_record(xml)
    if record is None or not is_built(card, models_dir, calibration):
        raise ModelUnavailableError(f"the int8 graph of {card.name} is not whole in {models_dir}; {hint}")
    for path, told in _told(xml, record):
        if sha256_of(path) != told.sha256:
            raise ModelUnavailableError(f"{path} is not as it was built; {hint}")
    return xml


def build_int8(weights: Path, calibration: Calibration, target_dir: Path) -> Path:
    """Build the int8 graph of `weights` (ONNX) in `target_dir`, replacing one that is there; returns its path.

    Its input has the shape of the weights' and can be reshaped as theirs can. A build that is killed leaves no record,
    so no graph. Takes 0.5 to 0.7 s and writes 46 MB for u2net. Raises ModelUnavailableError when the calibration was
    made for other weights, when the graph lacks what it names, or when the files cannot be written.
    """
    if not weights.is_file():
        raise ModelUnavailableError(f"{weights} is missing; run `pellucid models pull {calibration.model}`")
    if (found := sha256_of(weights)) != calibration.weights_sha256:
        raise ModelUnavailableError(
            f"the calibration of {calibration.model} was made for other weights than {weights} "
            f"(sha256 {found}, expected {calibration.weights_sha256})"
        )
    openvino = openvino_module()
    try:
        model = openvino.Core().read_model(str(weights))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelUnavailableError(f"{weights} cannot be loaded ({reason})") from error
    quantise(model, calibration)
    target = target_dir / f"{_stem(calibration.model, calibration)}.xml"
    try:
        _write(model, target)
    except (OSError, RuntimeError) as error:
        raise ModelUnavailableError(
            f"the int8 graph of {calibration.model} cannot be written to {target_dir}: {error}; "
            "make room or set PELLUCID_MODELS_DIR to a folder on another disk"
        ) from error
    return target


def quantise(model: Any, calibration: Calibration) -> None:  # noqa: ANN401 - the runtime's stubs are partial
    """Put the calibration's quantisers into `model` (`openvino.Model`, as read from ONNX), in place.

    Raises ModelUnavailableError when the graph has no tensor or weights of a name in `calibration`.
    """
    nodes = model.get_ordered_ops()
    layers = {layer_name(node) for node in nodes if constant_weights(node) is not None}
    # A Result repeats the name of what it gives out.
    inner = (node for node in nodes if node.get_type_name() != "Result")
    tensors = {name: output for node in inner for output in node.outputs() for name in output.get_names()}
    missing = [*(calibration.activations.keys() - tensors.keys()), *(set(calibration.floating) - layers)]
    if missing:
        raise ModelUnavailableError(
            f"the calibration of {calibration.model} names what its graph lacks: {', '.join(sorted(missing)[:5])}"
        )
    quantise_convolutions(model, keep=calibration.floating)
    for name, (low, high) in calibration.activations.items():
        _quantise_tensor(tensors[name], low, high)


def quantise_convolutions(model: Any, *, keep: Iterable[str]) -> None:  # noqa: ANN401
    """The weights of all convolutions in `model` but those in `keep` (`layer_name`) as int8 constant -> f32 -> times
    the scale of each output channel, in place.
    """
    kept = set(keep)
    opset = openvino_module().opset13
    for node in model.get_ordered_ops():
        weights = constant_weights(node)
        if weights is not None and layer_name(node) not in kept:
            levels, scale = quantise_weights(weights)
            whole = opset.convert(opset.constant(levels, np.int8), "f32")
            node.input(1).replace_source_output(opset.multiply(whole, opset.constant(scale, np.float32)).output(0))


def remove_other_graphs(card: ModelCard, models_dir: Path, calibration: Calibration) -> None:
    """Delete int8 graphs of `card` that were built from other calibrations: 44 MB each for u2net.

    A process that has one loaded keeps it. Raises OSError.
    """
    kept = int8_path(card, models_dir, calibration).stem
    # The record first: what is left by a kill in between is no graph.
    for suffix in ("json", "xml", "bin"):
        for path in models_dir.glob(f"{card.name}-int8-v*-*.{suffix}"):
            if path.stem != kept:
                path.unlink(missing_ok=True)


def _stem(model: str, calibration: Calibration) -> str:
    return f"{model}-int8-v{_BUILD_VERSION}-{calibration.digest[:12]}"


def _told(xml: Path, record: _Record) -> tuple[tuple[Path, _File], tuple[Path, _File]]:
    return (xml, record.xml), (xml.with_suffix(".bin"), record.bin)


def _read_record(xml: Path) -> _Record | None:
    try:
        return msgspec.json.decode(xml.with_suffix(".json").read_bytes(), type=_Record)
    except (OSError, msgspec.DecodeError):
        return None


def constant_weights(node: Any) -> npt.NDArray[np.float32] | None:  # noqa: ANN401
    """The weights of a convolution (float32, O x I x kH x kW); None for other nodes and for computed weights."""
    if node.get_type_name() != "Convolution":
        return None
    source = node.input_value(1).get_node()
    if source.get_type_name() == "Convert":  # stored in half precision
        source = source.input_value(0).get_node()
    return np.array(source.data, np.float32) if source.get_type_name() == "Constant" else None


def layer_name(node: Any) -> str:  # noqa: ANN401
    """What a convolution is called here: its weights' tensor in the ONNX file. Names of nodes are no use: the runtime
    changes one where it comes upon it in its own count ("Concat_98" to "Concat_98_1").
    """
    return min(node.input_value(1).get_names(), default=node.get_friendly_name())


def quantise_weights(weights: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """(int8 levels in [-127, 127], float32 scale of each output channel, O x 1 x 1 x 1): their product is the weights.

    Errors are at most half a scale. A channel of zeros has the scale 1.
    """
    largest = np.abs(weights).max(axis=tuple(range(1, weights.ndim)), keepdims=True)
    scale = np.where(largest > 0, largest / np.float32(_WEIGHT_MAX), np.float32(1))
    # Rounded division can put the largest a hair above 127.
    return np.clip(np.rint(weights / scale), -_WEIGHT_MAX, _WEIGHT_MAX).astype(np.int8), scale


def _quantise_tensor(output: Any, low: float, high: float) -> None:  # noqa: ANN401
    """A FakeQuantize between `output` and all that read its values."""
    # A shape is no value, and what the model gives out is not rounded to 256 levels.
    readers = [
        reader
        for reader in output.get_target_inputs()
        if reader.get_node().get_type_name() not in ("ShapeOf", "Result")
    ]
    low, high = align(low, high)
    opset = openvino_module().opset13
    bounds = [opset.constant(bound, np.float32) for bound in (low, high, low, high)]
    quantised = opset.fake_quantize(output, *bounds, _LEVELS)
    quantised.set_friendly_name(f"{output.get_any_name()}/int8")
    for reader in readers:
        reader.replace_source_output(quantised.output(0))


def align(low: float, high: float) -> tuple[float, float]:
    """The range moved by half a level at most so that 0 is one of its 256 levels exactly."""
    step = (high - low) / (_LEVELS - 1)
    below = round(-low / step)
    return -below * step, (_LEVELS - 1 - below) * step


def _write(model: Any, target: Path) -> None:  # noqa: ANN401
    _name_alike(model)
    with tempfile.TemporaryDirectory(prefix=".int8-", dir=target.parent) as scratch:
        part = Path(scratch) / target.name
        # As it is: the default would round biases and scales to half precision.
        openvino_module().serialize(model, str(part), str(part.with_suffix(".bin")))
        record = _Record(xml=_describe(part), bin=_describe(part.with_suffix(".bin")))
        part.with_suffix(".json").write_bytes(msgspec.json.encode(record))
        # The old record goes first: it must not vouch for a mixture of old and new files.
        target.with_suffix(".json").unlink(missing_ok=True)
        for suffix in (".bin", ".xml", ".json"):
            part.with_suffix(suffix).replace(target.with_suffix(suffix))


def _name_alike(model: Any) -> None:  # noqa: ANN401
    """Names from the ONNX file or the nodes' order in place of those that the runtime counts up, so that two builds,
    also at the same time, give the same bytes.
    """
    for at, node in enumerate(model.get_ordered_ops()):
        names = [] if node.get_type_name() == "Result" else [name for out in node.outputs() for name in out.get_names()]
        node.set_friendly_name(min(names, default=f"{node.get_type_name()}.{at}"))


def _describe(path: Path) -> _File:
    return _File(path.stat().st_size, sha256_of(path))
