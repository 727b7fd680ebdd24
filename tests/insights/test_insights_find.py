"""One look at an image finds what is asked for, with the models where they are."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pellucid.demo.samples import SAMPLES_FOLDER
from pellucid.image.box import Box
from pellucid.image.probe import probe
from pellucid.insights.detectors import Detectors
from pellucid.insights.find import find_insights
from pellucid.insights.needs import Needs
from pellucid.insights.record import InsightRecord, content_name
from pellucid.models.cards import find_insight_cards
from pellucid.models.folder import default_models_dir
from pellucid.spec import Colour

WITHOUT = Detectors(None)


def saved(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def find(data: bytes, needs: Needs, detectors: Detectors = WITHOUT) -> InsightRecord:
    return find_insights(data, probe(data, max_pixels=10**8), needs, detectors=detectors)


@pytest.fixture(scope="module")
def detectors() -> Detectors:
    models_dir = default_models_dir()
    if any(not card.path_in(models_dir).is_file() for card in find_insight_cards()):
        pytest.skip("`pellucid models pull` fetches the models")
    return Detectors(models_dir)


def portrait() -> bytes:
    """Grace Hopper, 1984, a photograph of the US Navy (public domain) that matplotlib brings."""
    found = importlib.util.find_spec("matplotlib")
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg").read_bytes()


def test_border_and_colour_need_no_model() -> None:
    pixels = np.full((1500, 2000, 3), 255, np.uint8)
    pixels[300:1200, 400:1700] = (20, 90, 160)
    record = find(saved(pixels), Needs(trim=5, main_colour=True))
    assert record.main_colour == Colour(red=255, green=255, blue=255)
    box = record.content[content_name(5)]
    # Found at 1024 px: right to two pixels of 2000.
    for side, true in ((box.left, 400), (box.top, 300), (box.left + box.width, 1700), (box.top + box.height, 1200)):
        assert abs(side - true) <= 2
    assert record.looked == {"main_colour", content_name(5)}


def test_without_a_model_nobody_looked() -> None:
    record = find(saved(np.zeros((40, 40, 3), np.uint8)), Needs(faces=True, salience=True))
    assert record == InsightRecord()


def test_a_missing_border_is_remembered() -> None:
    record = find((SAMPLES_FOLDER / "osprey.jpg").read_bytes(), Needs(trim=2))
    assert record.looked == {content_name(2)}
    assert record.content == {}


def test_the_face_of_a_portrait_is_found_and_none_in_animals(detectors: Detectors) -> None:
    [face] = find(portrait(), Needs(faces=True), detectors).faces
    assert face.centre == pytest.approx((0.52, 0.37), abs=0.04)
    assert face.right - face.left == pytest.approx(0.36, abs=0.06)
    for name in ("dog", "osprey", "otter", "bowl"):
        assert find((SAMPLES_FOLDER / f"{name}.jpg").read_bytes(), Needs(faces=True), detectors).faces == ()


def test_the_prominent_object_is_where_it_is(detectors: Detectors) -> None:
    salience = find((SAMPLES_FOLDER / "osprey.jpg").read_bytes(), Needs(salience=True), detectors).salience
    assert salience is not None
    assert sum(salience.columns) == pytest.approx(1, abs=0.01)
    assert sum(salience.columns[24:52]) > 0.85, "from 0.38 to 0.81 of the width"
    assert sum(salience.rows[8:62]) > 0.85


def test_nothing_prominent_in_a_plain_image(detectors: Detectors) -> None:
    record = find(saved(np.full((100, 100, 3), 120, np.uint8)), Needs(salience=True), detectors)
    assert record.looked == {"salience"}
    assert record.salience is None


def test_translucent_images_are_looked_at_over_white() -> None:
    pixels = np.zeros((200, 300, 4), np.uint8)
    pixels[50:150, 100:250] = (20, 90, 160, 255)
    record = find(saved(pixels), Needs(trim=5, main_colour=True))
    assert record.content[content_name(5)] == Box(left=100, top=50, width=150, height=100)
    assert record.main_colour == Colour(red=20, green=90, blue=160)
