"""`pellucid models` and int8: built by pull, known to list and verify; optimize decides, and says what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import pytest
from quantise_samples import SIDE, make_conv_model

from command_line import run_in_process
from pellucid.cli.optimise import read_photos
from pellucid.cutout.calibrate import Agreement, calibration_side, compare, layer_errors, objection
from pellucid.cutout.quantise import build_int8, int8_path
from pellucid.errors import SettingsError
from pellucid.formats import ImageFormat
from pellucid.image.encode import encode
from pellucid.image.vips import from_array
from pellucid.models.calibration import Calibration, load_calibration, own_calibration_path, save_own_calibration
from pellucid.models.cards import ModelCard, find_card
from pellucid.system.extras import install_command

Model = tuple[ModelCard, Calibration]

pytestmark = pytest.mark.slow

REFUSE_SOCKETS = """
import sys
def audit(event, args):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request")):
        sys.stderr.write(event); sys.stderr.flush(); import os; os._exit(9)
sys.addaudithook(audit)
"""


@pytest.fixture
def conv(tmp_path: Path) -> Model:
    """A model with a calibration of the user's own."""
    card, calibration = make_conv_model(tmp_path)
    save_own_calibration(calibration, card, tmp_path)
    return card, calibration


def _models(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_in_process("models", *map(str, arguments), "--models-dir", str(folder), environ=_environ(folder))


def _models_in_a_process(folder: Path, *arguments: str | Path, prelude: str = "") -> subprocess.CompletedProcess[str]:
    code = f"{prelude}\nfrom pellucid.cli import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code, "models", *map(str, arguments), "--models-dir", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=_environ(folder),
        timeout=300,
    )


def _environ(folder: Path) -> dict[str, str]:
    return os.environ | {"PELLUCID_MODEL_CARDS": str(folder / "cards.toml"), "COLUMNS": "200"}


def _listed(folder: Path, name: str) -> list[str]:
    lines = [line.split() for line in _models(folder, "list").stdout.splitlines()]
    return next(line for line in lines if line[:1] == [name])[:3]


def test_pull_builds_list_and_verify_know_and_pull_mends(conv: Model, tmp_path: Path) -> None:
    graph = int8_path(conv[0], tmp_path, conv[1])
    assert _listed(tmp_path, "conv") == ["conv", "yes", "no"]
    assert _listed(tmp_path, "isnet") == ["isnet", "no", "-"]
    unbuilt = _models(tmp_path, "verify", "conv")
    assert (unbuilt.returncode, "no int8 graph is built yet; `pellucid models pull conv`" in unbuilt.stdout) == (
        0,
        True,
    )

    pulled = _models(tmp_path, "pull", "conv")
    assert pulled.returncode == 0, pulled.stderr
    assert "int8 graph built in" in pulled.stdout
    assert graph.is_file()
    assert _listed(tmp_path, "conv") == ["conv", "yes", "yes"]
    assert f"{graph} is sound" in _models(tmp_path, "verify", "conv").stdout
    assert f"{graph} is sound" in _models(tmp_path, "pull", "conv").stdout, "a second pull builds nothing"

    weights = graph.with_suffix(".bin")
    weights.write_bytes(bytes(weights.stat().st_size))
    damaged = _models(tmp_path, "verify", "conv")
    assert damaged.returncode == 1
    assert "run `pellucid models pull conv`" in damaged.stdout
    assert "int8 graph built in" in _models(tmp_path, "pull", "conv").stdout
    assert _models(tmp_path, "verify", "conv").returncode == 0


def test_pull_of_a_model_without_calibration_says_nothing_of_int8(conv: Model, tmp_path: Path) -> None:
    own_calibration_path(conv[0], tmp_path).unlink()
    done = _models_in_a_process(tmp_path, "pull", "conv")
    assert (done.returncode, "int8" in done.stdout) == (0, False)


def test_pull_removes_the_graph_of_a_calibration_no_longer_used(conv: Model, tmp_path: Path) -> None:
    card, calibration = conv
    _models(tmp_path, "pull", "conv")
    save_own_calibration(msgspec.structs.replace(calibration, activations={"input": (-1.0, 1.0)}), card, tmp_path)
    _models(tmp_path, "pull", "conv")
    assert not int8_path(card, tmp_path, calibration).exists()
    assert len(list(tmp_path.glob("conv-int8-*.xml"))) == 1


@pytest.mark.parametrize(
    ("new", "present", "reason"),
    [
        (0.98, None, None),
        (0.98, 0.982, None),
        (0.99, 0.98, None),
        (0.9699, None, "at least 0.97"),
        (0.9699, 0.9, "at least 0.97"),
        (0.98, 0.9831, "those of the present one to 0.9831"),
    ],
)
def test_what_is_worse_is_not_installed(new: float, present: float | None, reason: str | None) -> None:
    before = None if present is None else Agreement(iou=present, difference=0.0)
    found = objection(Agreement(iou=new, difference=0.0), before)
    assert (found is None) == (reason is None)
    assert reason is None or reason in (found or "")


def _pictures(count: int, side: int = SIDE) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)]


def test_agreement_falls_when_the_ranges_are_wrong(conv: Model, tmp_path: Path) -> None:
    card, calibration = conv
    weights = tmp_path / "conv.onnx"
    good = compare(weights, build_int8(weights, calibration, tmp_path), card, _pictures(3))
    narrow = msgspec.structs.replace(calibration, activations=calibration.activations | {"hidden": (0.0, 0.1)})
    bad = compare(weights, build_int8(weights, narrow, tmp_path), card, _pictures(3))
    assert good.iou > 0.95
    assert good.difference < 0.01
    assert bad.iou < good.iou - 0.05
    assert bad.difference > 5 * good.difference
    same = compare(weights, weights, card, _pictures(3))
    assert (same.iou, same.difference) == (1.0, 0.0)


def test_layers_are_ranked_by_what_they_change(conv: Model, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    errors = layer_errors(tmp_path / "conv.onnx", conv[0], _pictures(2), lambda done, total: seen.append((done, total)))
    assert errors.keys() == {"w_first", "w_middle", "w_last"}
    assert list(errors.values()) == sorted(errors.values(), reverse=True)
    assert all(0 < error < 0.05 for error in errors.values())
    assert seen == [(0, 3), (1, 3), (2, 3)]


def test_photos_are_read_in_order_and_what_is_no_picture_is_left_out(tmp_path: Path) -> None:
    for at in range(8):
        flat = np.full((40, 60, 3), at * 20, np.uint8)
        (tmp_path / f"{at}.png").write_bytes(encode(from_array(flat), format=ImageFormat.PNG, quality=None))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    photos, skipped = read_photos(tmp_path, side=16, max_pixels=10_000)
    assert [photo.shape for photo in photos] == [(16, 16, 3)] * 8
    assert [int(photo[0, 0, 0]) for photo in photos] == [0, 20, 40, 60, 80, 100, 120, 140]
    assert [path.name for path in skipped] == ["notes.txt"]
    with pytest.raises(SettingsError, match="holds 0 pictures; at least 8"):
        read_photos(tmp_path, side=16, max_pixels=100)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_photos(tmp_path / "missing", side=16, max_pixels=100)


def test_side_of_calibration() -> None:
    assert [calibration_side(find_card(name)) for name in ("u2net", "u2netp", "isnet")] == [256, 256, 1024]


@pytest.mark.skipif(find_spec("nncf") is not None, reason="the extra is installed")
def test_optimize_without_its_extra_says_how_to_get_it(conv: Model, tmp_path: Path) -> None:
    done = _models(tmp_path, "optimize", "conv", tmp_path)
    assert done.returncode == 1
    assert install_command("optimize") in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(find_spec("nncf") is None, reason="NNCF is not installed")
def test_optimize_with_nncf_calls_nobody_and_installs_what_agrees(conv: Model, tmp_path: Path) -> None:
    card, calibration = conv
    photos = tmp_path / "photos"
    photos.mkdir()
    for at, pixels in enumerate(_pictures(12)):
        (photos / f"{at:02}.png").write_bytes(encode(from_array(pixels), format=ImageFormat.PNG, quality=None))
    done = _models_in_a_process(tmp_path, "optimize", "conv", photos, "--keep-float", "1", prelude=REFUSE_SOCKETS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 photos to calibrate on, 3 held out" in done.stdout
    made = load_calibration(card, tmp_path)
    assert made is not None
    assert made != calibration
    assert made.activations.keys() <= {"input", "r1", "hidden"}
    assert set(made.floating) < {"w_first", "w_middle", "w_last"}
    assert len(made.floating) == 1
    assert int8_path(card, tmp_path, made).is_file()
    assert not int8_path(card, tmp_path, calibration).exists()
