"""The stage of the demo page: every shape whole and undistorted, a zoom that belongs to one picture."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from demo_page import DESKTOP, PHONE, Carried, Demo, OpenDemo, needs_chromium
from PIL import Image, ImageDraw
from playwright.sync_api import expect

pytestmark = needs_chromium

_PLACE = """() => {
    const box = id => { const { x, y, width, height } = document.getElementById(id).getBoundingClientRect();
        return { x, y, width, height }; };
    const stage = box("stage"), picture = box("before");
    return { stage, picture, middle: [(stage.x + stage.width / 2 - picture.x) / picture.width,
        (stage.y + stage.height / 2 - picture.y) / picture.height] };
}"""

SHAPES = {
    "3:2": (900, 600),
    "2:3": (600, 900),
    "square": (640, 640),
    "panorama": (2000, 200),
    "tower": (200, 2000),
    "large 3:2": (2400, 1600),
}


def _picture(size: tuple[int, int], colour: str = "firebrick") -> bytes:
    """A disc before a wall."""
    picture = Image.new("RGB", size, (196, 200, 204))
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    ImageDraw.Draw(picture).ellipse(
        (left + side // 5, top + side // 5, left + 4 * side // 5, top + 4 * side // 5), colour
    )
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def _wait(demo: Demo) -> None:
    """Until it is known what becomes of the picture; the divider is at rest."""
    expect(demo.page.locator("#state")).to_have_attribute("data-state", re.compile("^(ready|no-subject)$"))
    demo.page.wait_for_timeout(50)


def _place(demo: Demo) -> Any:
    return demo.page.evaluate(_PLACE)


def _expect_whole(demo: Demo, size: tuple[int, int]) -> None:
    """The picture is seen whole, in its own proportions, as large as there is room."""
    expect(demo.page.locator("#zoom-fit")).to_be_disabled()
    place = _place(demo)
    stage, picture = place["stage"], place["picture"]
    assert picture["width"] / picture["height"] == pytest.approx(size[0] / size[1], rel=0.01)
    for side, length in (("x", "width"), ("y", "height")):
        assert picture[side] >= stage[side] - 0.6
        assert picture[side] + picture[length] <= stage[side] + stage[length] + 0.6
    assert max(picture[length] / stage[length] for length in ("width", "height")) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("size", SHAPES.values(), ids=SHAPES.keys())
def test_every_shape_is_seen_whole_also_after_a_reload(
    open_demo: OpenDemo, size: tuple[int, int], screen: tuple[int, int]
) -> None:
    demo = open_demo(size=screen)
    demo.choose(_file(size))
    _wait(demo)
    _expect_whole(demo, size)
    demo.page.reload()
    _wait(demo)
    _expect_whole(demo, size)


def _file(size: tuple[int, int], colour: str = "firebrick") -> Carried:
    return Carried("disc.png", _picture(size, colour), "image/png")


@pytest.mark.parametrize("next_size", [(900, 600), (1800, 1200), (600, 900)], ids=["same", "same shape", "other"])
def test_a_zoom_ends_with_its_picture(demo: Demo, next_size: tuple[int, int]) -> None:
    demo.choose(_file((900, 600)))
    demo.wait()
    demo.page.click("#zoom-edge")
    expect(demo.page.locator("#zoom")).to_have_text("400 %")
    demo.choose(_file(next_size, "seagreen"))
    _wait(demo)
    _expect_whole(demo, next_size)
    demo.page.click("#zoom-edge")
    demo.page.reload()
    _wait(demo)
    _expect_whole(demo, next_size)


def test_a_zoom_outlives_other_renditions_of_its_picture(demo: Demo) -> None:
    demo.choose(_file((900, 600)))
    demo.wait()
    demo.page.click("#zoom-edge")
    before = _place(demo)
    demo.choose_backdrop("1c1d20")
    demo.wait_for_url("bg_color=1c1d20")
    demo.page.get_by_label("Width").select_option("400")
    demo.wait_for_url("w=400&")
    after = _place(demo)
    assert after["middle"] == pytest.approx(before["middle"], abs=0.01)
    assert after["picture"]["width"] == pytest.approx(before["picture"]["width"], rel=0.01)


def test_a_window_that_changes_and_a_phone_that_turns(demo: Demo) -> None:
    demo.choose(_file((900, 600)))
    demo.wait()
    for width, height in (PHONE, PHONE[::-1], (1600, 1000), DESKTOP):
        demo.page.set_viewport_size({"width": width, "height": height})
        demo.page.wait_for_timeout(100)
        _expect_whole(demo, (900, 600))
    demo.page.click("#zoom-edge")
    looked_at = _place(demo)["middle"]
    for width, height in (PHONE, PHONE[::-1], DESKTOP):
        demo.page.set_viewport_size({"width": width, "height": height})
        demo.page.wait_for_timeout(100)
        expect(demo.page.locator("#zoom")).to_have_text("400 %")
        assert _place(demo)["middle"] == pytest.approx(looked_at, abs=0.02)


def test_a_large_picture_is_whole_where_it_is_looked_at_closely(demo: Demo) -> None:
    """At first a preview is shown; 100 % are pixels of the picture all the same."""
    demo.choose(_file((3000, 2000)))
    demo.wait()
    wide = "() => document.getElementById('cutout').naturalWidth"
    assert demo.page.evaluate(wide) == 1600
    scale = _place(demo)["picture"]["width"] / 3000
    expect(demo.page.locator("#zoom")).to_have_text(f"{np.floor(100 * scale + 0.5):.0f} %")
    demo.page.click("#zoom-one")
    expect(demo.page.locator("#zoom")).to_have_text("100 %")
    looked_at = _place(demo)["middle"]
    demo.page.wait_for_function(f"() => ({wide})() === 3000")
    expect(demo.page.locator("#zoom")).to_have_text("100 %")
    place = _place(demo)
    assert place["picture"]["width"] == pytest.approx(3000, abs=1)
    assert place["middle"] == pytest.approx(looked_at, abs=0.01)
