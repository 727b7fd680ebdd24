"""The rows of Cloudimage's table of image operations, one by one, through the whole application.

Each case is named after its row. Sizes are worked out by hand from the documentation; the pictures have four quarters
of one colour each, so that what is seen tells which part of the origin it is.
"""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from contract_world import Answer, ask, running, settings_for
from numpy.typing import NDArray
from PIL import Image
from starlette.types import ASGIApp

RED, GREEN, BLUE, GREY = (200, 40, 40), (40, 180, 40), (40, 40, 200), (120, 120, 120)

in_modules_loop = pytest.mark.asyncio(loop_scope="module")


def quarters(width: int, height: int) -> NDArray[np.uint8]:
    """Red, green / blue, grey."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2], pixels[: height // 2, width // 2 :] = RED, GREEN
    pixels[height // 2 :, : width // 2], pixels[height // 2 :, width // 2 :] = BLUE, GREY
    return pixels


PICTURES = {
    "wide.png": quarters(800, 600),
    "small.png": quarters(400, 250),
    "castle.png": quarters(400, 100),
    "big.png": quarters(650, 500),
    "kids.png": quarters(1600, 1000),
    "bordered.png": np.pad(quarters(200, 100), ((40, 60), (50, 50), (0, 0)), constant_values=255),
    "one-side.png": np.pad(quarters(200, 100), ((0, 0), (50, 0), (0, 0)), constant_values=255),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[ASGIApp]:
    folder: Path = tmp_path_factory.mktemp("rows")
    async with running(settings_for(folder)) as running_app:
        for name, pixels in PICTURES.items():
            Image.fromarray(pixels).save(folder / "pictures" / name)
        yield running_app


async def show(app: ASGIApp, name: str, query: str) -> tuple[Answer, NDArray[np.uint8]]:
    answer = await ask(app, "GET", f"/_p_/{name}?{query}")
    assert answer.status == 200, answer.body
    return answer, np.asarray(Image.open(io.BytesIO(answer.body)).convert("RGBA"))


def near(pixel: NDArray[np.uint8], colour: tuple[int, ...]) -> bool:
    return bool(np.abs(pixel[: len(colour)].astype(int) - colour).max() <= 12)


SIZES = [
    ("w alone keeps the proportions", "wide.png", "w=400", (400, 300)),
    ("width is w", "wide.png", "width=400", (400, 300)),
    ("w upscales by default", "small.png", "w=800", (800, 500)),
    ("h alone keeps the proportions", "wide.png", "h=300", (400, 300)),
    ("height is h", "wide.png", "height=300", (400, 300)),
    ("fractional w", "wide.png", "w=562.5", (563, 422)),
    ("fractional h", "wide.png", "h=266.6667", (356, 267)),
    ("w and h without func crop", "wide.png", "w=300&h=300", (300, 300)),
    ("org_if_sml keeps a small origin", "small.png", "w=450&org_if_sml=1", (400, 250)),
    ("org_if_sml=11716 is on", "small.png", "w=450&org_if_sml=11716", (400, 250)),
    ("org_if_sml=0 is off", "small.png", "w=450&org_if_sml=0", (450, 281)),
    ("org_if_sml if any dimension exceeds", "small.png", "w=100&h=300&org_if_sml=1", (400, 250)),
    ("func=crop", "wide.png", "w=300&h=300&func=crop", (300, 300)),
    ("func=fit pads to exactly w x h", "wide.png", "w=490&h=170&func=fit", (490, 170)),
    ("func=fit does not upscale", "castle.png", "w=500&h=200&func=fit", (500, 200)),
    ("fit_enlarge", "castle.png", "w=500&h=200&func=fit&fit_enlarge=1", (500, 200)),
    ("margin", "wide.png", "w=400&h=400&func=fit&margin=40", (400, 400)),
    ("func=cropfit crops", "big.png", "w=500&h=350&func=cropfit", (500, 350)),
    ("func=cropfit fits", "small.png", "w=500&h=350&func=cropfit", (500, 350)),
    ("func=bound", "wide.png", "w=600&h=600&func=bound", (600, 450)),
    ("func=boundmin", "wide.png", "w=300&h=300&func=boundmin", (400, 300)),
    ("func=cover distorts", "wide.png", "w=300&h=500&func=cover", (300, 500)),
    ("func=face without a face is a crop", "wide.png", "w=300&h=300&func=face", (300, 300)),
    ("func=face with one dimension and no face", "wide.png", "w=300&func=face", (300, 225)),
    ("face_margin", "wide.png", "w=300&h=300&func=face&face_margin=60", (300, 300)),
    ("func=proxy", "wide.png", "func=proxy&w=10", (800, 600)),
    ("tl_px and br_px before resizing", "kids.png", "w=200&tl_px=900,0&br_px=1300,600", (200, 300)),
    ("br_px alone", "kids.png", "w=300&br_px=900,560", (300, 187)),
    ("tl_px alone", "kids.png", "tl_px=600,400", (1000, 600)),
    ("tl_px and br_px with fit", "kids.png", "w=490&h=170&tl_px=310,70&br_px=1550,580&func=fit", (490, 170)),
    ("aspect_ratio with one dimension", "wide.png", "w=400&aspect_ratio=1.8", (400, 222)),
    ("aspect_ratio as 16:9", "wide.png", "w=400&aspect_ratio=16:9", (400, 225)),
    ("aspect_ratio without a dimension", "wide.png", "aspect_ratio=1.5", (800, 533)),
    ("aspect_ratio with both is ignored", "wide.png", "w=400&h=100&aspect_ratio=1", (400, 100)),
    ("aspect_ratio range outside", "castle.png", "w=400&aspect_ratio=1.5,2.0", (400, 200)),
    ("aspect_ratio range inside", "small.png", "w=400&aspect_ratio=1.5,2.0", (400, 250)),
    ("dpr", "wide.png", "w=200&dpr=2", (400, 300)),
    ("r=90", "wide.png", "r=90", (600, 800)),
    ("r with any angle", "wide.png", "w=400&r=30", (400, 371)),
    ("flip", "wide.png", "flip=hv", (800, 600)),
    ("trim before resizing", "bordered.png", "trim=10&w=100", (100, 50)),
    ("trim", "bordered.png", "trim=10", (200, 100)),
    ("radius", "wide.png", "w=400&radius=25", (400, 300)),
]


@in_modules_loop
@pytest.mark.parametrize(("name", "query", "size"), [row[1:] for row in SIZES], ids=[row[0] for row in SIZES])
async def test_the_size_of(app: ASGIApp, name: str, query: str, size: tuple[int, int]) -> None:
    _, pixels = await show(app, name, query)
    assert (pixels.shape[1], pixels.shape[0]) == size


WHERE = [
    # What is seen in the middle of the upper left, and of the lower right quarter of the result.
    ("gravity=center", "w=600&h=600", RED, GREY),
    ("gravity=centre", "w=600&h=600&gravity=centre", RED, GREY),
    ("gravity=west", "w=300&h=600&gravity=west", RED, BLUE),
    ("gravity=east", "w=300&h=600&gravity=east", GREEN, GREY),
    ("gravity=north", "w=800&h=250&gravity=north", RED, GREEN),
    ("gravity=south", "w=800&h=250&gravity=south", BLUE, GREY),
    ("gravity=northwest", "w=300&h=600&gravity=northwest", RED, BLUE),
    ("gravity=northeast", "w=300&h=600&gravity=northeast", GREEN, GREY),
    ("gravity=southwest", "w=800&h=250&gravity=southwest", BLUE, GREY),
    ("gravity=southeast", "w=800&h=250&gravity=southeast", BLUE, GREY),
    ("gravity=X,Y in pixels of the origin", "w=150&h=300&gravity=700,0", GREEN, GREY),
    ("gravity=Xp,Yp in percent", "w=300&h=600&gravity=0p,50p", RED, BLUE),
    ("gravity=Xp,Yp with decimals", "w=300&h=600&gravity=99.5p,50.25p", GREEN, GREY),
    ("gravity=Xs,Ys of the resized image", "w=300&h=600&gravity=100s,0s", GREEN, GREY),
    ("gravity=Xc,Yc as fractions", "w=300&h=600&gravity=0.05c,1c", RED, BLUE),
    ("gravity=Xc,Yc is capped", "w=300&h=600&gravity=7c,0c", GREEN, GREY),
    ("flip=h", "flip=h", GREEN, BLUE),
    ("flip=v", "flip=v", BLUE, GREEN),
    ("flip=hv", "flip=hv", GREY, RED),
    ("flip=x of the editor", "flip=x", GREEN, BLUE),
    ("flip=y of the editor", "flip=y", BLUE, GREEN),
    ("flip=xy of the editor", "flip=xy", GREY, RED),
    ("r is counter-clockwise", "r=90", GREEN, BLUE),
    ("r may be negative", "r=-90", BLUE, GREEN),
    ("r=180", "r=180", GREY, RED),
    ("r=450 is r=90", "r=450", GREEN, BLUE),
    ("tl_px and br_px", "tl_px=410,310&br_px=790,590", GREY, GREY),
]


@in_modules_loop
@pytest.mark.parametrize(("query", "first", "last"), [row[1:] for row in WHERE], ids=[row[0] for row in WHERE])
async def test_what_is_seen_with(app: ASGIApp, query: str, first: tuple[int, ...], last: tuple[int, ...]) -> None:
    _, pixels = await show(app, "wide.png", query)
    height, width = pixels.shape[:2]
    assert near(pixels[height // 4, width // 4], first)
    assert near(pixels[3 * height // 4, 3 * width // 4], last)


BEHIND = [
    ("bg_color with 6 digits", "bg_color=3498db", (0x34, 0x98, 0xDB, 255)),
    ("bg_color with 3 digits", "bg_color=456", (0x44, 0x55, 0x66, 255)),
    ("bg_color with 8 digits", "bg_color=34567880", (0x34, 0x56, 0x78, 0x80)),
    ("bg_color by name", "bg_color=black", (0, 0, 0, 255)),
    ("bg_colour", "bg_colour=b6d6f0", (0xB6, 0xD6, 0xF0, 255)),
    ("bg_color=transparent", "bg_color=transparent", (0, 0, 0, 0)),
    ("transparent where possible", "", (0, 0, 0, 0)),
    ("white where it is not", "force_format=jpeg", (255, 255, 255, 255)),
]


@in_modules_loop
@pytest.mark.parametrize(("query", "colour"), [row[1:] for row in BEHIND], ids=[row[0] for row in BEHIND])
@pytest.mark.parametrize("where", ["w=900&h=300&func=fit", "w=400&r=45", "w=400&radius=90", "w=400&radius=max"])
async def test_the_padding_and_the_corners_with(app: ASGIApp, query: str, colour: tuple[int, ...], where: str) -> None:
    _, pixels = await show(app, "wide.png", f"{where}&{query}")
    assert near(pixels[1, 1], colour)
    assert pixels[pixels.shape[0] // 2, pixels.shape[1] // 2, 3] == 255


@in_modules_loop
async def test_bg_color_auto_is_the_most_prominent_colour(app: ASGIApp) -> None:
    _, pixels = await show(app, "bordered.png", "w=900&h=300&func=fit&bg_color=auto")
    assert near(pixels[1, 1], (255, 255, 255))


@in_modules_loop
@pytest.mark.parametrize(
    ("corner", "at"),
    [(0, (0, 0)), (1, (-1, 0)), (2, (-1, -1)), (3, (0, -1))],
    ids=["top-left", "bottom-left", "bottom-right", "top-right"],
)
async def test_the_order_of_radius_is(app: ASGIApp, corner: int, at: tuple[int, int]) -> None:
    radii = ["0"] * 4
    radii[corner] = "60"
    _, pixels = await show(app, "wide.png", f"w=400&radius={','.join(radii)}")
    alpha = {(y, x): int(pixels[y, x, 3]) for y in (0, -1) for x in (0, -1)}
    assert alpha.pop(at) == 0
    assert set(alpha.values()) == {255}


@in_modules_loop
async def test_fit_puts_the_image_where_gravity_says(app: ASGIApp) -> None:
    for gravity, column in (("west", 10), ("center", 350), ("east", 790)):
        _, pixels = await show(app, "wide.png", f"w=800&h=300&func=fit&gravity={gravity}")
        assert pixels[150, column, 3] == 255
        # 400 of 800 px are the image's, from 0, 200 or 400 on.
        assert int((pixels[150, :, 3] == 255).sum()) == 400


@in_modules_loop
async def test_gravity_trim_pads_on_the_trimmed_side_alone(app: ASGIApp) -> None:
    _, pixels = await show(app, "one-side.png", "w=400&h=100&func=fit&trim=5&gravity=trim")
    assert pixels[50, 390, 3] == 255
    assert pixels[50, 10, 3] == 0


@in_modules_loop
async def test_bg_img_fit_and_its_parameters(app: ASGIApp) -> None:
    base = "w=800&h=200&func=fit&bg_img_fit=1"
    _, plain = await show(app, "wide.png", base)
    assert plain[..., 3].min() == 255
    assert not near(plain[10, 10], (255, 255, 255))
    for more in ("bg_blur=1", "bg_opacity=0.3", "bg_colorize=00f", "bg_colourise=00f", "bg_gravity=north"):
        _, other = await show(app, "wide.png", f"{base}&{more}")
        assert (other[:, :200] != plain[:, :200]).any(), more
        assert (other[:, 300:500] == plain[:, 300:500]).all(), f"{more} changes the image itself"


@in_modules_loop
@pytest.mark.parametrize(
    "query",
    [
        *("w=50%25", "w=0", "w=-4", "h=1e3", "func=stretch", "gravity=up", "gravity=1p,2s", "gravity=101p,0p", "r=x"),
        *("flip=z", "trim=-1", "trim=101", "radius=1,2", "radius=x", "aspect_ratio=0", "aspect_ratio=1,2,3", "dpr=0"),
        *("dpr=6", "margin=1,2,3,4,5", "margin=60p", "tl_px=1", "br_px=a,b", "bg_opacity=2", "bg_blur=-1"),
        *("bg_gravity=auto", "bg_color=nocolour", "fit_enlarge=yes", "face_margin=-1", "tl_px=700,0&br_px=600,600"),
    ],
)
async def test_a_bad_value_is_a_problem_that_names_it(app: ASGIApp, query: str) -> None:
    answer = await ask(app, "GET", f"/_p_/wide.png?{query}")
    assert answer.status == 400
    assert query.partition("=")[0].encode() in answer.body
