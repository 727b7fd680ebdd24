"""What the demo page saves: the size, the format, the name, and what the browser puts behind the cutout."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import numpy.typing as npt
import pytest
from demo_page import Carried, Demo, needs_chromium, rgba
from e2e_server import PhotoOrigin
from PIL import Image
from playwright.sync_api import FilePayload, expect

pytestmark = needs_chromium

FORMATS = {"webp": ("WebP", "WEBP", "webp"), "png": ("PNG", "PNG", "png"), "jpeg": ("JPEG", "JPEG", "jpg")}


def _jpeg(picture: bytes, size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").resize(size).save(out, "JPEG", quality=70)
    return out.getvalue()


def test_24_megapixels_are_saved_whole_unless_a_width_is_chosen(demo: Demo, dog_png: bytes) -> None:
    demo.choose(Carried("sunset at sea.jpg", _jpeg(dog_png, (6000, 4000))))
    demo.wait()
    assert demo.page.evaluate("() => document.getElementById('cutout').naturalWidth") == 1600
    link = demo.page.locator("#download")
    expect(link).to_have_text("Download WebP, 6000 × 4000")
    assert demo.details["Picture"] == "6000 × 4000"
    assert "w=" not in demo.url
    name, data = demo.download()
    assert name == "sunset at sea-cutout.webp"
    assert Image.open(io.BytesIO(data)).size == (6000, 4000)
    demo.page.get_by_label("Width").select_option("800")
    demo.wait_for_url("w=800&")
    expect(link).to_have_text("Download WebP, 800 × 533")
    assert Image.open(io.BytesIO(demo.download()[1])).size == (800, 533)
    assert demo.page.locator("#width option").all_inner_texts()[-2:] == ["3200 px", "Original"]


@pytest.mark.parametrize("path", ["/far%20away.jpg", "/far%20away.jpg?size=l"])
def test_a_large_picture_at_a_url_is_saved_whole(demo: Demo, origin: PhotoOrigin, dog_png: bytes, path: str) -> None:
    origin.put(path, _jpeg(dog_png, (2600, 1700)))
    demo.fetch(f"http://{origin.host}{path}")
    demo.wait()
    expect(demo.page.locator("#download")).to_have_text("Download WebP, 2600 × 1700")
    name, data = demo.download()
    assert name == "far away-cutout.webp"
    assert Image.open(io.BytesIO(data)).size == (2600, 1700)


@pytest.mark.parametrize("value", FORMATS)
@pytest.mark.parametrize("backdrop", ["clear", "1c1d20", "blur", "own"])
def test_the_download_has_the_chosen_format(demo: Demo, bowl_jpg: bytes, value: str, backdrop: str) -> None:
    label, kind, suffix = FORMATS[value]
    demo.choose(Carried("mug.jpg", bowl_jpg))
    demo.wait()
    if backdrop == "own":
        green = io.BytesIO()
        Image.new("RGB", (40, 40), (10, 200, 30)).save(green, "PNG")
        demo.page.set_input_files("#own", FilePayload(name="g.png", mimeType="image/png", buffer=green.getvalue()))
    elif backdrop != "clear":
        demo.choose_backdrop(backdrop)
    demo.page.get_by_label("Format").select_option(value)
    made = backdrop in ("blur", "own")
    demo.wait_for_url("force_format=webp" if made and value == "jpeg" else f"force_format={value}")
    expect(demo.page.locator("#download")).to_have_text(f"Download {label}, 600 × 400")
    expect(demo.page.locator("#note")).to_contain_text(
        "Your browser puts this backdrop" if made else "JPEG" if value == "jpeg" and backdrop == "clear" else ""
    )
    name, data = demo.download()
    assert name == f"mug-cutout.{suffix}"
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.size) == (kind, (600, 400))
    corner = rgba(data)[3, -3]
    match backdrop:
        case "own":
            assert tuple(corner) == pytest.approx((10, 200, 30, 255), abs=6)
        case "1c1d20":
            assert tuple(corner) == pytest.approx((0x1C, 0x1D, 0x20, 255), abs=6)
        case "clear":
            assert corner[3] == (255 if value == "jpeg" else 0)
        case _:
            assert corner[3] == 255
    if made:
        assert "bg_color" not in demo.url, "the URL is that of the transparent cutout"


def test_a_large_picture_before_a_backdrop_is_saved_whole(demo: Demo, dog_png: bytes) -> None:
    demo.choose(Carried("dog.jpg", _jpeg(dog_png, (2600, 1700))))
    demo.wait()
    demo.choose_backdrop("blur")
    demo.page.get_by_label("Format").select_option("jpeg")
    expect(demo.page.locator("#download")).to_have_text("Download JPEG, 2600 × 1700")
    demo.wait()
    name, data = demo.download()
    assert (name, Image.open(io.BytesIO(data)).size) == ("dog-cutout.jpg", (2600, 1700))


def test_a_format_that_cannot_hold_the_picture_is_not_offered(demo: Demo, bowl_jpg: bytes) -> None:
    demo.choose(Carried("strip.jpg", _jpeg(bowl_jpg, (17_000, 600))))
    expect(demo.page.locator("#state")).to_have_attribute("data-state", re.compile("^(ready|no-subject)$"))
    expect(demo.page.locator("#format option[value=webp]")).to_be_disabled()
    expect(demo.page.locator("#format")).to_have_value("png")
    expect(demo.page.locator("#note")).to_contain_text("WebP holds 16,383 pixels a side")
    assert "force_format=png" in demo.url
    demo.page.get_by_label("Width").select_option("1600")
    demo.page.get_by_label("Format").select_option("webp")
    expect(demo.page.locator("#code-url")).to_contain_text("w=1600&bg_remove=1&force_format=webp")


_NAMES = {
    "mug.jpg": "mug-cutout.webp",
    "Mein Becher (2).HEIC": "Mein Becher (2)-cutout.webp",
    "grün.tar.jpeg": "grün.tar-cutout.webp",
    "no suffix": "no suffix-cutout.webp",
    "image.png": "image-cutout.webp",
    "a\"b'c<d>:e|f?*.png": "a b c d e f-cutout.webp",
    "..\\..\\evil.png": "evil-cutout.webp",
    "-rf.png": "rf-cutout.webp",
    "\u202egpj.exe.png": "gpj.exe-cutout.webp",
    "a\nb\x00c.png": "a b c-cutout.webp",
    ".png": "cutout.webp",
    "": "cutout.webp",
    "x" * 300 + ".jpg": "x" * 80 + "-cutout.webp",
}


@pytest.mark.parametrize(("name", "saved"), _NAMES.items(), ids=range(len(_NAMES)))
def test_it_is_named_after_the_picture(demo: Demo, name: str, saved: str) -> None:
    made = demo.page.evaluate(
        """name => import("/-/pages/demo/address.js").then(each => each.fileName(each.stemOf(name), "webp"))""", name
    )
    assert made == saved


_BLUR = """async ([picture, alpha]) => {
    const { blurredBackground } = await import("/-/pages/demo/composite.js");
    const load = async url => { const image = new Image(); image.src = url; await image.decode(); return image; };
    return blurredBackground(await load(picture), await load(alpha)).toDataURL("image/png");
}"""

HEIGHT, WIDTH = 200, 320
_Y, _X = np.mgrid[:HEIGHT, :WIDTH]
SUBJECTS = {
    "a disc": (_Y - 100) ** 2 + (_X - 160) ** 2 < 60**2,
    "a bar from edge to edge": np.abs(_X - 160) < 60,
    "half of it": _X < 160,
    "nearly all": (_Y > 8) | (_X > 12),
    "two": np.minimum((_Y - 100) ** 2 + (_X - 90) ** 2, (_Y - 90) ** 2 + (_X - 240) ** 2) < 40**2,
}


def _data_url(pixels: npt.NDArray[np.number], mode: str) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8), mode).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS.keys())
def test_a_blurred_background_has_nothing_of_the_subject(demo: Demo, subject: npt.NDArray[np.bool_]) -> None:
    """The wall goes from blue to green, the subject is red: there is no red in what is behind it, and no hole."""
    wall = np.stack([np.zeros((HEIGHT, WIDTH)), _X * 200 / WIDTH, 200 - _X * 200 / WIDTH], -1)
    picture = np.where(subject[..., None], np.array([255, 0, 0]), wall)
    cutout = np.concatenate([picture, 255 * subject[..., None]], -1)
    found = demo.page.evaluate(_BLUR, [_data_url(picture, "RGB"), _data_url(cutout, "RGBA")])
    blurred = rgba(base64.b64decode(found.partition(",")[2]))
    assert blurred.shape == (HEIGHT, WIDTH, 4)
    assert blurred[..., 3].min() == 255
    assert blurred[..., 0].max() <= 2
    known = ~subject
    assert np.abs(blurred[..., 1] - wall[..., 1])[known].mean() < 12
    assert blurred[..., 1:3].sum(-1).min() > 190, "what was the subject is filled with the wall's colours"


def test_a_picture_that_is_all_subject_or_all_hole_has_a_backdrop(demo: Demo) -> None:
    red = np.full((HEIGHT, WIDTH, 4), (255, 0, 0, 255))
    for picture, cutout in ((red, red), (red * [1, 1, 1, 0], red * [1, 1, 1, 0])):
        found = demo.page.evaluate(_BLUR, [_data_url(picture, "RGBA"), _data_url(cutout, "RGBA")])
        blurred = rgba(base64.b64decode(found.partition(",")[2]))
        assert np.abs(blurred - [128, 128, 128, 255]).max() <= 1
