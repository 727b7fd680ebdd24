"""What each step does to pixels: mirrored, rotated, rounded, padded, with something behind."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from render_samples import opened, saved

from pellucid.formats import ImageFormat
from pellucid.image.probe import probe
from pellucid.insights.values import NO_INSIGHTS, Insights
from pellucid.render.job import make_job
from pellucid.render.output import Choice
from pellucid.render.plan import plan
from pellucid.render.run import render
from pellucid.spec import (
    MAX_RADIUS,
    TRANSPARENT,
    WHITE,
    AutoColour,
    Background,
    BlurredCopy,
    Colour,
    Fit,
    Flip,
    Geometry,
    Gravity,
    OriginRef,
    Radius,
    Spec,
)

RED, GREEN, BLUE, GREY = (220, 30, 30), (30, 200, 30), (30, 30, 220), (120, 120, 120)
SLATE = Colour(red=0x44, green=0x55, blue=0x66)
GLASS = Colour(red=0x44, green=0x55, blue=0x66, alpha=128)

QUARTERS = np.zeros((40, 60, 3), np.uint8)
"""Red, green / blue, grey: each corner tells where it came from."""
QUARTERS[:20, :30], QUARTERS[:20, 30:], QUARTERS[20:, :30], QUARTERS[20:, 30:] = RED, GREEN, BLUE, GREY

JPEG, PNG = ImageFormat.JPEG, ImageFormat.PNG


def run(
    pixels: NDArray[np.uint8],
    *,
    background: Background | None = None,
    format_: ImageFormat = PNG,
    choice: Choice | None = None,
    insights: Insights = NO_INSIGHTS,
    **geometry: object,
) -> NDArray[np.uint8]:
    origin = saved(pixels)
    facts = probe(origin, max_pixels=10**7)
    spec = Spec(
        origin=OriginRef(host="h.example", path="/"),
        geometry=Geometry(**geometry),  # type: ignore[arg-type]
        background=background or Background(),
    )
    resolved = plan(spec.geometry, width=facts.width, height=facts.height, max_pixels=10**7, insights=insights)
    out = opened(render(origin, None, make_job(spec, facts, resolved, choice or Choice(format=format_), insights)).body)
    assert out.shape[:2] == (resolved.height, resolved.width)
    return out


def corners(pixels: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    """Five pixels from each corner: top left, top right, bottom left, bottom right."""
    return [tuple(map(int, pixels[y, x])) for y in (5, -6) for x in (5, -6)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [RED, GREEN, BLUE, GREY]),
        ({"flip": Flip.HORIZONTAL}, [GREEN, RED, GREY, BLUE]),
        ({"flip": Flip.VERTICAL}, [BLUE, GREY, RED, GREEN]),
        ({"flip": Flip.BOTH}, [GREY, BLUE, GREEN, RED]),
        ({"rotation": 90.0}, [GREEN, GREY, RED, BLUE]),  # counter-clockwise: the right side comes on top
        ({"rotation": 180.0}, [GREY, BLUE, GREEN, RED]),
        ({"rotation": 270.0}, [BLUE, RED, GREY, GREEN]),
        ({"flip": Flip.HORIZONTAL, "rotation": 90.0}, [RED, BLUE, GREEN, GREY]),
    ],
)
def test_mirroring_and_quarter_turns(options: dict[str, object], expected: list[tuple[int, ...]]) -> None:
    assert corners(run(QUARTERS, **options)) == expected


@pytest.mark.parametrize("rotation", [90.0, 180.0, 270.0])
@pytest.mark.parametrize("flip", [None, *Flip])
@pytest.mark.parametrize("gravity", [Gravity.NORTHWEST, Gravity.SOUTHEAST])
def test_a_crop_of_a_turned_image_is_the_turned_crop(rotation: float, flip: Flip | None, gravity: Gravity) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 60, 3), np.uint8)
    whole = run(pixels, rotation=rotation, flip=flip)
    height, width = whole.shape[:2]
    part = run(pixels, rotation=rotation, flip=flip, width=width, height=17, gravity=gravity)
    assert (part == (whole[:17] if gravity is Gravity.NORTHWEST else whole[-17:])).all()
    part = run(pixels, rotation=rotation, flip=flip, width=17, height=height, gravity=gravity)
    assert (part == (whole[:, :17] if gravity is Gravity.NORTHWEST else whole[:, -17:])).all()


def test_a_free_rotation_is_counter_clockwise_and_transparent_in_the_corners() -> None:
    disc = np.full((100, 100, 3), 255, np.uint8)
    disc[45:55, 80:95] = RED  # to the right of the middle
    out = run(disc, rotation=45.0)
    assert out.shape == (141, 141, 4)
    assert [pixel[3] for pixel in corners(out)] == [0] * 4
    assert out[70, 70, 3] == 255
    reach = 37.5 * np.sqrt(0.5)  # up and to the right
    x, y = round(70.5 + reach), round(70.5 - reach)
    assert np.abs(out[y, x, :3].astype(int) - RED).max() <= 8
    # The edges are smooth, and white to the last pixel: nothing bleeds into them.
    edge = (out[..., 3] > 0) & (out[..., 3] < 255)
    assert edge.any()
    assert out[edge][:, :3].min() >= 250


@pytest.mark.parametrize("rotation", [1.0, 89.0, 100.0, 181.0, 359.0])
def test_rotated_images_lie_in_the_middle(rotation: float) -> None:
    alpha = run(np.full((60, 90, 3), 200, np.uint8), rotation=rotation)[..., 3].astype(float)
    height, width = alpha.shape
    assert (alpha.sum(0) * np.arange(width)).sum() / alpha.sum() == pytest.approx((width - 1) / 2, abs=0.3)
    assert (alpha.sum(1) * np.arange(height)).sum() / alpha.sum() == pytest.approx((height - 1) / 2, abs=0.3)
    assert alpha.sum() / 255 == pytest.approx(60 * 90, rel=0.01)


def test_exposed_corners_take_the_background() -> None:
    assert corners(run(QUARTERS, rotation=30.0, background=Background(colour=SLATE)))[0] == SLATE.rgb
    assert min(corners(run(QUARTERS, rotation=30.0, format_=JPEG))[0]) >= 253


def test_a_free_rotation_fills_a_box_with_what_it_has() -> None:
    out = run(QUARTERS, rotation=30.0, width=40, height=40, background=Background(colour=SLATE))
    assert out.shape == (40, 40, 3)
    assert np.abs(out[20, 8].astype(int) - RED).max() < 60  # the left end went down


def test_round_corners() -> None:
    out = run(np.full((100, 200, 3), 90, np.uint8), radius=Radius(40, 0, 20, 10))
    alpha = out[..., 3]
    assert alpha[0, 0] == 0  # top left
    assert alpha[-1, 0] == 255  # bottom left
    assert alpha[-1, -1] == alpha[0, -1] == 0
    assert (out[..., :3][alpha > 0] == 90).all()
    # A quarter of a circle cuts off (1 - pi/4) of its square.
    for square, radius in ((alpha[:40, :40], 40), (alpha[-20:, -20:], 20), (alpha[:10, -10:], 10)):
        assert (255 - square.astype(float)).sum() / 255 == pytest.approx(radius**2 * (1 - np.pi / 4), rel=0.02)


def test_as_round_as_possible_is_a_circle_or_a_pill() -> None:
    circle = run(np.full((80, 80, 3), 90, np.uint8), radius=Radius(*[MAX_RADIUS] * 4))[..., 3]
    assert circle.astype(float).sum() / 255 == pytest.approx(np.pi * 40**2, rel=0.005)
    assert (circle == circle[::-1]).all()
    assert (circle == circle.T).all()
    pill = run(np.full((80, 200, 3), 90, np.uint8), radius=Radius(*[MAX_RADIUS] * 4))[..., 3]
    assert (pill[:, 40:160] == 255).all()


def test_round_corners_turn_with_the_image() -> None:
    square = np.full((100, 100, 3), 90, np.uint8)
    circle = run(square, radius=Radius(*[MAX_RADIUS] * 4), rotation=30.0)[..., 3].astype(float)
    assert circle.sum() / 255 == pytest.approx(np.pi * 50**2, rel=0.01)
    assert circle.shape == (137, 137)


def test_the_blurred_copy_is_not_rotated() -> None:
    out = run(QUARTERS, fit=Fit.FIT, width=90, height=60, rotation=20.0, background=Background(image_fit=True))
    assert out.shape == (60, 90, 3)
    assert np.abs(out[1, 1].astype(int) - RED).max() < 40


def test_rounded_corners_are_filled_where_they_cannot_be_transparent() -> None:
    options = {"radius": Radius(20, 20, 20, 20)}
    grey = np.full((100, 100, 3), 90, np.uint8)
    assert run(grey, format_=JPEG, **options)[0, 0].min() >= 250
    assert tuple(run(grey, background=Background(colour=SLATE), **options)[0, 0]) == SLATE.rgb


@pytest.mark.parametrize(
    ("background", "format_", "expected"),
    [
        (Background(), PNG, (0, 0, 0, 0)),
        (Background(colour=TRANSPARENT), PNG, (0, 0, 0, 0)),
        (Background(), JPEG, WHITE.rgb),
        (Background(colour=SLATE), PNG, SLATE.rgb),
        (Background(colour=GLASS), PNG, (0x44, 0x55, 0x66, 128)),
        (Background(colour=AutoColour.MAIN), PNG, (9, 8, 7)),
    ],
)
def test_padding(background: Background, format_: ImageFormat, expected: tuple[int, ...]) -> None:
    insights = Insights(main_colour=Colour(red=9, green=8, blue=7))
    out = run(QUARTERS, fit=Fit.FIT, width=100, height=50, background=background, format_=format_, insights=insights)
    assert out.shape[:2] == (50, 100)
    assert np.abs(out[25, 5].astype(int) - expected).max() <= (0 if format_ is PNG else 3)
    assert np.abs(out[15, 40, :3].astype(int) - RED).max() <= (0 if format_ is PNG else 8)


def test_round_corners_are_those_of_the_image_not_of_its_canvas() -> None:
    out = run(
        QUARTERS, fit=Fit.FIT, width=100, height=40, radius=Radius(10, 10, 10, 10), background=Background(colour=SLATE)
    )
    assert tuple(out[0, 20]) == SLATE.rgb
    assert tuple(out[20, 20]) in (RED, BLUE)


@pytest.mark.parametrize("format_", [PNG, JPEG])
def test_a_blurred_copy_fills_the_padding(format_: ImageFormat) -> None:
    out = run(QUARTERS, fit=Fit.FIT, width=160, height=40, background=Background(image_fit=True), format_=format_)
    assert out.shape == (40, 160, 3)
    tolerance = 0 if format_ is PNG else 10
    assert np.abs(out[5, 55].astype(int) - RED).max() <= tolerance  # the image itself, in the middle
    # 160 x 107 of the copy, of which the middle 40 rows are seen: red over blue on the left, green over grey.
    left, right = out[:, :40].mean((0, 1)), out[:, 120:].mean((0, 1))
    assert np.abs(left - np.mean([RED, BLUE], axis=0)).max() < 12
    assert np.abs(right - np.mean([GREEN, GREY], axis=0)).max() < 12


def test_the_copy_is_seen_as_much_as_it_is_opaque_and_tinted() -> None:
    def left(**copy: object) -> NDArray[np.floating]:
        background = Background(colour=SLATE, image_fit=True, copy=BlurredCopy(**copy))  # type: ignore[arg-type]
        grey = np.full((40, 60, 3), 200, np.uint8)
        return run(grey, fit=Fit.FIT, width=160, height=40, background=background)[:, :40].mean((0, 1))

    assert np.abs(left() - 200).max() <= 1
    assert np.abs(left(opacity=0.0) - SLATE.rgb).max() <= 1
    assert np.abs(left(opacity=0.5) - (np.array(SLATE.rgb) + 200) / 2).max() <= 1
    assert np.abs(left(tint=Colour(red=0, green=0, blue=0)) - 100).max() <= 1
    assert np.abs(left(tint=Colour(red=0, green=0, blue=0, alpha=51)) - 160).max() <= 1


def test_the_copy_shows_the_place_that_is_named() -> None:
    def rows(gravity: Gravity) -> NDArray[np.floating]:
        background = Background(image_fit=True, copy=BlurredCopy(blur=0, gravity=gravity))
        return run(QUARTERS, fit=Fit.FIT, width=160, height=40, background=background)[:, :30].mean((0, 1))

    assert np.abs(rows(Gravity.NORTH) - RED).max() < 30
    assert np.abs(rows(Gravity.SOUTH) - BLUE).max() < 30


def test_translucent_images_show_their_copy_through() -> None:
    glass = np.dstack((np.full((40, 60, 3), 200, np.uint8), np.full((40, 60), 128, np.uint8)))
    out = run(glass, fit=Fit.FIT, width=100, height=40, background=Background(colour=SLATE, image_fit=True))
    assert out.shape == (40, 100, 3)
