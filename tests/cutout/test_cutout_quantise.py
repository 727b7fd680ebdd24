"""The int8 graph: built from weights and a calibration, close to f32, never half written, damage found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from quantise_samples import SIDE, make_conv_model

from pellucid.cutout import quantise as quantise_module
from pellucid.cutout.quantise import (
    align,
    build_int8,
    int8_path,
    is_built,
    layer_name,
    quantise,
    quantise_weights,
    remove_other_graphs,
    verify_int8,
)
from pellucid.errors import ModelUnavailableError
from pellucid.inference.runtime import FloatArray, Precision, Session, openvino_module
from pellucid.models.calibration import Calibration, load_calibration
from pellucid.models.cards import ModelCard, find_card
from pellucid.models.folder import default_models_dir
from pellucid.models.weights import is_pulled

Model = tuple[ModelCard, Calibration]


@pytest.fixture
def conv(tmp_path: Path) -> Model:
    return make_conv_model(tmp_path)


def _build(conv: Model, folder: Path) -> Path:
    return build_int8(folder / "conv.onnx", conv[1], folder)


def _noise(side: int) -> FloatArray:
    return np.random.default_rng(3).uniform(-1, 1, (1, 3, side, side)).astype(np.float32)


def _run(graph: Path, batch: FloatArray) -> FloatArray:
    sizes = [(batch.shape[3], batch.shape[2])]
    return Session(graph, device="CPU", precision=Precision.F32, threads=1, cache_dir=None, sizes=sizes).run(batch)


def _nodes(path: Path, kind: str) -> list[Any]:
    # The model is kept alive by its nodes.
    return [
        node
        for node in openvino_module().Core().read_model(str(path)).get_ordered_ops()
        if node.get_type_name() == kind
    ]


def test_quantisers_are_where_the_calibration_says(conv: Model, tmp_path: Path) -> None:
    found = {}
    for node in _nodes(_build(conv, tmp_path), "FakeQuantize"):
        source = node.input_value(0)
        found[next(iter(source.get_names()))] = [float(node.input_value(port).get_node().data) for port in (1, 2, 3, 4)]
        assert node.get_attributes()["levels"] == 256
        readers = {reader.get_node().get_type_name() for reader in source.get_target_inputs()}
        assert readers <= {"FakeQuantize", "Result"}, "all that reads the values reads them quantised"
    assert found.keys() == conv[1].activations.keys()
    for name, (low, high) in conv[1].activations.items():
        assert found[name][:2] == found[name][2:]
        assert found[name][:2] == pytest.approx([low, high], abs=(high - low) / 509)


def test_weights_are_int8_with_a_scale_for_each_output_channel(conv: Model, tmp_path: Path) -> None:
    original = [node.input_value(1).get_node().data for node in _nodes(tmp_path / "conv.onnx", "Convolution")]
    built = _nodes(_build(conv, tmp_path), "Convolution")
    for node, weights in zip(built, original, strict=True):
        product = node.input_value(1).get_node()
        levels = product.input_value(0).get_node().input_value(0).get_node()
        scale = product.input_value(1).get_node().data
        assert levels.get_element_type().get_type_name() == "i8"
        assert scale.shape == (weights.shape[0], 1, 1, 1)
        assert (np.abs(levels.data.reshape(weights.shape[0], -1)).max(axis=1) == 127).all()
        assert np.abs(levels.data * scale - weights).max() <= scale.max() / 2 + 1e-6


def test_what_the_model_gives_out_is_not_rounded_to_levels(conv: Model, tmp_path: Path) -> None:
    model = openvino_module().Core().read_model(str(_build(conv, tmp_path)))
    givers = [result.input_value(0).get_node().get_type_name() for result in model.get_results()]
    assert givers == ["Sigmoid", "Relu"]


def test_named_convolutions_stay_in_floating_point(conv: Model, tmp_path: Path) -> None:
    card, calibration = conv
    kept = msgspec.structs.replace(calibration, floating=("w_middle",))
    built = _nodes(_build((card, kept), tmp_path), "Convolution")
    assert [node.input_value(1).get_node().get_type_name() for node in built] == ["Multiply", "Constant", "Multiply"]
    assert layer_name(built[1]) == "w_middle"


@pytest.mark.parametrize("side", [SIDE, 48, 64])
def test_close_to_f32_at_its_own_and_other_sizes(conv: Model, tmp_path: Path, side: int) -> None:
    graph = _build(conv, tmp_path)
    difference = np.abs(_run(graph, _noise(side)) - _run(tmp_path / "conv.onnx", _noise(side)))
    assert difference.shape == (1, 1, side, side)
    assert 0 < difference.mean() < 0.01
    assert difference.max() < 0.05


def test_weights_of_halves_and_of_zeros() -> None:
    weights = np.array([[0.5, -1.0], [0.0, 0.0], [3e-39, 1e-39]], np.float32).reshape(3, 2, 1, 1)
    levels, scale = quantise_weights(weights)
    assert levels[0].ravel().tolist() == [64, -127]
    assert levels[1].ravel().tolist() == [0, 0]
    assert np.isfinite(levels * scale).all()
    assert levels.dtype == np.int8


@pytest.mark.parametrize(("low", "high"), [(-2.10458, 2.44346), (0.0, 16.8766), (-1.0, 0.0), (-0.001, 5.0)])
def test_zero_is_a_level(low: float, high: float) -> None:
    moved_low, moved_high = align(low, high)
    step = (moved_high - moved_low) / 255
    assert step == pytest.approx((high - low) / 255)
    assert -moved_low / step == pytest.approx(round(-moved_low / step), abs=1e-9)
    assert abs(moved_low - low) <= step / 2 + 1e-9


def test_name_says_model_precision_and_calibration(conv: Model, tmp_path: Path) -> None:
    card, calibration = conv
    path = _build(conv, tmp_path)
    assert path == int8_path(card, tmp_path, calibration)
    assert path.stem == f"conv-int8-v1-{calibration.digest[:12]}"
    other = msgspec.structs.replace(calibration, activations={"input": (-1.0, 1.0)})
    assert int8_path(card, tmp_path, other) != path
    assert not is_built(card, tmp_path, other)


def test_two_builds_give_the_same_bytes(conv: Model, tmp_path: Path) -> None:
    first = {suffix: _build(conv, tmp_path).with_suffix(suffix).read_bytes() for suffix in (".xml", ".bin", ".json")}
    second = {suffix: _build(conv, tmp_path).with_suffix(suffix).read_bytes() for suffix in (".xml", ".bin", ".json")}
    assert first == second


def test_nothing_else_is_left_behind(conv: Model, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    path = _build(conv, tmp_path)
    assert set(tmp_path.iterdir()) - before == {path, path.with_suffix(".bin"), path.with_suffix(".json")}


def test_calibration_for_other_weights_is_refused(conv: Model, tmp_path: Path) -> None:
    card, calibration = conv
    wrong = msgspec.structs.replace(calibration, weights_sha256="0" * 64)
    with pytest.raises(ModelUnavailableError, match="made for other weights"):
        _build((card, wrong), tmp_path)
    damaged = tmp_path / "conv.onnx"
    damaged.write_bytes(damaged.read_bytes() + b"\0")
    with pytest.raises(ModelUnavailableError, match="made for other weights"):
        _build(conv, tmp_path)
    damaged.unlink()
    with pytest.raises(ModelUnavailableError, match="pellucid models pull conv"):
        _build(conv, tmp_path)


@pytest.mark.parametrize("change", [{"activations": {"nowhere": (0.0, 1.0)}}, {"floating": ("nowhere",)}])
def test_names_that_the_graph_lacks_are_said(conv: Model, tmp_path: Path, change: dict[str, Any]) -> None:
    card, calibration = conv
    with pytest.raises(ModelUnavailableError, match="lacks: nowhere"):
        _build((card, msgspec.structs.replace(calibration, **change)), tmp_path)


def test_a_folder_that_cannot_be_written(conv: Model, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="PELLUCID_MODELS_DIR"):
        build_int8(tmp_path / "conv.onnx", conv[1], tmp_path / "missing")


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_damage_is_found_and_mended(conv: Model, tmp_path: Path, suffix: str) -> None:
    card, calibration = conv
    path = _build(conv, tmp_path)
    assert verify_int8(card, tmp_path, calibration) == path
    part = path.with_suffix(suffix)
    data = part.read_bytes()
    part.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert is_built(card, tmp_path, calibration), "the quick look sees sizes only"
    with pytest.raises(ModelUnavailableError, match="not as it was built; run `pellucid models pull conv`"):
        verify_int8(card, tmp_path, calibration)
    part.write_bytes(data[:-1])
    assert not is_built(card, tmp_path, calibration)
    _build(conv, tmp_path)
    verify_int8(card, tmp_path, calibration)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1, 2]"])
def test_without_a_sound_record_there_is_no_graph(conv: Model, tmp_path: Path, content: bytes | None) -> None:
    card, calibration = conv
    record = _build(conv, tmp_path).with_suffix(".json")
    record.unlink() if content is None else record.write_bytes(content)
    assert not is_built(card, tmp_path, calibration)
    with pytest.raises(ModelUnavailableError, match="not whole"):
        verify_int8(card, tmp_path, calibration)


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_build_that_is_killed_between_files_leaves_no_graph(conv: Model, tmp_path: Path, moved: int) -> None:
    """A real kill, over an older build of the same name, after `moved` of the three files were put in place."""
    card, calibration = conv
    _build(conv, tmp_path)
    (tmp_path / "calibration.json").write_bytes(msgspec.json.encode(calibration))
    code = f"""
import os, signal, sys
from pathlib import Path
import msgspec
from pellucid.cutout.quantise import build_int8
from pellucid.models.calibration import Calibration
seen = 0
def audit(event, args):
    global seen
    if event == "os.rename":
        if seen == {moved}:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1
folder = Path({str(tmp_path)!r})
calibration = msgspec.json.decode((folder / "calibration.json").read_bytes(), type=Calibration)
sys.addaudithook(audit)
build_int8(folder / "conv.onnx", calibration, folder)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert not is_built(card, tmp_path, calibration)
    _build(conv, tmp_path)
    verify_int8(card, tmp_path, calibration)


def test_graphs_of_other_calibrations_are_removed_and_nothing_else(conv: Model, tmp_path: Path) -> None:
    card, calibration = conv
    old = build_int8(
        tmp_path / "conv.onnx", msgspec.structs.replace(calibration, activations={"input": (-1.0, 1.0)}), tmp_path
    )
    (tmp_path / "conv-int8-notes.txt").write_text("mine")
    kept = _build(conv, tmp_path)
    remove_other_graphs(card, tmp_path, calibration)
    assert not any(old.with_suffix(suffix).exists() for suffix in (".xml", ".bin", ".json"))
    assert verify_int8(card, tmp_path, calibration) == kept
    assert (tmp_path / "conv-int8-notes.txt").exists()
    assert (tmp_path / "conv.onnx").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["u2net", "u2netp"])
def test_our_calibrations_fit_the_real_weights(name: str) -> None:
    card = find_card(name)
    if not is_pulled(card, default_models_dir()):
        pytest.skip(f"the weights of {name} are not here")
    calibration = load_calibration(card)
    assert calibration is not None
    model = openvino_module().Core().read_model(str(card.path_in(default_models_dir())))
    quantise(model, calibration)
    kinds = [node.get_type_name() for node in model.get_ordered_ops()]
    assert kinds.count("FakeQuantize") == 168
    whole = [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Convolution" and node.input_value(1).get_node().get_type_name() == "Constant"
    ]
    assert sorted(layer_name(node) for node in whole) == sorted(calibration.floating)


def test_reading_a_record_loads_no_runtime() -> None:
    code = f"import sys, {quantise_module.__name__}, pellucid.cli.models; sys.exit('openvino' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
