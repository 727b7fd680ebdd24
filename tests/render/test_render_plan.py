"""The planner: sizes worked out by hand from the specification, and what holds for every plan."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pellucid.errors import SpecError
from pellucid.image.box import Box
from pellucid.insights.values import Area, Insights, Salience
from pellucid.render.plan import Plan, plan
from pellucid.spec import (
    MAX_RADIUS,
    AspectRatio,
    Enlarge,
    Fit,
    Flip,
    FocalPoint,
    FocalUnit,
    Geometry,
    Gravity,
    Length,
    Margin,
    Point,
    Radius,
)

NO_LIMIT = 10**15
BOUND = {"fit": Fit.BOUND}
ORIGIN = (800, 600)

sides = st.integers(1, 5000)
requested = st.one_of(st.none(), st.integers(1, 4000).map(float), st.floats(0.01, 4000))
ratios = st.fractions(Fraction(1, 20), 20, max_denominator=100)
specs = st.builds(
    Geometry,
    width=requested,
    height=requested,
    fit=st.sampled_from(sorted(set(Fit) - {Fit.PROXY})),
    enlarge=st.sampled_from(Enlarge),
    aspect_ratio=st.none() | st.lists(ratios, min_size=2, max_size=2).map(lambda two: AspectRatio(*sorted(two))),
    gravity=st.sampled_from(Gravity)
    | st.builds(FocalPoint, st.floats(0, 100), st.floats(0, 100), st.sampled_from(FocalUnit)),
    fit_enlarge=st.booleans(),
    dpr=st.sampled_from([1.0, 1.0, 2.0, 1.5]),
    flip=st.none() | st.sampled_from(Flip),
    rotation=st.sampled_from([0.0, 0.0, 90.0, 180.0, 270.0, 10.0, 200.5]),
    radius=st.none() | st.sampled_from([Radius(5, 5, 5, 5), Radius(MAX_RADIUS, 0, 7, MAX_RADIUS)]),
)
plain = st.builds(
    Geometry,
    width=requested,
    height=requested,
    fit=st.sampled_from([Fit.CROP, Fit.BOUND]),
    enlarge=st.sampled_from(Enlarge),
)


def resolve(of: tuple[int, int] = ORIGIN, insights: Insights = Insights(), **options: object) -> Plan:  # noqa: B008
    geometry = Geometry(**options)  # type: ignore[arg-type]
    return plan(geometry, width=of[0], height=of[1], max_pixels=NO_LIMIT, insights=insights)


def numbers(resolved: Plan) -> tuple[int, int, int, int, int, int]:
    """What a crop is made of."""
    crop = resolved.crop
    return (resolved.scaled_width, resolved.scaled_height, crop.left, crop.top, crop.width, crop.height)


def result(resolved: Plan) -> tuple[int, int]:
    return resolved.width, resolved.height


def placed(resolved: Plan) -> tuple[int, int, int, int]:
    """Where the image lies on the canvas."""
    return (resolved.left, resolved.top, *resolved.image_size)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (800, 600, 0, 0, 800, 600)),
        ({"width": 400}, (400, 300, 0, 0, 400, 300)),
        ({"height": 300}, (400, 300, 0, 0, 400, 300)),
        ({"width": 1600}, (1600, 1200, 0, 0, 1600, 1200)),
        # 600 * 350 / 800 = 262.5, half up
        ({"width": 350}, (350, 263, 0, 0, 350, 263)),
        ({"width": 562.5}, (563, 422, 0, 0, 563, 422)),
        ({"height": 266.4}, (355, 266, 0, 0, 355, 266)),
        ({"width": 0.2}, (1, 1, 0, 0, 1, 1)),
        ({"width": 300, "height": 300}, (400, 300, 50, 0, 300, 300)),
        ({"width": 800, "height": 300}, (800, 600, 0, 150, 800, 300)),
        ({"width": 301, "height": 300}, (400, 300, 49, 0, 301, 300)),
        ({"width": 300, "height": 300, "fit": Fit.BOUND}, (300, 225, 0, 0, 300, 225)),
        ({"width": 3000, "height": 3000, "fit": Fit.BOUND}, (3000, 2250, 0, 0, 3000, 2250)),
        ({"width": 3000, "height": 3000, "fit": Fit.BOUND, "enlarge": Enlarge.NEVER}, (800, 600, 0, 0, 800, 600)),
        ({"width": 3000, "height": 300, "fit": Fit.BOUND, "enlarge": Enlarge.NEVER}, (400, 300, 0, 0, 400, 300)),
        ({"width": 801, "enlarge": Enlarge.NEVER}, (800, 600, 0, 0, 800, 600)),
        ({"width": 800.4, "enlarge": Enlarge.NEVER}, (800, 600, 0, 0, 800, 600)),
        ({"width": 400, "enlarge": Enlarge.NEVER}, (400, 300, 0, 0, 400, 300)),
        ({"width": 100, "height": 601, "enlarge": Enlarge.NEVER}, (800, 600, 0, 0, 800, 600)),
        ({"width": 800, "height": 100, "enlarge": Enlarge.NEVER}, (800, 600, 0, 250, 800, 100)),
        ({"width": 400, "height": 400, "fit": Fit.BOUNDMIN}, (533, 400, 0, 0, 533, 400)),
        ({"width": 3000, "height": 300, "fit": Fit.BOUNDMIN, "enlarge": Enlarge.NEVER}, (800, 600, 0, 0, 800, 600)),
        ({"width": 400, "height": 400, "fit": Fit.COVER}, (400, 400, 0, 0, 400, 400)),
        ({"width": 400, "fit": Fit.COVER}, (400, 300, 0, 0, 400, 300)),
        ({"width": 400, "height": 700, "fit": Fit.COVER, "enlarge": Enlarge.NEVER}, (800, 600, 0, 0, 800, 600)),
        ({"width": 200, "dpr": 2.0}, (400, 300, 0, 0, 400, 300)),
        ({"width": 300, "height": 300, "gravity": Gravity.WEST}, (400, 300, 0, 0, 300, 300)),
        ({"width": 300, "height": 300, "gravity": Gravity.SOUTHEAST}, (400, 300, 100, 0, 300, 300)),
        ({"width": 800, "height": 300, "gravity": Gravity.NORTHWEST}, (800, 600, 0, 0, 800, 300)),
        ({"width": 800, "height": 300, "gravity": Gravity.SOUTH}, (800, 600, 0, 300, 800, 300)),
        # The point 600 px from the left of the origin is at 300 of 400: the crop of 300 ends at 400.
        ({"width": 300, "height": 300, "gravity": FocalPoint(600, 0)}, (400, 300, 100, 0, 300, 300)),
        ({"width": 200, "height": 300, "gravity": FocalPoint(450, 0)}, (400, 300, 125, 0, 200, 300)),
        ({"width": 200, "height": 300, "gravity": FocalPoint(50, 0, FocalUnit.PERCENT)}, (400, 300, 100, 0, 200, 300)),
        (
            {"width": 200, "height": 300, "gravity": FocalPoint(0, 0, FocalUnit.RESULT_PERCENT)},
            (400, 300, 0, 0, 200, 300),
        ),
    ],
)
def test_the_semantics(options: dict[str, object], expected: tuple[int, ...]) -> None:
    resolved = resolve(**options)  # type: ignore[arg-type]
    assert numbers(resolved) == expected
    assert result(resolved) == expected[4:]
    assert not resolved.is_padded


def _ratio(value: int) -> AspectRatio:
    return AspectRatio(Fraction(value), Fraction(value))


@pytest.mark.parametrize(
    ("of", "options", "canvas", "expected"),
    [
        # The specification's castle: 400 x 100 on 500 x 200 is centred, not enlarged, unless that is asked for.
        ((400, 100), {"width": 500, "height": 200}, (500, 200), (50, 50, 400, 100)),
        ((400, 100), {"width": 500, "height": 200, "fit_enlarge": True}, (500, 200), (0, 37, 500, 125)),
        ((800, 600), {"width": 400, "height": 400}, (400, 400), (0, 50, 400, 300)),
        ((800, 600), {"width": 400, "height": 400, "gravity": Gravity.NORTH}, (400, 400), (0, 0, 400, 300)),
        ((800, 600), {"width": 400, "height": 400, "gravity": Gravity.SOUTHEAST}, (400, 400), (0, 100, 400, 300)),
        ((800, 600), {"width": 800, "height": 300, "gravity": Gravity.EAST}, (800, 300), (400, 0, 400, 300)),
        # The point is put as near to the middle of the canvas as the whole image allows.
        ((800, 600), {"width": 800, "height": 300, "gravity": FocalPoint(800, 0)}, (800, 300), (0, 0, 400, 300)),
        ((800, 600), {"width": 800, "height": 300, "gravity": FocalPoint(300, 0)}, (800, 300), (250, 0, 400, 300)),
        # One side: the other follows from the image; a small image is padded.
        ((800, 600), {"width": 400}, (400, 300), (0, 0, 400, 300)),
        ((200, 150), {"width": 400}, (400, 300), (100, 75, 200, 150)),
        ((800, 600), {}, (800, 600), (0, 0, 800, 600)),
        ((800, 600), {"aspect_ratio": _ratio(1)}, (800, 800), (0, 100, 800, 600)),
        (
            (800, 600),
            {"width": 400, "aspect_ratio": AspectRatio(Fraction(2), Fraction(2))},
            (400, 200),
            (66, 0, 267, 200),
        ),
        # Any side that exceeds the origin: it comes as it is.
        ((400, 100), {"width": 500, "height": 200, "enlarge": Enlarge.NEVER}, (400, 100), (0, 0, 400, 100)),
    ],
)
def test_fit_pads(
    of: tuple[int, int], options: dict[str, object], canvas: tuple[int, int], expected: tuple[int, ...]
) -> None:
    resolved = resolve(of, fit=Fit.FIT, **options)
    assert result(resolved) == canvas
    assert placed(resolved) == expected


def lengths(*values: float, percent: bool = False) -> Margin:
    return Margin(*(Length(value, percent) for value in values))


@pytest.mark.parametrize(
    ("margin", "expected"),
    [
        (lengths(10, 10, 10, 10), (10, 57, 380, 285)),  # 600 * 380 / 800 = 285; 10 + (380 - 285) // 2 = 57
        (lengths(10, 10, 10, 10, percent=True), (40, 80, 320, 240)),
        (lengths(0, 200, 0, 0), (0, 125, 200, 150)),
        (lengths(300, 0, 0, 0), (133, 300, 133, 100)),
        (lengths(500, 500, 500, 500), (399, 399, 1, 1)),
    ],
)
def test_margins(margin: Margin, expected: tuple[int, ...]) -> None:
    assert placed(resolve(width=400, height=400, fit=Fit.FIT, margin=margin)) == expected


def test_margins_grow_with_the_pixel_ratio_and_percent_with_the_canvas() -> None:
    options = {"fit": Fit.FIT, "width": 200.0, "height": 200.0, "dpr": 2.0}
    assert placed(resolve(margin=lengths(5, 5, 5, 5), **options))[0] == 10
    assert placed(resolve(margin=lengths(5, 5, 5, 5, percent=True), **options))[0] == 20


@pytest.mark.parametrize(
    ("of", "cropped"),
    [((650, 500), True), ((400, 250), False), ((650, 300), False), ((500, 350), True)],
)
def test_cropfit(of: tuple[int, int], cropped: bool) -> None:
    resolved = resolve(of, width=500, height=350, fit=Fit.CROPFIT)
    assert result(resolved) == (500, 350)
    assert resolved.is_padded is not cropped


@pytest.mark.parametrize(
    ("of", "options", "expected"),
    [
        # Cloudimage's car: 3:2 cut to 1.8.
        ((1500, 1000), {"width": 400, "aspect_ratio": "1.8"}, (400, 267, 0, 22, 400, 222)),
        # Its frog: ratio 1.323, cropped, not scaled.
        ((1323, 1000), {"aspect_ratio": "1.5"}, (1323, 1000, 0, 59, 1323, 882)),
        # Its kids: 2.25 cut to 2.0, 1.5 untouched.
        ((2250, 1000), {"width": 400, "aspect_ratio": "1.5,2"}, (450, 200, 25, 0, 400, 200)),
        ((1500, 1000), {"width": 400, "aspect_ratio": "1.5,2"}, (400, 267, 0, 0, 400, 267)),
        ((1500, 1000), {"height": 200, "aspect_ratio": "1"}, (300, 200, 50, 0, 200, 200)),
        ((1500, 1000), {"width": 400, "height": 100, "aspect_ratio": "1"}, (400, 267, 0, 83, 400, 100)),
        # A ratio is kept where nothing may be enlarged.
        ((300, 200), {"width": 400, "aspect_ratio": "1", "enlarge": Enlarge.NEVER}, (300, 200, 50, 0, 200, 200)),
    ],
)
def test_aspect_ratios(of: tuple[int, int], options: dict[str, object], expected: tuple[int, ...]) -> None:
    ends = sorted(Fraction(end) for end in str(options.pop("aspect_ratio")).split(","))
    resolved = resolve(of, aspect_ratio=AspectRatio(ends[0], ends[-1]), **options)
    assert numbers(resolved) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Cloudimage's kids of 1600 x 1000: 400 x 600 of them, made 200 wide.
        ({"width": 200, "top_left": Point(900, 0), "bottom_right": Point(1300, 600)}, (800, 500, 450, 0, 200, 300)),
        ({"width": 300, "bottom_right": Point(900, 560)}, (533, 333, 0, 0, 300, 187)),
        ({"top_left": Point(100, 200)}, (1600, 1000, 100, 200, 1500, 800)),
        # Reaching over the edge ends there.
        ({"top_left": Point(1500, 900), "bottom_right": Point(9999, 9999)}, (1600, 1000, 1500, 900, 100, 100)),
        (
            {
                "top_left": Point(310, 70),
                "bottom_right": Point(1550, 580),
                "width": 490,
                "height": 170,
                "fit": Fit.BOUND,
            },
            (533, 333, 103, 23, 413, 170),
        ),
    ],
)
def test_rectangles(options: dict[str, object], expected: tuple[int, ...]) -> None:
    scaled_width, scaled_height, *crop = numbers(resolve((1600, 1000), **options))
    assert tuple(crop) == expected[2:]
    assert (scaled_width, scaled_height) == pytest.approx(expected[:2], abs=1)


def test_an_empty_rectangle_says_so() -> None:
    with pytest.raises(SpecError, match=r"nothing lies between tl_px=900,0 and br_px=800,600"):
        resolve(top_left=Point(900, 0), bottom_right=Point(800, 600))


@pytest.mark.parametrize(
    ("flip", "rotation", "left_top"),
    [  # The north-west quarter of what is seen, as part of the upright image of 800 x 600.
        (None, 0.0, (0, 0)),
        (Flip.HORIZONTAL, 0.0, (400, 0)),
        (Flip.VERTICAL, 0.0, (0, 300)),
        (Flip.BOTH, 0.0, (400, 300)),
        (None, 180.0, (400, 300)),
    ],
)
def test_gravity_is_of_what_is_seen(flip: Flip | None, rotation: float, left_top: tuple[int, int]) -> None:
    narrow = resolve(width=400, height=600, gravity=Gravity.NORTHWEST, flip=flip, rotation=rotation)
    assert narrow.crop.left == left_top[0]
    low = resolve(width=800, height=300, gravity=Gravity.NORTHWEST, flip=flip, rotation=rotation)
    assert low.crop.top == left_top[1]


@pytest.mark.parametrize(("rotation", "top"), [(90.0, 0), (270.0, 400)])
def test_a_quarter_turn_counter_clockwise_puts_the_right_side_on_top(rotation: float, top: int) -> None:
    resolved = resolve(width=600, height=400, gravity=Gravity.NORTH, rotation=rotation)
    assert result(resolved) == (600, 400)
    assert resolved.image_size == (600, 400)
    crop = resolved.crop
    assert (crop.width, crop.height) == (400, 600)
    assert crop.left == (400 if rotation == 90 else 0)
    del top


@pytest.mark.parametrize("rotation", [90.0, 270.0])
def test_quarter_turns_exchange_the_sides(rotation: float) -> None:
    assert result(resolve(rotation=rotation)) == (600, 800)
    assert result(resolve(rotation=rotation, width=300)) == (300, 400)


def test_a_free_rotation_grows_around_the_image_and_the_result_fits_its_box() -> None:
    resolved = resolve(rotation=30.0)
    assert result(resolved) == (993, 920)  # 800 cos + 600 sin = 992.8, 800 sin + 600 cos = 919.6
    assert resolved.has_gaps
    small = resolve(rotation=30.0, width=400)
    assert result(small) == (400, 371)  # 919.6 * 400 / 992.8
    assert small.scaled_width == 322  # 800 * 400 / 992.8
    boxed = resolve(rotation=30.0, width=400, height=400)
    assert result(boxed) == (400, 400)
    assert boxed.kept == Box(left=16, top=0, width=400, height=400)


@pytest.mark.parametrize(
    ("radius", "dpr", "expected"),
    [
        (Radius(10, 10, 10, 10), 1.0, (10, 10, 10, 10)),
        (Radius(10, 20, 30, 40), 2.0, (20, 40, 60, 80)),
        (Radius(*[MAX_RADIUS] * 4), 1.0, (100, 100, 100, 100)),
        (Radius(0, 0, MAX_RADIUS, 0), 1.0, (0, 0, 200, 0)),
        (Radius(300, 300, 100, 100), 1.0, (100, 100, 33, 33)),
    ],
)
def test_radii_are_made_smaller_together_where_they_would_meet(
    radius: Radius, dpr: float, expected: tuple[int, ...]
) -> None:
    assert resolve((400, 200), radius=radius, dpr=dpr).radii == expected


def salience(x: float, y: float) -> Salience:
    """All of the object in one of ten columns and one of ten rows."""
    columns, rows = [0.0] * 10, [0.0] * 10
    columns[int(10 * x)], rows[int(10 * y)] = 1.0, 1.0
    return Salience(columns=tuple(columns), rows=tuple(rows))


FACE = Area(left=0.6, top=0.2, right=0.7, bottom=0.4)  # 80 x 120 of 800 x 600, its middle at 520, 180


@pytest.mark.parametrize(
    ("options", "insights", "left"),
    [
        ({"gravity": Gravity.FACE}, Insights(faces=(FACE,)), 160),  # 260 of 400: 200 px around it
        # The face at 240 to 280 of 400, the object at 40 to 80: 200 px do not hold both.
        ({"gravity": Gravity.SMART}, Insights(faces=(FACE,), salience=salience(0.1, 0.5)), 155),
        ({"gravity": Gravity.SMART}, Insights(salience=salience(0.1, 0.5)), 0),
        ({"gravity": Gravity.AUTO}, Insights(faces=(FACE,), salience=salience(0.9, 0.5)), 200),
        ({"gravity": Gravity.AUTO}, Insights(subject=Box(left=200, top=0, width=200, height=9)), 50),
        ({"gravity": Gravity.AUTO}, Insights(), 100),
        ({"gravity": Gravity.AUTO, "flip": Flip.HORIZONTAL}, Insights(salience=salience(0.9, 0.5)), 200),
    ],
)
def test_insights_are_in_the_middle(options: dict[str, object], insights: Insights, left: int) -> None:
    assert resolve(insights=insights, width=200, height=300, **options).crop.left == left


@pytest.mark.parametrize(
    "turned", [{}, {"flip": Flip.HORIZONTAL}, {"rotation": 90.0}, {"rotation": 180.0}, {"rotation": 270.0}]
)
@pytest.mark.parametrize("x", [0.05, 0.35, 0.65, 0.95])
def test_the_object_is_kept_however_the_image_is_turned(turned: dict[str, object], x: float) -> None:
    box = (200, 300) if "rotation" not in turned or turned["rotation"] == 180.0 else (300, 200)
    options = {"width": box[0], "height": box[1], "gravity": Gravity.AUTO} | turned
    crop = resolve(insights=Insights(salience=salience(x, 0.5)), **options).crop
    assert (crop.width, crop.height) == (200, 300)
    assert crop.left <= 400 * (x - 0.05) + 1
    assert crop.left + crop.width >= 400 * (x + 0.05) - 1


def test_of_a_wide_object_the_crop_keeps_the_most() -> None:
    # Most of it is on the left, a tail reaches far to the right: its middle would cut off the left.
    spread = Salience(columns=(0.4, 0.3, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.0, 0.0), rows=(0.1,) * 10)
    assert resolve(insights=Insights(salience=spread), width=80, height=300, gravity=Gravity.AUTO).crop.left == 0
    inside = {"top_left": Point(400, 0), "width": 150.0, "height": 300.0, "gravity": Gravity.AUTO}
    assert resolve(insights=Insights(salience=spread), **inside).crop.left == 200


def test_of_two_faces_none_is_meant_unless_one_is_much_larger() -> None:
    far = Area(left=0.0, top=0.2, right=0.1, bottom=0.4)
    small = Area(left=0.0, top=0.2, right=0.05, bottom=0.3)
    cropped = {"width": 200.0, "height": 300.0, "gravity": Gravity.FACE}
    assert resolve(insights=Insights(faces=(FACE, far), salience=salience(0.45, 0.5)), **cropped).crop.left == 80
    assert resolve(insights=Insights(faces=(FACE, small), salience=salience(0.45, 0.5)), **cropped).crop.left == 160


def test_smart_shows_all_faces_where_they_fit() -> None:
    near = Area(left=0.75, top=0.2, right=0.85, bottom=0.4)
    cropped = {"width": 200.0, "height": 300.0, "gravity": Gravity.SMART}
    both = resolve(insights=Insights(faces=(FACE, near)), **cropped).crop
    assert both.left <= 240
    assert both.left + both.width >= 340
    smaller = Area(left=0.0, top=0.2, right=0.08, bottom=0.35)
    one = resolve(insights=Insights(faces=(FACE, smaller)), **cropped).crop  # too far apart: the larger one
    assert one.left <= 240
    assert one.left + one.width >= 280


def test_func_face_shows_the_face_with_its_margin() -> None:
    insights = Insights(faces=(FACE,))
    whole = resolve(insights=insights, fit=Fit.FACE, face_margin=50.0)
    assert result(whole) == (160, 240)
    assert numbers(whole)[2:] == (440, 60, 160, 240)
    assert result(resolve(insights=insights, fit=Fit.FACE, face_margin=50.0, width=80)) == (80, 120)
    square = resolve(insights=insights, fit=Fit.FACE, face_margin=50.0, width=100, height=100)
    assert result(square) == (100, 100)
    assert square.crop.left == pytest.approx(400 * 100 / 240, abs=1)
    # At the edge the part is moved, not cut; without a face it is a plain crop.
    assert result(resolve(insights=insights, fit=Fit.FACE, face_margin=900.0, width=50, height=50)) == (50, 50)
    assert numbers(resolve(fit=Fit.FACE, width=300, height=300)) == (400, 300, 50, 0, 300, 300)


@pytest.mark.parametrize(
    ("content", "fitted", "cropped"),
    [
        # A border on the left alone: padded on the left, cropped on the right.
        (Box(left=100, top=0, width=700, height=600), "east", "west"),
        (Box(left=0, top=0, width=700, height=600), "west", "east"),
        (Box(left=100, top=0, width=600, height=600), "center", "center"),
    ],
)
def test_gravity_trim_goes_by_the_sides_that_were_cut(content: Box, fitted: str, cropped: str) -> None:
    insights = Insights(content=content)
    options = {"trim": 10.0, "gravity": Gravity.TRIM}
    padded = resolve(insights=insights, fit=Fit.FIT, width=1000, height=400, **options)
    room = 1000 - padded.image_size[0]
    assert padded.left == {"west": 0, "center": room // 2, "east": room}[fitted]
    cut = resolve(insights=insights, width=300, height=600, **options)
    room = content.width - 300
    assert cut.crop.left - content.left == {"west": 0, "center": room // 2, "east": room}[cropped]


def test_trim_cuts_before_it_resizes_and_inside_the_rectangle() -> None:
    insights = Insights(content=Box(left=100, top=100, width=400, height=200))
    assert numbers(resolve(insights=insights, trim=10.0)) == (800, 600, 100, 100, 400, 200)
    assert result(resolve(insights=insights, trim=10.0, width=200)) == (200, 100)
    assert numbers(resolve(insights=insights))[2:] == (0, 0, 800, 600)  # not asked for
    inside = resolve(insights=insights, trim=10.0, top_left=Point(300, 0), bottom_right=Point(700, 250))
    assert numbers(inside)[2:] == (300, 100, 200, 150)
    outside = resolve(insights=insights, trim=10.0, top_left=Point(600, 400))
    assert numbers(outside)[2:] == (600, 400, 200, 200)


def test_too_large_a_result_says_so() -> None:
    spec = Geometry(width=4000, height=3000)
    assert plan(spec, width=10, height=10, max_pixels=12_000_000).width == 4000
    with pytest.raises(SpecError, match=r"4000 x 3000 = 12000000 pixels, the limit is 11999999 pixels"):
        plan(spec, width=10, height=10, max_pixels=11_999_999)


def test_a_crop_from_a_thread_is_refused_before_it_overflows() -> None:
    with pytest.raises(SpecError, match="enlarge"):
        plan(Geometry(width=10, height=20_000), width=100_000, height=1, max_pixels=NO_LIMIT)


@given(spec=specs, width=sides, height=sides)
def test_every_plan_is_sound(spec: Geometry, width: int, height: int) -> None:
    resolved = _plan_or_skip(spec, width, height)
    crop, kept = resolved.crop, resolved.kept
    assert all(isinstance(number, int) for number in (*numbers(resolved), *placed(resolved), *result(resolved)))
    assert min(*numbers(resolved)[:2], crop.width, crop.height, *resolved.image_size, *result(resolved)) >= 1
    assert min(crop.left, crop.top, resolved.left, resolved.top) >= 0
    assert crop.left + crop.width <= resolved.scaled_width
    assert crop.top + crop.height <= resolved.scaled_height
    assert (kept is None) is (resolved.rotated_size is None) is (spec.rotation % 90 == 0)
    if kept is not None and resolved.rotated_size is not None:
        assert min(kept.left, kept.top) >= 0
        assert kept.left + kept.width <= resolved.rotated_size[0]
        assert kept.top + kept.height <= resolved.rotated_size[1]
    assert resolved.left + resolved.image_size[0] <= resolved.width
    assert resolved.top + resolved.image_size[1] <= resolved.height
    if resolved.radii is not None:
        top_left, bottom_left, bottom_right, top_right = resolved.radii
        across, down = resolved.image_size if kept is None else (crop.width, crop.height)
        assert max(top_left + top_right, bottom_left + bottom_right) <= across
        assert max(top_left + bottom_left, top_right + bottom_right) <= down


@given(spec=plain, width=sides, height=sides)
def test_a_crop_cuts_one_direction_only_and_around_the_centre(spec: Geometry, width: int, height: int) -> None:
    resolved = _plan_or_skip(spec, width, height)
    crop = resolved.crop
    assert crop.width == resolved.scaled_width or crop.height == resolved.scaled_height
    assert abs(resolved.scaled_width - crop.width - 2 * crop.left) <= 1
    assert abs(resolved.scaled_height - crop.height - 2 * crop.top) <= 1


EXACT = st.sampled_from([Fit.CROP, Fit.FIT, Fit.CROPFIT, Fit.COVER, Fit.FACE])


@given(spec=specs, box=st.tuples(st.floats(0.01, 4000), st.floats(0.01, 4000)), fit=EXACT, width=sides, height=sides)
def test_a_box_is_filled_exactly_unless_func_says_otherwise(
    spec: Geometry, box: tuple[float, float], fit: Fit, width: int, height: int
) -> None:
    spec = replace(spec, width=box[0], height=box[1], fit=fit, enlarge=Enlarge.ALLOWED)
    resolved = _plan_or_skip(spec, width, height)
    for side, asked in ((resolved.width, spec.width), (resolved.height, spec.height)):
        assert asked is not None
        assert side == max(1, math.floor(asked * spec.dpr + 0.5))


@given(spec=specs, width=sides, height=sides)
def test_org_if_sml_never_enlarges(spec: Geometry, width: int, height: int) -> None:
    spec = replace(spec, enlarge=Enlarge.NEVER, rotation=90.0 * (spec.rotation // 90))
    resolved = _plan_or_skip(spec, width, height)
    assert resolved.scaled_width <= width
    assert resolved.scaled_height <= height
    turned = (height, width) if spec.rotation in (90, 270) else (width, height)
    # Without sizes, a ratio that is padded to makes the canvas larger, never the image.
    if spec.width is not None or spec.height is not None:
        assert resolved.image_size[0] <= turned[0]
        assert resolved.image_size[1] <= turned[1]


@given(spec=plain, width=sides, height=sides)
@example(spec=Geometry(width=1.25, enlarge=Enlarge.NEVER), width=1, height=2)
@example(spec=Geometry(height=4.4, enlarge=Enlarge.NEVER), width=40, height=4)
def test_the_result_fits_its_box(spec: Geometry, width: int, height: int) -> None:
    resolved = _plan_or_skip(spec, width, height)
    if spec.enlarge is Enlarge.NEVER:
        assert resolved.width <= width
        assert resolved.height <= height
        return
    boxed = spec.width is not None and spec.height is not None
    for asked, side in ((spec.width, resolved.width), (spec.height, resolved.height)):
        if asked is None:
            continue
        if boxed and spec.fit is Fit.BOUND:
            assert side <= max(1, asked + 0.5)
        else:
            assert abs(side - max(1, asked)) <= 0.5


@given(spec=specs, width=sides, height=sides)
def test_proportions_are_kept_to_less_than_a_pixel(spec: Geometry, width: int, height: int) -> None:
    assume(spec.fit is not Fit.COVER)
    resolved = _plan_or_skip(spec, width, height)
    if min(resolved.scaled_width, resolved.scaled_height, *resolved.image_size) == 1:
        return  # never to nothing: a side of one pixel may stand for less
    scale = resolved.scaled_width / width, resolved.scaled_height / height
    # Each side is within half a pixel of a common scale, or a pixel where the image is turned.
    slack = 0.5 if spec.rotation % 90 == 0 else 2
    assert abs(scale[0] - scale[1]) <= slack / width + slack / height + 1e-9


@given(spec=plain, width=sides, height=sides)
def test_planning_the_result_again_changes_nothing(spec: Geometry, width: int, height: int) -> None:
    first = _plan_or_skip(spec, width, height)
    assume(max(first.width, first.height) < 1_000_000)  # what a URL may ask for
    again = Geometry(width=float(first.width), height=float(first.height), fit=spec.fit, enlarge=spec.enlarge)
    second = plan(again, width=first.width, height=first.height, max_pixels=NO_LIMIT)
    assert numbers(second) == (first.width, first.height, 0, 0, first.width, first.height)


def _plan_or_skip(spec: Geometry, width: int, height: int) -> Plan:
    try:
        return plan(spec, width=width, height=height, max_pixels=NO_LIMIT)
    except SpecError:
        # Only the crop of a very thin image goes beyond what libvips can address.
        assert max(width, height) / min(width, height) > 50
        assume(False)
        raise


def test_enlarging_has_a_limit_of_its_own_but_never_below_the_picture() -> None:
    def resolve(width: int, *, of: int) -> Plan:
        return plan(Geometry(width=width), width=of, height=of, max_pixels=10_000, max_enlarged_pixels=400)

    assert resolve(20, of=10).width == 20
    assert resolve(30, of=30).width == 30
    assert resolve(29, of=30).width == 29
    with pytest.raises(SpecError, match="the limit for enlarged pictures is 400 pixels"):
        resolve(21, of=10)
    with pytest.raises(SpecError, match="the limit for enlarged pictures is 400 pixels"):
        resolve(31, of=30)
