"""Calibrations: read and written without loss, ours and the user's own, never for other weights."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from pellucid.errors import ModelUnavailableError
from pellucid.models.calibration import (
    Calibration,
    encode_calibration,
    load_calibration,
    own_calibration_path,
    save_own_calibration,
)
from pellucid.models.cards import find_card, load_cards

CARD = find_card("u2net")


def _own(**changes: object) -> Calibration:
    ours = load_calibration(CARD)
    assert ours is not None
    return msgspec.structs.replace(ours, **changes)


@pytest.mark.parametrize("name", ["u2net", "u2netp"])
def test_ours_are_for_the_weights_on_the_card(name: str) -> None:
    calibration = load_calibration(find_card(name))
    assert calibration is not None
    assert (calibration.model, calibration.weights_sha256) == (name, find_card(name).sha256)
    assert len(calibration.activations) == 168


def test_every_calibration_belongs_to_a_card_and_is_small() -> None:
    found = list(files("pellucid.models").joinpath("calibrations").iterdir())
    assert found
    for file in found:
        assert file.name.removesuffix(".json") in load_cards()
        data = file.read_bytes()
        assert len(data) < 8000
        assert encode_calibration(msgspec.json.decode(data, type=Calibration)) == data


def test_a_model_without_calibration(tmp_path: Path) -> None:
    assert load_calibration(find_card("isnet"), tmp_path) is None


def test_a_card_of_the_same_name_with_other_weights_has_none() -> None:
    assert load_calibration(msgspec.structs.replace(CARD, sha256="0" * 64)) is None


def test_the_users_own_wins_and_deleting_it_brings_ours_back(tmp_path: Path) -> None:
    own = _own(pictures="mine", activations={'a "b"': (-1.5, 2.0), "c": (0.0, 1e-7)}, floating=("x/y",))
    path = save_own_calibration(own, CARD, tmp_path)
    assert load_calibration(CARD, tmp_path) == own
    assert list(tmp_path.iterdir()) == [path], "nothing else is left behind"
    assert load_calibration(CARD) == _own()
    path.unlink()
    assert load_calibration(CARD, tmp_path) == _own()


def test_the_users_own_for_other_weights_is_passed_over(tmp_path: Path) -> None:
    save_own_calibration(_own(weights_sha256="0" * 64), CARD, tmp_path)
    assert load_calibration(CARD, tmp_path) == _own()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        encode_calibration(_own())[:-20],
        encode_calibration(_own()).replace(b"[-2.09272,", b"[3.0,"),
        encode_calibration(_own()).replace(b'"input.1": [-2.09272,2.46834]', b'"input.1": [0,0]'),
    ],
)
def test_an_own_calibration_that_cannot_be_read_is_said(tmp_path: Path, content: bytes) -> None:
    own_calibration_path(CARD, tmp_path).write_bytes(content)
    with pytest.raises(ModelUnavailableError, match=r"u2net-calibration\.json.*delete it"):
        load_calibration(CARD, tmp_path)


@pytest.mark.parametrize("span", [(1.0, 2.0), (-2.0, -1.0), (0.0, 0.0), (2.0, -1.0), (0.0, float("inf"))])
def test_no_range_without_zero_or_width(span: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="is no range for x"):
        _own(activations={"x": span}).__post_init__()


def test_digest_is_of_what_the_graph_depends_on() -> None:
    base = _own().digest
    assert _own(pictures="others", made_with={"nncf": "9"}).digest == base
    different = [
        _own(model="x"),
        _own(weights_sha256="0" * 64),
        _own(floating=()),
        _own(activations=_own().activations | {"input.1": (-2.09272, 2.46835)}),
    ]
    assert len({base, *(calibration.digest for calibration in different)}) == 5
    shuffled = dict(reversed(_own().activations.items()))
    assert _own(activations=shuffled).digest == base
