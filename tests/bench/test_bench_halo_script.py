"""`bench/halo.py`: what it prints and writes, with the tiny model and with a stand-in for rembg."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import halo
import numpy as np
import pytest
from PIL import Image

from tiny import TinyModel

pytestmark = pytest.mark.slow

GIVEN = ["photo as it is", "Pellucid", "photo, reduced after", "Pellucid, reduced after"]
"""What is measured without any option, besides the truth."""

_STAND_IN = """
from PIL import Image

def naive_cutout(photo, matte):
    return Image.composite(photo.convert("RGBA"), Image.new("RGBA", photo.size), matte)

def decontaminate_cutout(photo, matte):
    cutout = photo.copy()
    cutout.putalpha(matte)
    return cutout
"""


class Run:
    """Calls the script; what it printed, line by line."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str | Path, size: tuple[int, int] = (64, 64)) -> list[str]:
        sides = [str(side) for side in size]
        self._monkeypatch.setattr(sys, "argv", ["halo.py", "--size", *sides, *map(str, arguments)])
        halo.main()
        return self._capsys.readouterr().out.splitlines()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(monkeypatch, capsys)


@pytest.fixture
def tiny(tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model is the one that the settings name."""
    monkeypatch.setenv("PELLUCID_MODELS_DIR", str(tiny_model.models_dir))
    monkeypatch.setenv("PELLUCID_MODEL_CARDS", str(tiny_model.cards))
    monkeypatch.setenv("PELLUCID_MODEL_NAME", "tiny")
    monkeypatch.setenv("PELLUCID_MODEL_PRECISION", "f32")


def tables(lines: list[str]) -> dict[str, dict[str, list[str]]]:
    """By title: the cells of each row by its name; the row of heads has none."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in lines[1:]:
        if line.startswith("| "):
            name, *cells = line.strip("|").split("|")
            list(found.values())[-1][name.strip()] = [cell.strip() for cell in cells]
        elif line and not line.startswith("|"):
            found[line] = {}
    return found


@pytest.mark.usefixtures("tiny")
def test_it_writes_what_it_prints(run: Run, tmp_path: Path) -> None:
    sheet, numbers = tmp_path / "sheet.html", tmp_path / "all.json"
    lines = run("--scenes", "7", "--own-matte", "--sheet", sheet, "--json", numbers, size=(320, 240))
    assert lines[0].endswith("; 7 scenes from seed 0")
    own, black, six = tables(lines).items()
    names = [*GIVEN, halo.OWN_MATTE, halo.TRUTH]
    assert list(black[1]) == list(six[1]) == ["", *names]
    assert list(own[1]) == ["", "photo as it is", "Pellucid", halo.OWN_MATTE]
    assert own[0] == "Halo at 320 x 240 (levels, over black)"
    assert black[0] == "Halo at 80 px across (levels, over black)"
    document = json.loads(numbers.read_bytes())
    assert document["recipe"].startswith("tiny-f32")
    assert (document["size"], document["width"]) == ([320, 240], 80)
    assert list(document["summary"]) == list(document["scenes"]) == names
    for (_, rows), field in ((own, "own_black"), (black, "small_black"), (six, "small_all")):
        assert rows[""] == list(document["summary"]["Pellucid"])
        for name, cells in rows.items():
            if name:
                assert cells == [f"{each[field]:.2f}" for each in document["summary"][name].values()]
    assert len(document["scenes"]["Pellucid"]) == 7
    assert document["summary"][halo.TRUTH]["mean"]["own_black"] < 1e-3
    # Photo once, and for the truth and the cutouts one picture over each of three colours.
    assert sheet.read_text().count("data:image/jpeg;base64,") == 7 * (1 + (1 + len(names)) * 3)


def test_given_mattes_need_no_model(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PELLUCID_MODELS_DIR", str(tmp_path))
    numbers = tmp_path / "all.json"
    lines = run("--scenes", "2", "--first", "5", "--json", numbers)
    assert lines[0].endswith("; 2 scenes from seed 5")
    assert halo.OWN_MATTE not in "".join(lines)
    document = json.loads(numbers.read_bytes())
    assert document["recipe"] is None
    assert list(document["scenes"]["Pellucid"]) == ["defocus-flat-5", "hard-flat-6"]
    with pytest.raises(SystemExit, match="pellucid models pull"):
        run("--scenes", "2", "--own-matte")


def test_photographs_are_one_more_backdrop(run: Run, tmp_path: Path) -> None:
    folder, numbers = tmp_path / "photographs", tmp_path / "all.json"
    folder.mkdir()
    Image.fromarray(np.full((70, 90, 3), (10, 200, 30), np.uint8)).save(folder / "a.png")
    lines = run("--scenes", "1", "--first", "28", "--photographs", folder, "--json", numbers)
    assert lines[0].endswith("photographs among the backdrops")
    assert list(json.loads(numbers.read_bytes())["scenes"]["Pellucid"]) == ["hair-photograph-28"]
    (folder / "a.png").unlink()
    with pytest.raises(SystemExit, match="no photographs"):
        run("--photographs", folder)


def test_the_functions_of_rembg_run_in_their_own_python(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rembg").mkdir()
    (tmp_path / "rembg" / "__init__.py").touch()
    (tmp_path / "rembg" / "bg.py").write_text(_STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    own, black, _ = tables(run("--scenes", "1", "--rembg-python", sys.executable)).values()
    assert list(own) == ["", "photo as it is", "Pellucid", "rembg naive", "pymatting ml"]
    theirs = ["rembg naive, reduced after", "pymatting ml, reduced after", "pymatting ml, reduced before"]
    assert list(black) == ["", *GIVEN, *theirs, halo.TRUTH]
    # The stand-in puts the matte on the photo, and so do these.
    assert own["pymatting ml"] == own["photo as it is"]
    assert black["pymatting ml, reduced after"] == black["photo, reduced after"]
    assert black["pymatting ml, reduced before"] == black["photo as it is"]
    assert own["rembg naive"] != own["photo as it is"]


@pytest.mark.parametrize("size", [(60, 64), (66, 64)])
def test_sizes_that_do_not_divide_are_refused(
    size: tuple[int, int], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(size=size)
    assert "multiples of 4" in capsys.readouterr().err
