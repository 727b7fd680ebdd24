"""`pellucid doctor`: what each check finds, with a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest

from pellucid.cli.doctor import CHECKS
from pellucid.errors import ModelUnavailableError
from pellucid.settings.model import SettingsTree
from pellucid.settings.sections.mattes import ModelSettings
from tiny import make_tiny_model


@pytest.fixture
def settings(tmp_path: Path) -> SettingsTree:
    """`tiny`, whose best tier takes `other` along."""
    tiny = make_tiny_model(tmp_path)
    other = tiny.cards.read_text().replace("[tiny]", "[other]").replace("tiny.onnx", "other.onnx")
    (tmp_path / "other.onnx").write_bytes((tmp_path / "tiny.onnx").read_bytes())
    tiny.cards.write_text(f'{tiny.cards.read_text()}[[tiny.passes.best]]\nmodel = "other"\n{other}')
    return SettingsTree(models_dir=tmp_path, model=ModelSettings(name="tiny", cards=tiny.cards))


def test_weights_of_all_models_that_are_run_are_read(settings: SettingsTree, tmp_path: Path) -> None:
    told = CHECKS["model"](settings)
    assert f"tiny: {tmp_path / 'tiny.onnx'} is sound" in told
    assert f"other: {tmp_path / 'other.onnx'} is sound" in told
    damaged = bytearray((tmp_path / "other.onnx").read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "other.onnx").write_bytes(damaged)
    with pytest.raises(ModelUnavailableError, match=r"other\.onnx is not what the card of other describes"):
        CHECKS["model"](settings)
