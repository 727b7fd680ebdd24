"""The fits behind the confidence, and the scenes they are tried on: a flattering score would become a promise."""

from __future__ import annotations

import numpy as np
import pytest
from calibration.fit import (
    Floats,
    brier,
    calibration_error,
    fit_beta,
    fit_curve,
    held_out,
    reliability,
    unavoidable_error,
)
from calibration.scenes import FRAME, paint_over, small_scenes


def _drawn(count: int, seed: int = 1) -> tuple[Floats, Floats]:
    """Evidence that is the probability itself, and mattes that are good so often."""
    random = np.random.default_rng(seed)
    chance = random.random(count)
    return chance[:, None], (random.random(count) < chance).astype(np.float64)


def test_scores_by_hand() -> None:
    said, good = np.array([0.95, 0.95, 0.25, 0.25]), np.array([1.0, 0.0, 0.0, 0.0])
    assert brier(said, good) == pytest.approx((0.05**2 + 0.95**2 + 2 * 0.25**2) / 4)
    assert reliability(said, good) == [(0.25, 0.0, 2), (pytest.approx(0.95), 0.5, 2)]
    assert calibration_error(said, good) == pytest.approx((0.25 + 0.45) / 2)
    assert calibration_error(np.array([1.0]), np.array([1.0])) == 0


def test_a_curve_finds_the_probability_and_never_falls() -> None:
    evidence, good = _drawn(4000)
    curve = fit_curve(evidence, good)
    assert curve(np.linspace(0.05, 0.95, 10)[:, None]) == pytest.approx(np.linspace(0.05, 0.95, 10), abs=0.07)
    falling = fit_curve(evidence, 1 - good)
    assert np.all(np.diff(falling.value) >= -1e-9)
    assert falling.value[-1] == pytest.approx(falling.value[0], abs=0.1), "it is flat where the truth falls"


def test_a_curve_is_not_certain_after_few() -> None:
    curve = fit_curve(np.array([[0.5], [0.9], [0.95]]), np.ones(3))
    assert curve(np.array([[0.0], [1.0]])) == pytest.approx([0, 0.9], abs=0.15)
    assert curve(np.array([[1.0]]))[0] < 1


def test_beta_calibration_finds_its_weights() -> None:
    random = np.random.default_rng(2)
    evidence = random.random((200_000, 2))
    logits = 1 + 0.8 * np.log(evidence[:, 0] + 0.01) - 1.5 * np.log(1 - evidence[:, 1] + 0.01)
    good = (random.random(200_000) < 1 / (1 + np.exp(-logits))).astype(np.float64)
    found = fit_beta(evidence, good)
    assert found.offset == pytest.approx(1, abs=0.05)
    assert found.rise == pytest.approx([0.8, 0], abs=0.05)
    assert found.near == pytest.approx([0, 1.5], abs=0.05)
    assert found(evidence) == pytest.approx(1 / (1 + np.exp(-logits)), abs=0.02)


def test_beta_calibration_never_falls() -> None:
    evidence, good = _drawn(2000)
    found = fit_beta(evidence, 1 - good)
    assert min(*found.rise, *found.near) >= 0
    assert found(evidence).std() < 0.01, "it is flat where the truth falls"


def test_what_chance_makes_of_few() -> None:
    said = np.full(1000, 0.5)
    assert unavoidable_error(said) == pytest.approx(0.6745 * 0.5 / 1000**0.5, rel=0.2), "the median of |N(0, 0.016)|"
    assert unavoidable_error(said[:20]) > 0.05
    assert unavoidable_error(np.ones(20)) == 0


def test_what_is_held_out_has_not_been_seen() -> None:
    # Evidence that is nothing but the picture's number, known by heart: whoever sees a picture's other matte knows all.
    pictures = np.repeat(np.arange(40), 2)
    good = np.random.default_rng(3).integers(0, 2, 40).astype(np.float64)[pictures]

    def by_heart(evidence: Floats, known: Floats) -> Memory:
        return Memory(dict(zip(evidence[:, 0], known, strict=True)))

    class Memory:
        def __init__(self, known: dict[float, float]) -> None:
            self.known = known

        def __call__(self, evidence: Floats) -> Floats:
            return np.array([self.known.get(each, 0.5) for each in evidence[:, 0]])

        def constants(self, names: object) -> str:
            return ""

    assert np.all(held_out(by_heart, pictures[:, None].astype(np.float64), good, pictures) == 0.5)
    apart = np.arange(80)
    assert np.all(held_out(by_heart, pictures[:, None].astype(np.float64), good, apart) == good), "the test can fail"


def test_constants_are_printed_by_name() -> None:
    evidence, good = _drawn(500)
    curve = fit_curve(evidence, good)
    names, values = curve.constants(["decidedness"]).splitlines()
    assert names.startswith("decidedness: (0, ")
    assert values.startswith("confidence: (")
    printed = fit_beta(np.repeat(evidence, 2, axis=1), good).constants(["a", "b"]).splitlines()
    assert [line.split(":")[0] for line in printed] == ["offset", "a", "b"]


def test_a_subject_is_painted_over_with_what_is_around_it() -> None:
    photo = np.full((80, 100, 3), 90, np.uint8)
    subject = np.zeros((80, 100), np.bool_)
    subject[30:50, 40:60] = True
    photo[subject] = 255
    ground = paint_over(photo, subject, np.random.default_rng(1))
    assert np.abs(ground.astype(int) - 90).max() < 20, "grain, and no trace of it"


def test_subjects_become_small_and_keep_their_photographs_number() -> None:
    photo = np.full((80, 100, 3), 90, np.uint8)
    large, small = np.ones((80, 100), np.float32), np.zeros((80, 100), np.float32)
    small[30:50, 40:60] = 1
    photos = [photo, photo, photo]
    made = list(small_scenes(photos, [large, small, small], photos, np.random.default_rng(1)))
    assert [number for number, _, _ in made] == [1, 2], "what fills the frame is no small subject"
    for (number, scene, truth), side in zip(made, (0.25, 0.4), strict=True):
        assert scene.shape == (FRAME[1], FRAME[0], 3), number
        assert truth.mean() ** 0.5 == pytest.approx(side, rel=0.1)
