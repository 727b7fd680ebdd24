"""A page of pending pictures in a real browser, swapped by the script."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from e2e_server import DEADLINE_S, PellucidServer, PhotoOrigin
from playwright.sync_api import Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED = "chromium" in os.environ.get("TEST_REQUIRES", "").split(",")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not REQUIRED, reason="no Chromium here: `apt-get install chromium`, then these run as well"
)

COUNT = 40
_SWAPPED = """() => [...document.images].filter(
    image => image.currentSrc.endsWith("&bg_pending=original") && image.complete && image.naturalWidth).length"""
_SEE_THROUGH = """() => [...document.images].filter(image => {
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return context.getImageData(2, 2, 1, 1).data[3] < 128;
}).length"""


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1280, "height": 520})
        browser.close()


def test_forty_pending_pictures_turn_into_cutouts_by_themselves(
    page: Page, server: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes, otter_jpg: bytes
) -> None:
    base = f"http://{server.address}"
    images: list[str] = []
    for number in range(COUNT):
        path = origin.put(f"/page{number}.jpg", (bowl_jpg, otter_jpg)[number % 2])
        url = f"{base}{path}?w=120&bg_remove=1"
        srcset = f'srcset="{url} 1x, {url.replace("120", "240")} 2x"' if number % 3 == 0 else ""
        images.append(f'<img crossorigin src="{url}" {srcset}>')
    script = f'<script async src="{base}/-/swap.js"></script>'
    origin.files["/page.html"] = f"<!doctype html><body>{''.join(images)}{script}".encode()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"http://{origin.host}/page.html")
    # A picture whose cutout was there at the first request needs no swap.
    page.wait_for_function(f"() => ({_SEE_THROUGH})() === {COUNT}", timeout=3 * DEADLINE_S * 1000, polling=300)
    assert page.evaluate(_SWAPPED) >= COUNT - 4
    assert errors == []


def test_pictures_that_are_ready_are_left_alone(
    page: Page, server: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes
) -> None:
    path = origin.put("/ready-before.jpg", bowl_jpg)
    server.wait_for(f"{path}?w=120&bg_remove=1", "ready", Accept="image/webp")
    script = f'<script async src="http://{server.address}/-/swap.js"></script>'
    image = f'<img crossorigin src="http://{server.address}{path}?w=120&bg_remove=1">'
    origin.files["/ready.html"] = f"<!doctype html><body>{image}{script}".encode()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"http://{origin.host}/ready.html")
    page.wait_for_timeout(1500)
    assert page.evaluate(_SWAPPED) == 0
    assert not [url for url in asked if "/-/events" in url]
