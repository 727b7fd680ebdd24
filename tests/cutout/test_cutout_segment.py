"""The model seam: a session, a coarse matte, a recipe; no call home."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pellucid.cutout.recipe import Recipe
from pellucid.cutout.segment import CoarseMatte, Model, prepare, segment
from pellucid.errors import CutoutError, DeviceUnavailableError, ModelUnavailableError
from pellucid.inference.runtime import Precision, Session, describe_device
from pellucid.models.cards import find_card
from pellucid.spec import Tier
from tiny import TINY_SIDE, TinyModel


def _session(tiny: TinyModel, cache: Path | None = None) -> Session:
    return _open(tiny.models_dir / "tiny.onnx", cache=cache)


def _open(weights: Path, *, cache: Path | None = None, others: bool = False) -> Session:
    sizes = [(TINY_SIDE, TINY_SIDE)]
    return Session(
        weights, device="CPU", precision=Precision.F32, threads=1, cache_dir=cache, sizes=sizes, others=others
    )


def _fast(rgb: np.ndarray, tiny: TinyModel) -> CoarseMatte:
    card = find_card("tiny", extra=tiny.cards)
    models = {"tiny": Model(card=card, session=_session(tiny))}
    return segment(lambda width, height: rgb, models=models, card=card, tier=Tier.FAST)


def test_bright_is_foreground(tiny_model: TinyModel) -> None:
    rgb = np.zeros((TINY_SIDE, TINY_SIDE, 3), np.uint8)
    rgb[8:24, 8:24] = 255
    matte = _fast(rgb, tiny_model)
    assert matte.alpha_hw.shape == (TINY_SIDE, TINY_SIDE)
    assert matte.alpha_hw[16, 16] > 0.99
    assert matte.alpha_hw[0, 0] < 0.01
    assert matte.confidence > 0.9
    assert not matte.empty


def test_an_empty_matte_stays_empty(tiny_model: TinyModel) -> None:
    """No stretch to full contrast: faint noise must not become a subject."""
    rgb = np.full((TINY_SIDE, TINY_SIDE, 3), 90, np.uint8)
    rgb[4, 4] = 120
    matte = _fast(rgb, tiny_model)
    assert matte.empty
    assert matte.alpha_hw.max() < 0.5


def test_prepare_normalises_by_the_card(tiny_model: TinyModel) -> None:
    card = find_card("u2net")
    batch = prepare(np.full((2, 2, 3), 255, np.uint8), card)
    assert batch.shape == (1, 3, 2, 2)
    assert batch.dtype == np.float32
    expected = [(1 - mean) / std for mean, std in zip(card.mean, card.std, strict=True)]
    assert np.allclose(batch[0, :, 0, 0], expected, atol=1e-6)


def test_compiled_models_are_kept(tiny_model: TinyModel, tmp_path: Path) -> None:
    _session(tiny_model, tmp_path / "compiled")
    assert list((tmp_path / "compiled").iterdir())


def test_missing_and_broken_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="missing"):
        _open(tmp_path / "no.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a model" * 50)
    with pytest.raises(ModelUnavailableError, match="cannot be loaded"):
        _open(tmp_path / "bad.onnx")


def test_unknown_device_lists_those_that_exist() -> None:
    with pytest.raises(DeviceUnavailableError, match="CPU"):
        describe_device("TPU9")


@pytest.mark.parametrize("others", [False, True])
def test_a_session_runs_at_any_size(tiny_model: TinyModel, *, others: bool) -> None:
    session = _open(tiny_model.models_dir / "tiny.onnx", others=others)
    for width, height in ((TINY_SIDE, TINY_SIDE), (64, 96), (TINY_SIDE, TINY_SIDE)):
        bright = np.full((1, 3, height, width), 1, np.float32)
        alpha = session.run(bright)
        assert alpha.shape == (1, 1, height, width)
        assert alpha.min() > 0.99


@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize("precision", list(Precision))
def test_recipe_ids_round_trip(precision: Precision, tier: Tier) -> None:
    recipe = Recipe(model="birefnet-lite", precision=precision, tier=tier)
    assert Recipe.parse(recipe.id) == recipe


def test_every_tier_and_precision_has_a_recipe_of_its_own() -> None:
    ids = [each.id for precision in Precision for each in Recipe(model="m", precision=precision).by_tier.values()]
    assert len(set(ids)) == len(Tier) * len(Precision)


@pytest.mark.parametrize(
    "text", ["", "u2net", "u2net-bf16", "u2net-bf16-v1", "u2net-int3-fast-v1", "-bf16-fast-v1", "u2net-bf16-fast-vx"]
)
def test_nonsense_is_no_recipe(text: str) -> None:
    with pytest.raises(CutoutError):
        Recipe.parse(text)


def test_the_runtime_makes_no_outbound_call(tiny_model: TinyModel, tmp_path: Path) -> None:
    """Import, compile and run under an audit hook that refuses every socket and look-up of Python code."""
    code = f"""
import sys
def audit(event, args):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request")):
        sys.stderr.write(event); sys.stderr.flush(); import os; os._exit(9)
sys.addaudithook(audit)
from pathlib import Path
import numpy as np
from pellucid.inference.runtime import Precision, Session, describe_device
describe_device()
s = Session(Path({str(tiny_model.models_dir / "tiny.onnx")!r}), device="CPU", precision=Precision.F32, threads=1,
            cache_dir=None, sizes=[({TINY_SIDE}, {TINY_SIDE})])
s.run(np.zeros((1, 3, {TINY_SIDE}, {TINY_SIDE}), np.float32))
assert sys.modules["openvino_telemetry"] is None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
