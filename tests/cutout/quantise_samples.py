"""A tiny model with convolutions, and a calibration for it made by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pellucid.models.calibration import Calibration
from pellucid.models.cards import ModelCard

SIDE = 32


def make_conv_onnx(path: Path) -> None:
    """1x3xSxS in, alpha 1x1xSxS out through three convolutions; `hidden` is an output and read inside as well."""
    rng = np.random.default_rng(7)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        fan = int(np.prod(shape[1:]))
        return numpy_helper.from_array((rng.uniform(-1, 1, shape) * 3 / np.sqrt(fan)).astype(np.float32), name)

    def conv(name: str, source: str, target: str, pad: int) -> onnx.NodeProto:
        return helper.make_node(
            "Conv",
            [source, f"w_{name}", f"b_{name}"],
            [target],
            name=name,
            pads=[pad] * 4,
            kernel_shape=[2 * pad + 1] * 2,
        )

    side = SIDE
    graph = helper.make_graph(
        [
            conv("first", "input", "c1", 1),
            helper.make_node("Relu", ["c1"], ["r1"]),
            conv("middle", "r1", "c2", 1),
            helper.make_node("Relu", ["c2"], ["hidden"]),
            conv("last", "hidden", "c3", 0),
            helper.make_node("Sigmoid", ["c3"], ["alpha"]),
        ],
        "convolutions",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])],
        [
            helper.make_tensor_value_info("alpha", TensorProto.FLOAT, [1, 1, side, side]),
            helper.make_tensor_value_info("hidden", TensorProto.FLOAT, [1, 8, side, side]),
        ],
        [
            weights("w_first", 8, 3, 3, 3),
            weights("b_first", 8),
            weights("w_middle", 8, 8, 3, 3),
            weights("b_middle", 8),
            weights("w_last", 1, 8, 1, 1),
            weights("b_last", 1),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))


def make_conv_model(folder: Path) -> tuple[ModelCard, Calibration]:
    """`conv.onnx` and `cards.toml` in `folder`, the card, and a calibration whose ranges hold for any x in [-1, 1]."""
    weights = folder / "conv.onnx"
    make_conv_onnx(weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    card = ModelCard(
        name="conv",
        title="three convolutions",
        file="conv.onnx",
        size_bytes=weights.stat().st_size,
        sha256=digest,
        input_width=SIDE,
        input_height=SIDE,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        licence="Apache-2.0",
        commercial_use=True,
        training_data="none: random weights",
        source="this test suite",
        sources=(),
    )
    (folder / "cards.toml").write_text(
        f"""
[conv]
title = "{card.title}"
file = "conv.onnx"
size_bytes = {card.size_bytes}
sha256 = "{card.sha256}"
input_width = {SIDE}
input_height = {SIDE}
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
licence = "Apache-2.0"
commercial_use = true
training_data = "{card.training_data}"
source = "{card.source}"
sources = []
"""
    )
    return card, Calibration(
        model="conv",
        weights_sha256=digest,
        made_with={"hand": "1"},
        pictures="none",
        activations={"input": (-1.0, 1.0), "r1": (0.0, 8.0), "hidden": (0.0, 16.0)},
    )
