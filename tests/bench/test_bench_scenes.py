"""Made scenes are what they say they are."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scenes.backdrops import BACKDROPS, load_photographs
from scenes.subjects import KINDS
from scenes.synthetic import PHOTOGRAPH, Scene, generate
from scipy import ndimage

from pellucid.errors import SettingsError

pytestmark = pytest.mark.slow

SIZE = (240, 180)
SEEDS = range(len(KINDS) * len(BACKDROPS))


@cache
def scene(seed: int) -> Scene:
    return generate(seed, SIZE)


def of_kind(kind: str) -> list[Scene]:
    found = [scene(seed) for seed in SEEDS if scene(seed).kind == kind]
    assert len(found) == len(BACKDROPS)
    return found


def partial(scene: Scene) -> NDArray[np.bool_]:
    return (scene.matte_hw > 0) & (scene.matte_hw < 255)


def thickness(mask: NDArray[np.bool_]) -> float:
    """The radius of the largest disc inside `mask`, in pixels."""
    return float(ndimage.distance_transform_edt(np.pad(mask, 1)).max())


def test_a_seed_is_a_scene() -> None:
    for seed in range(len(KINDS)):
        again = generate(seed, SIZE)
        for field in fields(Scene):
            assert np.array_equal(getattr(again, field.name), getattr(scene(seed), field.name)), field.name
        assert not np.array_equal(scene(seed).photo, scene(seed + len(KINDS)).photo)


def test_seeds_in_a_row_show_every_kind_before_every_backdrop() -> None:
    assert {(scene(seed).kind, scene(seed).backdrop) for seed in SEEDS} == {(k, b) for k in KINDS for b in BACKDROPS}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_photo_is_the_mixture(seed: int) -> None:
    made = scene(seed)
    alpha = made.alpha[..., None].astype(np.float64)
    exact = alpha * made.foreground + (1 - alpha) * made.background
    assert np.abs(made.photo - exact).max() <= 0.5 + 1e-4
    assert made.photo.shape == (*made.alpha.shape, 3) == (SIZE[1], SIZE[0], 3)
    assert (made.foreground[made.matte_hw == 0] == 0).all()
    assert partial(made).any()
    assert 0.03 < made.alpha.mean() < 0.7


def test_foregrounds_are_textured_and_both_light_and_dark() -> None:
    brightness: list[float] = []
    for seed in SEEDS:
        solid = scene(seed).foreground[scene(seed).matte_hw > 128].astype(float)
        assert solid.std(axis=0).max() > 5, scene(seed).name
        brightness.append(float(solid.mean()))
    assert min(brightness) < 90
    assert max(brightness) > 150


def test_most_backgrounds_differ_well_from_their_foreground() -> None:
    distances: list[float] = []
    for seed in SEEDS:
        made = scene(seed)
        sure = made.matte_hw > 0
        distances.append(float(np.linalg.norm(made.foreground[sure].mean(axis=0) - made.background.mean(axis=(0, 1)))))
    assert np.median(distances) > 110
    assert np.mean(np.array(distances) > 70) > 0.8


def test_strands_are_thin() -> None:
    for made in of_kind("hair"):
        assert partial(made).mean() > 0.05, "much of the picture is mixed"
        away = np.zeros_like(made.matte_hw, np.bool_)
        away[:20] = True
        assert made.matte_hw[away].any(), "single hairs stand off above the head"
        assert thickness((made.matte_hw > 0) & away) < 4


def test_fur_has_a_long_ragged_rim() -> None:
    for made in of_kind("fur"):
        body = ndimage.binary_opening(made.matte_hw > 127, iterations=5)
        around = ndimage.binary_dilation(body, iterations=9) & ~body
        assert partial(made)[around].mean() > 0.15
        outline = (made.matte_hw > 127) & ~ndimage.binary_erosion(made.matte_hw > 127)
        smooth = body & ~ndimage.binary_erosion(body)
        assert outline.sum() > 1.25 * smooth.sum()


def test_glass_is_wide_partial_alpha() -> None:
    for made in of_kind("glass"):
        inside = made.matte_hw > 0
        assert partial(made).sum() > 0.9 * inside.sum()
        assert thickness(partial(made)) > 8
        colours = made.foreground[inside].astype(float)
        assert (colours.max(axis=1) - colours.min(axis=1)).mean() > 10, "it has a tint of its own"


def test_holes_stay_open() -> None:
    for made in of_kind("holes"):
        regions, count = ndimage.label(made.matte_hw == 0)
        sizes = ndimage.sum_labels(np.ones_like(regions), regions, range(1, count + 1))
        assert (sizes > 20).sum() >= 2, "the outside and at least one loop"


@pytest.mark.parametrize("kind", ["motion", "defocus"])
def test_blurred_edges_are_wide_and_hard_ones_narrow(kind: str) -> None:
    hard = max(thickness(partial(made)) for made in of_kind("hard"))
    assert hard < 3
    for made in of_kind(kind):
        assert (made.matte_hw == 255).any()
        assert partial(made).mean() > 2 * np.mean([partial(other).mean() for other in of_kind("hard")])


def test_motion_blurs_along_one_direction_only() -> None:
    made = generate(4, SIZE, kind="motion")
    gradients = np.gradient(made.alpha)
    angles = np.linspace(0, np.pi, 36, endpoint=False)
    steepest = [float(np.percentile(np.abs(np.cos(a) * gradients[1] + np.sin(a) * gradients[0]), 99.5)) for a in angles]
    assert max(steepest) > 2 * min(steepest)


def test_photographs_are_one_more_backdrop(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (90, 200, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    photographs = load_photographs(tmp_path)
    assert np.array_equal(photographs[0], picture)
    made = [generate(seed, (64, 64), photographs=photographs) for seed in range(len(KINDS) * 5)]
    assert sum(one.backdrop == PHOTOGRAPH for one in made) == len(KINDS)
    flat = np.full((50, 70, 3), (10, 200, 30), np.uint8)
    assert (generate(1, SIZE, backdrop=PHOTOGRAPH, photographs=[flat]).background == (10, 200, 30)).all()


def test_a_folder_without_photographs_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no photographs"):
        load_photographs(tmp_path)
