"""An HTML page with the worst pictures: photo, truth, matte, and the cutout on a loud colour. One file, no scripts."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from pellucid.evaluate.run import MEASURES, Result
from pellucid.formats import ImageFormat
from pellucid.image.encode import encode
from pellucid.image.vips import from_array
from pellucid.render.compose import compose
from pellucid.spec import Colour

LOUD = Colour(red=255, green=0, blue=255)
_SIDE = 360

_STYLE = """body{font:15px system-ui;margin:2em;color:#222}table{border-collapse:collapse}
td,th{padding:.3em .7em;text-align:right}th:first-child,td:first-child{text-align:left}
figure{margin:0 0 2em}figure img{margin-right:6px;vertical-align:top}figcaption{margin:.3em 0}"""


def sheet(title: str, results: Iterable[tuple[str, Result]]) -> str:
    """The page for `results`, each with what it is called there, in their order."""
    figures = "".join(_figure(name, result) for name, result in results)
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(title)}</h1>"
        f"<p>Photo, truth, matte, cutout on magenta; worst boundary IoU first.</p>{figures}"
    )


def _figure(name: str, result: Result) -> str:
    photo = result.cutout.photo[:, :, :3]
    truth = np.rint(result.sample.truth * 255).astype(np.uint8)
    matte = np.rint(result.cutout.matte * 255).astype(np.uint8)
    rgba = result.cutout.rgba()
    cut = compose(rgba[:, :, :3], rgba[:, :, 3], LOUD)
    images = "".join(f"<img src='{_data_url(pixels)}' alt=''>" for pixels in (photo, truth, matte, cut))
    numbers = ", ".join(f"{name} {getattr(result.score.measures, name):.3f}" for name in MEASURES)
    return (
        f"<figure>{images}<figcaption><b>{html.escape(name)}</b>: {numbers}, "
        f"confidence {result.score.confidence:.2f}</figcaption></figure>"
    )


def _data_url(pixels: npt.NDArray[np.uint8]) -> str:
    image = from_array(pixels)
    image = image.thumbnail_image(_SIDE, height=_SIDE, size="down")
    return "data:image/jpeg;base64," + base64.b64encode(encode(image, format=ImageFormat.JPEG, quality=80)).decode()
