"""A folder of pictures and masks, measured with the tiny model."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pellucid.cli.app import app
from pellucid.cli.evaluate import evaluate_folders
from pellucid.cli.options import read_settings
from pellucid.engine import Engine
from pellucid.errors import ImageError, SettingsError
from pellucid.evaluate.dataset import find_pairs, name_sets, read_samples
from pellucid.evaluate.run import evaluate, mean, worst_first
from pellucid.evaluate.sheet import sheet
from pellucid.settings.model import SettingsTree
from tiny import TinyModel, with_grain


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
        Image.fromarray(with_grain(square)).save(tmp_path / "images" / f"{name}.png")
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
    assert good.score.measures.iou == 1, "the soft edge of the model's small output is marked to be ignored"
    assert bad.score.measures.iou < 0.1
    assert worst_first([good.score, bad.score])[0] is bad.score
    average = mean([result.score.measures for result in results])
    assert average.iou == pytest.approx((good.score.measures.iou + bad.score.measures.iou) / 2)
    page = sheet("a <title>", [("a <name>", result) for result in results])
    assert "a &lt;title&gt;" in page
    assert page.count("<b>a &lt;name&gt;</b>") == 2
    assert page.count("data:image/jpeg;base64,") == 8


@pytest.fixture
def settings(tiny_model: TinyModel) -> SettingsTree:
    return read_settings(
        None,
        models_dir=tiny_model.models_dir,
        model__name="tiny",
        model__cards=tiny_model.cards,
        model__precision="f32",
    )


def test_each_set_is_summed_up_and_counts_the_same_in_the_mean(
    folder: Path, settings: SettingsTree, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path_factory.mktemp("sets") / "other"
    shutil.copytree(folder, other)
    (other / "masks" / "bad.png").unlink()
    sheet_file, json_file = other / "sheet.html", other / "all.json"
    assert evaluate_folders([folder, other], settings, sheet_file=sheet_file, json_file=json_file) == 0
    found = json.loads(json_file.read_bytes())
    first, second = (found["sets"][each.name] for each in (folder, other))
    assert set(first["pictures"]) == {"bad", "good"}
    assert first["mean"]["iou"] == pytest.approx(sum(each["iou"] for each in first["pictures"].values()) / 2)
    assert second["mean"]["iou"] == 1
    assert found["mean"]["iou"] == pytest.approx((first["mean"]["iou"] + 1) / 2)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    summary = lines.index(
        ["set", "pictures", "IoU", "bIoU", "MAE", "MSE", "SAD", "grad", "veil", "S", "max-F", "seconds"]
    )
    assert [line[:2] for line in lines[summary + 1 : summary + 3]] == [[folder.name, "2"], ["other", "1"]]
    assert lines[summary + 3][:6] == ["mean", "of", "2", "sets", "3", f"{found['mean']['iou']:.4f}"]
    assert [folder.name, "bad"] in [line[:2] for line in lines], "the worst are named"
    page = sheet_file.read_text()
    assert page.index(f"<b>{folder.name}: bad</b>") < page.index("<b>other: good</b>"), "worst of all sets first"


def test_one_set_has_no_second_summary(
    folder: Path, settings: SettingsTree, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate_folders([folder], settings, sheet_file=None, json_file=None)
    printed = capsys.readouterr().out
    assert "mean of 2" in printed
    assert "sets" not in printed


def test_no_folder_is_a_usage_error() -> None:
    done = CliRunner().invoke(app, ["eval"])
    assert done.exit_code == 2
    assert "DIR" in done.output


def test_sets_of_one_name_are_refused(tmp_path: Path) -> None:
    assert name_sets([tmp_path / "a", tmp_path / "b"]) == {"a": tmp_path / "a", "b": tmp_path / "b"}
    with pytest.raises(SettingsError, match="same name"):
        name_sets([tmp_path / "x" / "a", tmp_path / "a"])


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
