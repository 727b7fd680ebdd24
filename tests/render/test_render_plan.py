from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pellucid.errors import SpecError
from pellucid.render.plan import Plan, plan
from pellucid.spec import Enlarge, Fit, RenderSpec

NO_LIMIT = 10**15
ORIGIN = (800, 600)

sides = st.integers(1, 5000)
wishes = st.one_of(st.none(), st.integers(1, 4000).map(float), st.floats(0.01, 4000))
specs = st.builds(RenderSpec, width=wishes, height=wishes, fit=st.sampled_from(Fit), enlarge=st.sampled_from(Enlarge))


def resolve(width: float | None = None, height: float | None = None, **options: object) -> Plan:
    spec = RenderSpec(width=width, height=height, **options)  # type: ignore[arg-type]
    return plan(spec, width=ORIGIN[0], height=ORIGIN[1], max_pixels=NO_LIMIT)


def sizes(resolved: Plan) -> tuple[int, int, int, int, int, int]:
    return (
        resolved.scaled_width,
        resolved.scaled_height,
        resolved.left,
        resolved.top,
        resolved.width,
        resolved.height,
    )


@pytest.mark.parametrize(
    ("wish", "wanted"),
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
    ],
)
def test_the_semantics(wish: dict[str, object], wanted: tuple[int, ...]) -> None:
    assert sizes(resolve(**wish)) == wanted  # type: ignore[arg-type]


def test_too_large_a_result_says_so() -> None:
    spec = RenderSpec(width=4000, height=3000)
    assert plan(spec, width=10, height=10, max_pixels=12_000_000).width == 4000
    with pytest.raises(SpecError, match=r"4000 x 3000 = 12000000 pixels, the limit is 11999999 pixels"):
        plan(spec, width=10, height=10, max_pixels=11_999_999)


def test_a_crop_from_a_thread_is_refused_before_it_overflows() -> None:
    with pytest.raises(SpecError, match="enlarge"):
        plan(RenderSpec(width=10, height=20_000), width=100_000, height=1, max_pixels=NO_LIMIT)


@given(spec=specs, width=sides, height=sides)
def test_every_plan_is_sound(spec: RenderSpec, width: int, height: int) -> None:
    resolved = _plan_or_skip(spec, width, height)
    assert all(isinstance(size, int) for size in sizes(resolved))
    assert min(resolved.scaled_width, resolved.scaled_height, resolved.width, resolved.height) >= 1
    assert resolved.left >= 0
    assert resolved.top >= 0
    assert resolved.left + resolved.width <= resolved.scaled_width
    assert resolved.top + resolved.height <= resolved.scaled_height
    # A crop cuts one direction only, and around the centre.
    assert resolved.width == resolved.scaled_width or resolved.height == resolved.scaled_height
    assert abs(resolved.scaled_width - resolved.width - 2 * resolved.left) <= 1
    assert abs(resolved.scaled_height - resolved.height - 2 * resolved.top) <= 1


@given(spec=specs, width=sides, height=sides)
@example(spec=RenderSpec(width=1.25, enlarge=Enlarge.NEVER), width=1, height=2)
@example(spec=RenderSpec(height=4.4, enlarge=Enlarge.NEVER), width=40, height=4)
def test_the_result_fits_its_box(spec: RenderSpec, width: int, height: int) -> None:
    resolved = _plan_or_skip(spec, width, height)
    if spec.enlarge is Enlarge.NEVER:
        assert resolved.width <= width
        assert resolved.height <= height
        return
    boxed = spec.width is not None and spec.height is not None
    for wish, side in ((spec.width, resolved.width), (spec.height, resolved.height)):
        if wish is None:
            continue
        if boxed and spec.fit is Fit.BOUND:
            assert side <= max(1, wish + 0.5)
        else:
            assert abs(side - max(1, wish)) <= 0.5


@given(spec=specs, width=sides, height=sides)
def test_proportions_are_kept_to_less_than_a_pixel(spec: RenderSpec, width: int, height: int) -> None:
    resolved = _plan_or_skip(spec, width, height)
    if 1 in (resolved.scaled_width, resolved.scaled_height):
        return  # never to nothing: a side of one pixel may stand for less
    scale = resolved.scaled_width / width, resolved.scaled_height / height
    # Each side is within half a pixel of a common scale.
    assert abs(scale[0] - scale[1]) <= 0.5 / width + 0.5 / height + 1e-9


@given(spec=specs, width=sides, height=sides)
def test_planning_the_result_again_changes_nothing(spec: RenderSpec, width: int, height: int) -> None:
    first = _plan_or_skip(spec, width, height)
    assume(max(first.width, first.height) < 1_000_000)  # what a URL may ask for
    again = RenderSpec(width=float(first.width), height=float(first.height), fit=spec.fit, enlarge=spec.enlarge)
    second = plan(again, width=first.width, height=first.height, max_pixels=NO_LIMIT)
    assert sizes(second) == (first.width, first.height, 0, 0, first.width, first.height)


def _plan_or_skip(spec: RenderSpec, width: int, height: int) -> Plan:
    try:
        return plan(spec, width=width, height=height, max_pixels=NO_LIMIT)
    except SpecError:
        # Only the crop of a very thin picture goes beyond what libvips can address.
        assert max(width, height) / min(width, height) > 100
        assume(False)
        raise


def test_enlarging_has_a_limit_of_its_own_but_never_below_the_picture() -> None:
    def resolve(width: int, *, of: int) -> Plan:
        return plan(RenderSpec(width=width), width=of, height=of, max_pixels=10_000, max_enlarged_pixels=400)

    assert resolve(20, of=10).width == 20
    assert resolve(30, of=30).width == 30
    assert resolve(29, of=30).width == 29
    with pytest.raises(SpecError, match="the limit for enlarged pictures is 400 pixels"):
        resolve(21, of=10)
    with pytest.raises(SpecError, match="the limit for enlarged pictures is 400 pixels"):
        resolve(31, of=30)
