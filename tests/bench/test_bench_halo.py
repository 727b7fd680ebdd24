"""The halo measure on cutouts whose error is known."""

from __future__ import annotations

import numpy as np
import pytest
from scenes.contenders import CONTENDERS, Pellucid, PhotoAsItIs, as_png
from scenes.halo import (
    BACKDROPS,
    Truth,
    backdrop_errors,
    halo_error,
    make_scenes,
    measure_given_matte,
    measure_own_matte,
    summarise,
    truth_of,
)
from scenes.reduce import reduce_cutout
from scenes.subjects import KINDS
from scenes.synthetic import Scene, generate

from pellucid.engine import Engine
from pellucid.render.compose import with_alpha
from tiny import TinyModel

pytestmark = pytest.mark.slow

SIZE = (320, 240)


@pytest.fixture(scope="module")
def fur() -> Scene:
    return generate(1, SIZE)


def pixels(*levels: tuple[int, int, int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """One row of straight colours with alpha."""
    return np.array([levels], np.uint8)


def truth(*levels: tuple[int, int, int, int]) -> Truth:
    rgba = pixels(*levels).astype(np.float32)
    alpha = rgba[..., 3] / np.float32(255)
    return Truth(premultiplied=rgba[..., :3] * alpha[..., None], alpha=alpha)


def test_a_case_by_hand() -> None:
    # Alpha 51/255 = 0.2; the colour is off by 50, 0 and 100: 10, 0 and 20 levels over black. The opaque and the empty
    # pixel are outside the band, however wrong they are.
    true = truth((100, 100, 100, 51), (7, 7, 7, 255), (0, 0, 0, 0))
    cut = pixels((150, 100, 200, 51), (250, 0, 0, 255), (99, 99, 99, 0))
    errors = backdrop_errors(cut, true)
    assert errors == pytest.approx(dict.fromkeys(BACKDROPS, 10), abs=1e-4)


def test_a_wrong_alpha_shows_on_the_backdrop() -> None:
    # Alpha 0.4 for 0.2 with the colour 255: 51 levels too bright over black, right over white, and over red right in
    # the red channel only.
    errors = backdrop_errors(pixels((255, 255, 255, 102)), truth((255, 255, 255, 51)))
    assert errors["black"] == pytest.approx(51, abs=1e-3)
    assert errors["white"] == pytest.approx(0, abs=1e-3)
    assert errors["red"] == errors["green"] == errors["blue"] == pytest.approx(34, abs=1e-3)
    assert errors["magenta"] == pytest.approx(17, abs=1e-3)


def test_the_band_is_what_8_bits_call_mixed() -> None:
    alpha = np.array([[0, 0.4 / 255, 1 / 255, 0.5, 254 / 255, 254.6 / 255, 1]], np.float32)
    band = Truth(premultiplied=np.zeros((1, 7, 3), np.float32), alpha=alpha).band
    assert band.tolist() == [[False, False, True, True, True, False, False]]
    nothing = truth((9, 9, 9, 255))
    assert halo_error(nothing.premultiplied + 5, nothing) == 0


def test_the_truth_has_no_error(fur: Scene) -> None:
    true = truth_of(fur)
    perfect = with_alpha(fur.foreground, fur.matte_hw)
    assert max(backdrop_errors(perfect, true).values()) < 1e-3
    # Reduced, colour and alpha are rounded to 8 bits each.
    small = backdrop_errors(reduce_cutout(perfect, 80), true.reduced(80))
    assert max(small.values()) < 0.5


def test_the_error_grows_with_the_share_of_the_background(fur: Scene) -> None:
    true = truth_of(fur)
    errors: list[float] = []
    for share in (0.0, 0.2, 0.5, 1.0):
        wrong = np.rint(fur.foreground * (1 - share) + fur.background * np.float32(share)).astype(np.uint8)
        errors.append(backdrop_errors(with_alpha(wrong, fur.matte_hw), true)["black"])
    assert errors == sorted(errors)
    assert errors[1] > 1
    assert errors[3] > 4 * errors[1]


def test_reducing_is_done_on_premultiplied_values() -> None:
    # One opaque red pixel and three empty ones whose hidden colour is green: a quarter of red, no green.
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[..., 1] = 255
    rgba[0, 0] = (200, 0, 0, 255)
    assert reduce_cutout(rgba, 1).tolist() == [[[200, 0, 0, 64]]]
    alpha = rgba[..., 3] / np.float32(255)
    small = Truth(premultiplied=rgba[..., :3] * alpha[..., None], alpha=alpha).reduced(1)
    assert small.premultiplied.tolist() == [[[50, 0, 0]]]
    assert small.alpha.tolist() == [[0.25]]
    with pytest.raises(ValueError, match="evenly"):
        reduce_cutout(np.zeros((3, 5, 4), np.uint8), 2)


def test_a_cutout_of_another_size_is_an_error(fur: Scene) -> None:
    with pytest.raises(ValueError, match="truth"):
        backdrop_errors(np.zeros((5, 5, 4), np.uint8), truth_of(fur))


def test_contenders_keep_their_sizes(fur: Scene) -> None:
    for contender in CONTENDERS.values():
        assert contender.cut(fur.photo, fur.matte_hw).shape == (240, 320, 4)
        assert contender.render(as_png(fur.photo), fur.matte_hw, 80).shape == (60, 80, 4)
    assert (PhotoAsItIs().cut(fur.photo, fur.matte_hw)[..., :3] == fur.photo).all()


def test_pellucid_takes_most_of_the_halo_away() -> None:
    scenes = list(make_scenes(len(KINDS), size=SIZE))
    before = summarise(measure_given_matte(scene, PhotoAsItIs(), width=80) for scene in scenes)
    after = summarise(measure_given_matte(scene, Pellucid(), width=80) for scene in scenes)
    assert list(before) == [*KINDS, "mean"]
    for kind in before:
        assert after[kind].own_black < before[kind].own_black, kind
    assert after["mean"].own_black < before["mean"].own_black / 2
    assert after["mean"].small_black < before["mean"].small_black / 1.5
    assert before["mean"].own_black == pytest.approx(np.mean([before[kind].own_black for kind in KINDS]))


def test_the_engines_own_matte_adds_its_errors(tiny_model: TinyModel, fur: Scene) -> None:
    engine = Engine(models_dir=tiny_model.models_dir, model="tiny", cards=tiny_model.cards, precision="f32", threads=1)
    own = measure_own_matte(fur, engine, width=80)
    given = measure_given_matte(fur, Pellucid(), width=80)
    assert own.own["black"] > given.own["black"]
    assert own.small["white"] > given.small["white"]
