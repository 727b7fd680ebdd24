"""Colours as a browser shows them: each picture on a canvas in Chromium, beside what is decoded here."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable, Iterator
from typing import NamedTuple

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

TRIED = 156
"""The newest Chromium that was tried. The system's package is not pinned, and an update of it is no fault of this code:
what a newer one shows otherwise is an expected failure until it was looked at."""

SINCE_156 = {
    "BMP, ": "leaves the colour space of BMP headers aside; 150 followed it, as do we",
    "AVIF, 8 bits with alpha": "reads alpha as limited range (130 for 128); AVIF has full range alone",
    "AVIF, 10 bits with alpha": "reads alpha as limited range (131 for 128); AVIF has full range alone",
    "AVIF, premultiplied": "reads alpha as limited range, and divides by it",
    "AVIF, animated, P3": "stretches full range once more",
}
"""Where Chromium 156 differs from 150 and from what the files say, by the beginnings of names."""

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


class Shown(NamedTuple):
    """`on_canvas`: what Chromium shows of a picture, (rows, columns, 4). `version`: its major number."""

    on_canvas: Show
    version: int


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()

        def on_canvas(picture: samples.Picture) -> NDArray[np.uint8]:
            url = f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode()}"
            levels = np.frombuffer(base64.b64decode(page.evaluate(_SHOWN, url)), np.uint8)
            return levels.reshape(2 * samples.SIDE, 4 * samples.SIDE, 4)

        yield Shown(on_canvas, int(browser.version.partition(".")[0]))
        browser.close()


@pytest.mark.parametrize("name", PICTURES)
def test_colours_are_those_of_a_browser(name: str, shown: Shown) -> None:
    picture = PICTURES[name]
    image = decode_full(picture.data, probe(picture.data, max_pixels=1_000_000))
    ours, theirs = samples.middles(vips.to_array(image)), samples.middles(shown.on_canvas(picture))
    is_lossy = picture.media_type in ("image/avif", "image/jpeg")
    tolerance = np.array([LOSSY_TOLERANCE if is_lossy else TOLERANCE] * 3 + [1])[: ours.shape[1]]
    alike = (np.abs(ours - theirs[:, : ours.shape[1]]) <= tolerance).all()
    if not alike and (reason := _expected(name, shown.version)):
        pytest.xfail(f"Chromium {shown.version} {reason}")
    assert alike, f"ours\n{ours}\nChromium's\n{theirs}"


def _expected(name: str, version: int) -> str | None:
    """Why this Chromium may show the picture otherwise; None where it must not."""
    if version > TRIED:
        return "is newer than any that was tried"
    return next((why for begin, why in SINCE_156.items() if version > 150 and name.startswith(begin)), None)
