"""Calibrations from photographs, by NNCF's post-training quantisation. The only module that imports NNCF.

Of NNCF's graph only the ranges are kept; what is measured is the graph that `cutout.quantise` builds from them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.cutout.quantise import constant_weights, layer_name, quantise_convolutions
from pellucid.cutout.segment import prepare
from pellucid.errors import ModelUnavailableError
from pellucid.inference.runtime import FloatArray, openvino_module
from pellucid.models.calibration import Calibration
from pellucid.models.cards import ModelCard

Pixels = npt.NDArray[np.uint8]
"""uint8, side x side x 3, sRGB."""

_SIDE = 256
"""Input in pixels at which u2net's ranges were found; graphs from them score as f32 does at 192, 256 and 320."""


_SURE = 0.5
"""Alpha from which a pixel counts as subject, as in `cutout.segment`."""


_LEAST_IOU = 0.97
_MOST_LOSS = 0.003
"""What an int8 graph must reach on photographs it was not made from; u2net's and u2netp's reach 0.994."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Of an int8 graph with f32, means over pictures: `iou` of the masks (alpha of 0.5 and more), `difference`: mean
    absolute difference of the alphas.
    """

    iou: float
    difference: float


def calibration_side(card: ModelCard) -> int:
    """Side in pixels of the square pictures to calibrate with. A model for large inputs gets its own size."""
    return min(_SIDE, card.input_width) if card.input_width < 2 * _SIDE else card.input_width


def calibrate(weights: Path, card: ModelCard, pictures: Sequence[Pixels], *, described: str) -> Calibration:
    """The calibration of `weights` (ONNX) on `pictures`, all of one size, and on their mirror images.

    `described` is the calibration's `pictures`. 1 s a picture for u2net at 256 x 256 on 2 cores. Raises
    ModelUnavailableError when nothing in the model can be quantised.
    """
    openvino = openvino_module()  # before NNCF is imported: it must not find the telemetry package either
    import nncf  # noqa: PLC0415 # pyright: ignore[reportMissingImports] - of the extra [optimize]

    nncf_any: Any = nncf
    nncf_any.set_log_level(logging.ERROR)
    model = openvino.Core().read_model(str(weights))
    model.reshape([1, 3, *pictures[0].shape[:2]])
    originals = {node.get_friendly_name(): node for node in model.get_ops()}
    both = [view for picture in pictures for view in (picture, picture[:, ::-1])]
    quantised = nncf_any.quantize(
        model,
        nncf_any.Dataset(both, partial(prepare, card=card)),
        subset_size=len(both),
        # Symmetric weights, asymmetric activations.
        preset=nncf_any.QuantizationPreset.MIXED,
        # Its corrected biases would not be taken over. Without them u2net agrees with f32 as well (0.988 to 0.989).
        advanced_parameters=nncf_any.AdvancedQuantizationParameters(disable_bias_correction=True),
    )
    activations = _ranges(quantised, originals)
    if not activations:
        raise ModelUnavailableError(f"NNCF finds nothing in {weights} that could be quantised")
    return Calibration(
        model=card.name,
        weights_sha256=card.sha256,
        made_with={package: version(package) for package in ("nncf", "openvino")},
        pictures=described,
        activations=activations,
    )


def layer_errors(
    weights: Path, card: ModelCard, pictures: Sequence[Pixels], progress: Callable[[int, int], None]
) -> dict[str, float]:
    """For each convolution of `weights` (ONNX), by `quantise.layer_name`, the mean absolute change of the alpha when
    its weights alone are int8, averaged over `pictures`, worst first.

    What breaks a model is in its weights. u2netp agrees with f32 to an IoU of 0.994 with 8-bit activations and of 0.69
    with 8-bit weights, and one convolution of 119 does that: in its channels the largest weight is 17 times the root
    mean square. The alpha changes by 0.048 from it, by 0.0005 from the next. The error in a layer's own output does
    not show it (it is not among the first twelve there), so each takes a compilation and a run over `pictures`: in all
    100 s for u2netp and 200 s for u2net with 4 pictures of 256 x 256 on 2 cores.

    `progress` is called with (layers done, layers).
    """
    openvino = openvino_module()
    core = openvino.Core()
    batches = [prepare(picture, card) for picture in pictures]
    original = core.read_model(str(weights))
    original.reshape([1, 3, *pictures[0].shape[:2]])
    expected = _alphas(core, original, batches)
    names = [layer_name(node) for node in original.get_ordered_ops() if constant_weights(node) is not None]
    errors: dict[str, float] = {}
    for name in names:
        progress(len(errors), len(names))
        model = original.clone()
        quantise_convolutions(model, keep=[other for other in names if other != name])
        found = _alphas(core, model, batches)
        errors[name] = float(np.mean([np.abs(a - b).mean() for a, b in zip(found, expected, strict=True)]))
    return dict(sorted(errors.items(), key=lambda item: -item[1]))


def compare(weights: Path, graph: Path, card: ModelCard, pictures: Sequence[Pixels]) -> Agreement:
    """How `graph` (int8) agrees with `weights` (ONNX, in f32) on `pictures`, all of one size."""
    core = openvino_module().Core()
    batches = [prepare(picture, card) for picture in pictures]
    expected, found = (_alphas_of(core, path, batches) for path in (weights, graph))
    pairs = list(zip(found, expected, strict=True))
    return Agreement(
        iou=float(np.mean([_iou(a >= _SURE, b >= _SURE) for a, b in pairs])),
        difference=float(np.mean([np.abs(a - b).mean() for a, b in pairs])),
    )


def objection(new: Agreement, present: Agreement | None) -> str | None:
    """Why the graph with `new` must not take the place of that with `present` (None: there is none); None: it may."""
    if new.iou < _LEAST_IOU:
        return f"its masks agree with f32 to {new.iou:.4f} only; at least {_LEAST_IOU} is asked for"
    if present is not None and new.iou < present.iou - _MOST_LOSS:
        return f"its masks agree with f32 to {new.iou:.4f}, those of the present one to {present.iou:.4f}"
    return None


def _alphas_of(core: Any, path: Path, batches: Sequence[FloatArray]) -> list[FloatArray]:  # noqa: ANN401
    model = core.read_model(str(path))
    model.reshape(list(batches[0].shape))
    return _alphas(core, model, batches)


def _alphas(core: Any, model: Any, batches: Sequence[FloatArray]) -> list[FloatArray]:  # noqa: ANN401
    # f32 where it is not int8: on CPUs with bf16 the runtime would take that by default.
    request = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    alphas: list[FloatArray] = []
    for batch in batches:
        request.infer({0: batch})
        alphas.append(np.clip(np.array(request.get_output_tensor(0).data[0, 0], np.float32), 0, 1))
    return alphas


def _iou(mask: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """Intersection over union; 1 when both are empty."""
    union = int((mask | other).sum())
    return float((mask & other).sum() / union) if union else 1.0


def _ranges(quantised: Any, originals: dict[str, Any]) -> dict[str, tuple[float, float]]:  # noqa: ANN401
    """Tensor name to (low, high), six significant digits, of the FakeQuantize nodes that NNCF put on activations."""
    found: dict[str, tuple[float, float]] = {}
    for node in quantised.get_ordered_ops():
        if node.get_type_name() != "FakeQuantize":
            continue
        source = node.input_value(0)
        if source.get_node().get_type_name() == "Constant":
            continue  # weights: their scales are found when the graph is built
        original = originals.get(source.get_node().get_friendly_name())
        if original is None or not (names := sorted(original.output(source.get_index()).get_names())):
            continue  # between nodes that NNCF made itself
        low, high = (float(np.asarray(node.input_value(port).get_node().data).reshape(-1)[0]) for port in (1, 2))
        if names[0] in found:
            low, high = min(low, found[names[0]][0]), max(high, found[names[0]][1])
        found[names[0]] = (_rounded(min(low, 0.0)), _rounded(max(high, 0.0)))
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
