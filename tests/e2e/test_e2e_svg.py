"""The tables of `svg_samples` against Chromium: sizes in an `<img>`, colours on a canvas."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from svg_samples import BLACK, PAINTED, SIZES, Colours

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED = "chromium" in os.environ.get("TEST_REQUIRES", "").split(",")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not REQUIRED, reason="no Chromium here: `apt-get install chromium`, then these run as well"
)

_SHOW = """async urls => Promise.all(urls.map(async url => {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = 40; canvas.height = 20;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const pixel = x => [...context.getImageData(x, 10, 1, 1).data];
    return {size: [image.naturalWidth, image.naturalHeight], left: pixel(10), right: pixel(30)};
}))"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def _url(text: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def test_sizes_are_those_of_a_browser(page: Page) -> None:
    shown = page.evaluate(_SHOW, [_url(text) for text, _ in SIZES.values()])
    sizes: dict[str, tuple[int, int]] = {name: tuple(each["size"]) for name, each in zip(SIZES, shown, strict=True)}
    assert sizes == {name: size for name, (_, size) in SIZES.items()}


def test_colours_are_those_of_a_browser(page: Page) -> None:
    shown = page.evaluate(_SHOW, [_url(text) for text, _ in PAINTED.values()])
    colours: dict[str, Colours] = {
        name: (_colour(each["left"]), _colour(each["right"])) for name, each in zip(PAINTED, shown, strict=True)
    }
    assert colours == {name: wanted for name, (_, wanted) in PAINTED.items()}


def _colour(pixel: list[int]) -> tuple[int, int, int]:
    """Transparent counts as black."""
    return (pixel[0], pixel[1], pixel[2]) if pixel[3] else BLACK
