"""What the alpha that a picture brings along says about its foreground."""

from __future__ import annotations

import graphic_samples as made
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from pellucid.cutout.own_alpha import OwnCut, read_cut, reduce_layers
from pellucid.cutout.seen_through import see_through

Plane = NDArray[np.uint8]
WIDTH, HEIGHT = 480, 360
BOX = (0, 0, WIDTH - 1, HEIGHT - 1)


def photo() -> NDArray[np.uint8]:
    first = next(iter(made.photographs().values()))
    return np.asarray(Image.fromarray(first).resize((WIDTH, HEIGHT)))


def drawn(*, blur: float = 0, **shapes: list[float]) -> Plane:
    """`rectangle`, `ellipse`, `polygon`: solid; `hole`: clear."""
    mask = Image.new("L", (WIDTH, HEIGHT), 255 if set(shapes) == {"hole"} else 0)
    pen = ImageDraw.Draw(mask)
    for name, points in shapes.items():
        if name == "hole":
            pen.rectangle(points, fill=0)
        else:
            getattr(pen, name)(points, fill=255)
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask).copy()


def read(rgb: NDArray[np.uint8], alpha: Plane) -> OwnCut | None:
    share = alpha[..., None] / 255
    return read_cut(*reduce_layers(np.rint(rgb * share + 255 * (1 - share)).astype(np.uint8), alpha))


def rounded(radius: int) -> Plane:
    mask = Image.new("L", (WIDTH, HEIGHT))
    ImageDraw.Draw(mask).rounded_rectangle(BOX, radius=radius, fill=255)
    return np.asarray(mask)


SUBJECT = [100, 360, 150, 120, 240, 40, 320, 130, 400, 360]

SAYS_NOTHING = {
    "opaque": np.full((HEIGHT, WIDTH), 255, np.uint8),
    "254 everywhere": np.full((HEIGHT, WIDTH), 254, np.uint8),
    "transparent everywhere": np.zeros((HEIGHT, WIDTH), np.uint8),
    "a few transparent pixels": drawn(hole=[10, 10, 30, 30]),
    "rounded corners": rounded(36),
    "much rounded corners": rounded(80),
    "ellipse": drawn(ellipse=list(BOX)),
    "round portrait": drawn(ellipse=[60, 0, 420, 360]),
    "vignette": drawn(ellipse=[30, 20, 450, 340], blur=12),
    "bars above and below": drawn(rectangle=[0, 50, WIDTH, 310]),
    "a print with a shadow": np.maximum(
        drawn(rectangle=[50, 40, 430, 300]), drawn(rectangle=[56, 48, 436, 308], blur=8) // 3
    ),
}

SAYS_ALL = {
    "subject": drawn(polygon=SUBJECT),
    "subject with soft edges": drawn(polygon=SUBJECT, blur=3),
    "two subjects": drawn(polygon=SUBJECT, ellipse=[10, 10, 90, 90]),
}


@pytest.mark.parametrize("alpha", SAYS_NOTHING.values(), ids=SAYS_NOTHING.keys())
def test_an_outline_that_follows_nothing_is_no_cut(alpha: Plane) -> None:
    cut = read(photo(), alpha)
    assert cut is None or cut.is_window_only


@pytest.mark.parametrize("alpha", SAYS_ALL.values(), ids=SAYS_ALL.keys())
def test_a_subject_on_transparency_is_cut_out_already(alpha: Plane) -> None:
    cut = read(photo(), alpha)
    assert cut is not None
    assert cut.is_whole


def test_a_flat_badge_is_no_window() -> None:
    """A disc with a drawing in it, not a photograph: a logo, of which nothing is background."""
    canvas = made.Canvas(WIDTH, HEIGHT, made.GREEN)
    canvas.text((150, 130), "Acme", 70, made.WHITE)
    cut = read(canvas.done().rgb, drawn(ellipse=[60, 20, 420, 340]))
    assert cut is not None
    assert cut.is_whole


def test_an_icon_with_rounded_corners_is_not_cut_out() -> None:
    canvas = made.Canvas(WIDTH, HEIGHT, made.GREEN)
    canvas.text((150, 130), "Acme", 70, made.WHITE)
    cut = read(canvas.done().rgb, rounded(70))
    assert cut is not None
    assert cut.is_window_only


def test_words_beside_a_photograph_stay_while_a_model_decides_about_the_photograph() -> None:
    alpha = drawn(rectangle=[0, 0, 300, 240])
    alpha[280:330, 40:44] = alpha[280:330, 60:90] = alpha[300:304, 100:140] = 255
    cut = read(photo(), alpha)
    assert cut is not None
    assert not cut.is_whole
    stays = cut.restored(np.zeros((HEIGHT, WIDTH), np.uint8))
    assert (stays[280:330, 40:140] == 255).all()
    assert not stays[:240, :300].any()


def test_what_a_model_deletes_beside_the_clear_comes_back_and_what_lies_at_the_border_does_not() -> None:
    alpha = drawn(hole=[60, 20, 160, 100])
    cut = read(photo(), alpha)
    assert cut is not None
    assert not cut.is_whole
    matte = np.full((HEIGHT, WIDTH), 255, np.uint8)
    matte[40:80, 160:200] = 0  # beside what was erased
    matte[300:, :] = 0  # along the border
    matte[200:240, 300:340] = 0  # enclosed by the subject: a hole
    stays = cut.restored(matte)
    assert (stays[40:80, 165:200] == 255).all()
    assert not stays[310:].any()
    assert not stays[200:240, 300:340].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 3), (1500, 2), (2000, 1100)])
def test_pictures_of_any_size_are_answered(size: tuple[int, int]) -> None:
    alpha = np.random.default_rng(3).integers(0, 2, size, dtype=np.uint8) * np.uint8(255)
    cut = read_cut(*reduce_layers(np.zeros((*size, 3), np.uint8), alpha))
    assert cut is None or cut.restored(alpha).shape == cut.clear.shape


@pytest.mark.parametrize("size", [(480, 360), (1600, 1200)])
def test_through_a_window_the_picture_goes_on_beyond_it(size: tuple[int, int]) -> None:
    """Of a ramp, of which a disc is left, white is nowhere; what the disc shows is as it was."""
    across, down = np.meshgrid(np.linspace(40, 140, size[0]), np.linspace(20, 60, size[1]))
    rgb = np.rint(np.dstack((across, down, across / 2))).astype(np.uint8)
    disc = Image.new("L", size)
    ImageDraw.Draw(disc).ellipse([size[0] // 4, size[1] // 8, size[0] * 3 // 4, size[1] * 7 // 8], fill=255)
    alpha = np.asarray(disc)
    over_white = np.where(alpha[..., None] > 0, rgb, 255).astype(np.uint8)
    _, small = reduce_layers(over_white, alpha)
    seen, (rows, columns) = see_through(over_white, alpha, small > 128)
    assert seen.shape[:2] == (rows.stop - rows.start, columns.stop - columns.start)
    assert abs(rows.start - size[1] // 8) <= 5
    assert abs(columns.stop - size[0] * 3 // 4) <= 5
    inside = alpha[rows, columns] > 0
    assert (seen[inside] == rgb[rows, columns][inside]).all()
    assert np.abs(seen.astype(int) - rgb[rows, columns]).max() < 60
    assert over_white.max() == 255  # is not written to
