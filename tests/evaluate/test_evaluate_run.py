"""A folder of pictures and masks, measured with the tiny model."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pellucid.engine import Engine
from pellucid.errors import ImageError, SettingsError
from pellucid.evaluate.dataset import find_pairs, read_samples
from pellucid.evaluate.run import evaluate, mean, worst_first
from pellucid.evaluate.sheet import sheet
from tiny import TinyModel


@pytest.fixture
def engine(tiny_model: TinyModel) -> Engine:
    return Engine(models_dir=tiny_model.models_dir, model="tiny", cards=tiny_model.cards, precision="f32", threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two white squares on black: the mask of `good` is right, that of `bad` is the other half."""
    for name in ("images", "masks", "ignore"):
        (tmp_path / name).mkdir()
    square = np.zeros((64, 64, 3), np.uint8)
    square[16:48, 16:48] = 255
    for name, mask in (("good", square), ("bad", np.roll(square, 32, axis=1))):
        Image.fromarray(square).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(mask).convert("L").save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "images" / "no-mask.png").write_bytes((tmp_path / "images" / "good.png").read_bytes())
    edge = np.full((64, 64), 255, np.uint8)
    edge[20:44, 20:44] = 0
    edge[:12], edge[52:], edge[:, :12], edge[:, 52:] = 0, 0, 0, 0
    Image.fromarray(edge).save(tmp_path / "ignore" / "good.png")
    return tmp_path


def test_pictures_are_measured_against_their_masks(folder: Path, engine: Engine) -> None:
    results = list(evaluate(read_samples(folder), engine))
    assert [result.sample.name for result in results] == ["bad", "good"]
    bad, good = results
    assert good.measures.iou == 1, "the soft edge of the model's small output is marked to be ignored"
    assert bad.measures.iou < 0.1
    assert worst_first(results)[0] is bad
    assert mean(results).iou == pytest.approx((good.measures.iou + bad.measures.iou) / 2)
    page = sheet("a <title>", results)
    assert "a &lt;title&gt;" in page
    assert page.count("data:image/jpeg;base64,") == 8


def test_a_folder_that_is_laid_out_otherwise_is_explained(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="images/"):
        find_pairs(tmp_path / "nowhere")
    for mask in (folder / "masks").iterdir():
        mask.unlink()
    with pytest.raises(SettingsError, match="mask of the same name"):
        find_pairs(folder)


def test_a_mask_of_another_size_is_an_error(folder: Path) -> None:
    out = io.BytesIO()
    Image.new("L", (10, 10)).save(out, "PNG")
    (folder / "masks" / "good.png").write_bytes(out.getvalue())
    with pytest.raises(ImageError, match="10 x 10"):
        list(read_samples(folder))
