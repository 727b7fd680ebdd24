"""Colours as a browser shows them: each picture on a canvas in Chromium, beside what is decoded here."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import sync_playwright

import colour_samples as samples
from pellucid.image import vips
from pellucid.image.decode import decode_full
from pellucid.image.probe import probe

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED = "chromium" in os.environ.get("TEST_REQUIRES", "").split(",")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not REQUIRED, reason="no Chromium here: `apt-get install chromium`, then these run as well"
)

PICTURES = samples.pictures()

TOLERANCE = 2
LOSSY_TOLERANCE = 4
"""Where the file is not exact, decoders differ by a level or two, which steep curves enlarge."""

_SHOWN = """async url => {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { colorSpace: "srgb", willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    return btoa(String.fromCharCode(...data));
}"""

Show = Callable[[samples.Picture], NDArray[np.uint8]]


@pytest.fixture(scope="module")
def show() -> Iterator[Show]:
    """What Chromium shows of a picture: (rows, columns, 4)."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()

        def on_canvas(picture: samples.Picture) -> NDArray[np.uint8]:
            url = f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode()}"
            levels = np.frombuffer(base64.b64decode(page.evaluate(_SHOWN, url)), np.uint8)
            return levels.reshape(2 * samples.SIDE, 4 * samples.SIDE, 4)

        yield on_canvas
        browser.close()


@pytest.mark.parametrize("name", PICTURES)
def test_colours_are_those_of_a_browser(name: str, show: Show) -> None:
    picture = PICTURES[name]
    image = decode_full(picture.data, probe(picture.data, max_pixels=1_000_000))
    ours, theirs = samples.middles(vips.to_array(image)), samples.middles(show(picture))
    is_lossy = picture.media_type in ("image/avif", "image/jpeg")
    assert np.abs(ours[:, :3] - theirs[:, :3]).max() <= (LOSSY_TOLERANCE if is_lossy else TOLERANCE)
    if ours.shape[1] == 4:
        assert np.abs(ours[:, 3] - theirs[:, 3]).max() <= 1
