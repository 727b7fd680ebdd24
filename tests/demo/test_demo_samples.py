"""The sample photographs: as large and as light as they should be, and nobody's by mistake."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from pellucid.demo.samples import SAMPLE_PATHS, SAMPLES, SAMPLES_FOLDER
from pellucid.settings.model import SettingsTree
from pellucid.wiring.aliases import shared_aliases_of

LICENCES = (SAMPLES_FOLDER / "LICENCES.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_a_light_picture_of_a_size_to_zoom_into(name: str) -> None:
    data = (SAMPLES_FOLDER / name).read_bytes()
    assert len(data) <= 200_000
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        assert (picture.format, picture.mode) == ("JPEG", "RGB")
        assert 1200 <= max(picture.size) <= 1600
        assert not set(picture.info) & {"exif", "icc_profile", "xmp", "comment", "photoshop"}


@pytest.mark.parametrize("name", SAMPLES)
def test_author_licence_source_and_changes_of_a_sample_are_named(name: str) -> None:
    heading = f"\n{name}: "
    assert LICENCES.count(heading) == 1
    entry = LICENCES.partition(heading)[2].partition("\n\n\n")[0]
    for word in ("Author:", "Licence:", "Source:", "version", "Changes:"):
        assert word in entry, word


def test_nothing_else_lies_in_the_folder() -> None:
    assert {path.name for path in SAMPLES_FOLDER.iterdir()} == {*SAMPLES, "LICENCES.txt"}


def test_the_alias_is_the_folder_of_the_package_unless_somebody_sets_another(tmp_path: Path) -> None:
    built_in = shared_aliases_of(SettingsTree(data_dir=tmp_path))
    assert built_in["_samples_"] == SAMPLES_FOLDER.resolve().as_uri()
    assert tuple(f"/_samples_/{name}" for name in SAMPLES) == SAMPLE_PATHS
    own = SettingsTree(data_dir=tmp_path, aliases={"_samples_": "https://own.example/"})
    assert shared_aliases_of(own)["_samples_"].startswith("https://own.example")
