"""Hair and fur: curved strands thinner than a pixel, drawn on a grid four times as fine and averaged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scenes.layers import Layer
from scenes.textures import FloatArray, Size

_FINER = 4
_TOGETHER = 32
"""Strands painted at a time: their points share one length, the longest's."""

_STEP = 0.7
"""Between painted points, in cells of the fine grid: below 1, so a strand has no gaps."""

_SHINE_LENGTH = 0.12
"""Of the bright part, as a share of the strand."""


@dataclass(frozen=True, kw_only=True)
class Strands:
    """n strands, the first lowest. Lengths and places are shares of the height.

    `curves`: (n, 4, 2), control points (x, y) of cubic Bezier curves from root to tip. `widths`: (n) at the root; a
    strand tapers to a third. `colours`: (n, 2, 3), levels at root and tip. `shine`: (n, 2), where along it (0..1) a
    strand is lighter and by how many levels.
    """

    curves: FloatArray
    widths: FloatArray
    colours: FloatArray
    shine: FloatArray


def draw(strands: Strands, size: Size) -> Layer:
    """The strands as a layer of `size` (width, height)."""
    width, height = size
    canvas = np.zeros((height * _FINER, width * _FINER), np.uint32)
    for first in range(0, len(strands.widths), _TOGETHER):
        _paint(canvas, strands, slice(first, first + _TOGETHER))
    return _average(canvas)


def _paint(canvas: npt.NDArray[np.uint32], strands: Strands, part: slice) -> None:
    scale = np.float32(canvas.shape[0])
    curves = strands.curves[part] * scale
    # A strand thinner than a fine cell is still one cell wide: it covers a quarter of a pixel.
    cells = np.maximum(strands.widths[part] * scale, 1)
    along = int(np.linalg.norm(np.diff(curves, axis=1), axis=2).sum(axis=1).max() / _STEP) + 2
    across = int(cells.max() / _STEP) + 1
    t = np.linspace(0, 1, along, dtype=np.float32)[None, :, None]
    u = 1 - t
    p0, p1, p2, p3 = (curves[:, k][:, None, :] for k in range(4))
    place = p0 * u**3 + p1 * (3 * u**2 * t) + p2 * (3 * u * t**2) + p3 * t**3
    tangent = (p1 - p0) * u**2 + (p2 - p1) * (2 * u * t) + (p3 - p2) * t**2
    tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), np.float32(1e-6))
    half = cells[:, None] / 2 * (1 - t[..., 0] * np.float32(2 / 3))
    offset = half[:, :, None] * (
        np.linspace(-1, 1, across, dtype=np.float32) if across > 1 else np.zeros(1, np.float32)
    )
    column = np.floor(place[:, :, :1] - tangent[..., 1:] * offset).astype(np.int32)
    row = np.floor(place[:, :, 1:] + tangent[..., :1] * offset).astype(np.int32)
    inside = (row >= 0) & (column >= 0) & (row < canvas.shape[0]) & (column < canvas.shape[1])
    packed = np.broadcast_to(_packed_colours(strands, part, t)[..., None], inside.shape)
    # Where a place repeats the last value stays: later strands lie above earlier ones.
    canvas.reshape(-1)[(row * canvas.shape[1] + column)[inside]] = packed[inside]


def _packed_colours(strands: Strands, part: slice, t: FloatArray) -> npt.NDArray[np.uint32]:
    """(strands, steps): red, green, blue and the mark 255 in the bytes of one number, lowest first."""
    root, tip = strands.colours[part, 0][:, None, :], strands.colours[part, 1][:, None, :]
    at, gain = strands.shine[part, 0][:, None, None], strands.shine[part, 1][:, None, None]
    shine = gain * np.exp(-(((t - at) / np.float32(_SHINE_LENGTH)) ** 2))
    levels = np.clip(root + (tip - root) * t + shine, 0, 255).astype(np.uint32)
    red, green, blue = (levels[..., channel] << np.uint32(8 * channel) for channel in range(3))
    return red | green | blue | np.uint32(255 << 24)


def _average(canvas: npt.NDArray[np.uint32]) -> Layer:
    """Means over the fine cells of each pixel; empty cells are black with alpha 0, so colours come premultiplied."""
    height, width = canvas.shape[0] // _FINER, canvas.shape[1] // _FINER
    sums = np.zeros((4, height, width), np.uint16)
    for down in range(_FINER):
        for right in range(_FINER):
            cells = canvas[down::_FINER, right::_FINER]
            for byte in range(4):
                sums[byte] += (cells >> np.uint32(8 * byte)).astype(np.uint8)
    means = sums.astype(np.float32) / np.float32(_FINER**2)
    return Layer(colour=np.stack(tuple(means[:3]), axis=-1), alpha=means[3] / np.float32(255))
