"""An HTML page of made scenes: photo, truth and cutouts over black, white and magenta. One file, no scripts."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

import numpy as np

from pellucid.formats import ImageFormat
from pellucid.image.encode import encode
from pellucid.image.vips import from_array
from scenes.halo import BACKDROPS, HaloResult, Truth
from scenes.reduce import Pixels, area_means
from scenes.synthetic import Scene
from scenes.textures import FloatArray

SHOWN = ("black", "white", "magenta")
_QUALITY = 92
"""From 90 on JPEG keeps the whole chroma here: half of it would blur the very colours that are to be seen."""

_STYLE = """body{font:15px system-ui;margin:2em;color:#222}table{margin:0 0 2em}
td,th{padding:2px;text-align:left;font-weight:normal;vertical-align:top}img{display:block}"""


def halo_sheet(title: str, tables: Sequence[str]) -> str:
    """The page for `tables` of `scene_table`, in their order."""
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(title)}</h1><p>Photo; then, over {', '.join(SHOWN)}, the truth and each cutout with its "
        f"halo error in levels.</p>{''.join(tables)}"
    )


def scene_table(scene: Scene, truth: Truth, results: Mapping[str, HaloResult]) -> str:
    """The part of the page about one scene, at the size of the results' small cutouts, which is `truth`'s."""
    factor = scene.photo.shape[1] // truth.alpha.shape[1]
    photo = _levels(area_means(scene.photo.astype(np.float32), factor))
    heads = [scene.name, "truth"] + [f"{name}: {result.small['black']:.1f}" for name, result in results.items()]
    head = "".join(f"<th>{html.escape(text)}" for text in heads)
    lines: list[str] = []
    for number, name in enumerate(SHOWN):
        colour = np.array(BACKDROPS[name], np.float32)
        cells = [photo] if number == 0 else []
        cells.append(_levels(truth.premultiplied + (1 - truth.alpha[..., None]) * colour))
        for result in results.values():
            alpha = result.small_rgba[..., 3:] / np.float32(255)
            cells.append(_levels(result.small_rgba[..., :3] * alpha + (1 - alpha) * colour))
        start = "" if number == 0 else "<td>"
        lines.append("<tr>" + start + "".join(f"<td><img src='{_data_url(pixels)}' alt=''>" for pixels in cells))
    return f"<table><tr>{head}{''.join(lines)}</table>"


def _levels(values: FloatArray) -> Pixels:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _data_url(pixels: Pixels) -> str:
    jpeg = encode(from_array(pixels), format=ImageFormat.JPEG, quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
