"""A tiny model that is made on the spot, so that unit tests need no weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

TINY_SIDE = 32


def with_grain(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """`pixels` (H x W x 3) as a camera has them, up to 12 levels off, the same each time: flat colours are cut without
    a model.
    """
    grain = np.random.default_rng(7).integers(-12, 13, pixels.shape)
    return (pixels.astype(np.int16) + grain).clip(0, 255).astype(np.uint8)


class TinyModel(NamedTuple):
    """A models folder with `tiny.onnx`, and the TOML file with its card."""

    models_dir: Path
    cards: Path


def make_tiny_onnx(path: Path) -> None:
    """A model of U2-Net's shape in miniature: 1x3xSxS in, alpha 1x1xSxS out; bright pixels are the foreground.

    The card normalises with mean 0.5 and std 0.5, so x is in [-1, 1]; alpha = sigmoid(20 * mean over channels of x).
    """
    side = TINY_SIDE
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["input", "axes"], ["mean"], keepdims=1),
            helper.make_node("Mul", ["mean", "gain"], ["logits"]),
            helper.make_node("Sigmoid", ["logits"], ["alpha"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("alpha", TensorProto.FLOAT, [1, 1, side, side])],
        [
            numpy_helper.from_array(np.array([1], np.int64), "axes"),
            numpy_helper.from_array(np.array(20.0, np.float32), "gain"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(path))


def make_tiny_model(folder: Path) -> TinyModel:
    """Weights and card in `folder`."""
    weights = folder / "tiny.onnx"
    make_tiny_onnx(weights)
    cards = folder / "cards.toml"
    cards.write_text(
        f"""
[tiny]
title = "bright is foreground"
file = "tiny.onnx"
size_bytes = {weights.stat().st_size}
sha256 = "{hashlib.sha256(weights.read_bytes()).hexdigest()}"
input_width = {TINY_SIDE}
input_height = {TINY_SIDE}
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
licence = "Apache-2.0"
commercial_use = true
training_data = "none: made by arithmetic"
source = "this test suite"
sources = []
"""
    )
    return TinyModel(models_dir=folder, cards=cards)
