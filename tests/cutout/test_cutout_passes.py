"""Passes: which ones a tier has, at which size, turned over and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pellucid.cutout.segment import Model, Scaled, segment
from pellucid.errors import ModelUnavailableError
from pellucid.inference.runtime import FloatArray
from pellucid.models.cards import Flip, ModelCard, Pass, find_card, find_cards
from pellucid.spec import Tier
from tiny import TinyModel

U2NET, U2NETP = find_cards("u2net")
ISNET = find_card("isnet")


class _Session:
    """Stands where a session stands: notes the sizes it is run at and sees what is brighter than grey."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, batch: FloatArray) -> FloatArray:
        self.sizes.append(batch.shape[3])
        return (batch.mean(axis=1, keepdims=True) > 0.5).astype(np.float32)


def _corner(width: int, height: int) -> npt.NDArray[np.uint8]:
    """White at the top left, else black."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = 255
    return picture


def _run(
    card: ModelCard, *others: ModelCard, tier: Tier, scaled: Scaled = _corner
) -> tuple[FloatArray, dict[str, list[int]]]:
    sessions = {each.name: _Session() for each in (card, *others)}
    models: Any = {each.name: Model(card=each, session=sessions[each.name]) for each in (card, *others)}  # type: ignore[arg-type]
    matte = segment(scaled, models=models, card=card, tier=tier)
    return matte.alpha_hw, {name: session.sizes for name, session in sessions.items()}


@pytest.mark.parametrize("tier", list(Tier))
def test_a_pass_that_is_turned_over_is_turned_back(tier: Tier) -> None:
    """Every pass sees the corner where it is, or the median would not be clean."""
    alpha, _ = _run(U2NET, U2NETP, tier=tier)
    side = alpha.shape[0]
    assert alpha[side // 4, side // 4] == 1
    assert alpha[3 * side // 4, side // 4] == alpha[side // 4, 3 * side // 4] == alpha[-1, -1] == 0


@pytest.mark.parametrize("tier", list(Tier))
def test_the_passes_of_the_card_are_taken(tier: Tier) -> None:
    alpha, sizes = _run(U2NET, U2NETP, tier=tier)
    passes = U2NET.passes_of(tier)
    assert sizes["u2net"] == [each.side for each in passes if each.model is None]
    assert sizes["u2netp"] == [each.side for each in passes if each.model == "u2netp"]
    assert alpha.shape == (320, 320)


def test_a_dearer_tier_has_more_passes_and_all_begin_with_the_published_one() -> None:
    fast, standard, best = (U2NET.passes_of(tier) for tier in (Tier.FAST, Tier.STANDARD, Tier.BEST))
    assert len(fast) < len(standard) < len(best)
    assert {passes[0] for passes in (fast, standard, best)} == {Pass(side=320)}


@pytest.mark.parametrize("tier", list(Tier))
def test_a_model_without_passes_on_its_card_is_shown_the_published_size(tier: Tier) -> None:
    passes = ISNET.passes_of(tier)
    assert [each.flip for each in passes] == [Flip.NONE, Flip.HORIZONTAL][: len(passes)]
    assert {ISNET.input_size(each.side) for each in passes} == {(1024, 1024)}
    assert len(passes) == (1 if tier is Tier.FAST else 2)


def test_a_model_with_one_size_is_shown_no_other() -> None:
    assert ISNET.input_size(320) == (1024, 1024)
    assert U2NET.input_size(256) == (256, 256)


@pytest.mark.parametrize("side", [0, 16, 100, 319])
def test_sides_that_no_network_halves_are_refused(side: int) -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        Pass(side=side)


def test_a_tier_without_any_pass_is_refused(tiny_model: TinyModel, tmp_path: Path) -> None:
    cards = tmp_path / "cards.toml"
    cards.write_text(tiny_model.cards.read_text() + "[tiny.passes]\nbest = []\n")
    with pytest.raises(ModelUnavailableError, match=r"tiny: passes\.best is empty"):
        find_cards("tiny", extra=cards)


def test_a_size_is_resampled_once_however_many_passes_see_it() -> None:
    asked: list[tuple[int, int]] = []

    def corner(width: int, height: int) -> npt.NDArray[np.uint8]:
        asked.append((width, height))
        return _corner(width, height)

    _run(U2NET, U2NETP, tier=Tier.BEST, scaled=corner)
    assert sorted(asked) == sorted({U2NET.input_size(each.side) for each in U2NET.passes_of(Tier.BEST)})
