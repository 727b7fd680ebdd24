"""PURE: faces, from the raw outputs of CenterFace.

CenterFace (Xu et al., 2019) marks the centre of each face on a map of a quarter of its input's size, with the face's
size and how far its centre lies from the middle of the cell. It knows faces of 10 to about 300 pixels, so an image is
shown twice: with its longer side at `FINE` pixels, where faces that fill the image are missed, and at `COARSE`, of
which only large faces count: its small finds are often muzzles and lamps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pellucid.insights.values import Area

if TYPE_CHECKING:
    from numpy.typing import NDArray

FINE, COARSE = 640, 256
"""Sides in pixels of the squares that the detector sees; the image lies at the top left, the rest is black. A graph for
any shape would prepare itself anew for each: that takes longer than the black does, and twice the memory."""

THRESHOLD = 0.55
"""Least score of a face."""

_LARGE = 0.2
"""From this share of the longer side on, a face of the coarse pass counts."""

_OVERLAP, _INSIDE = 0.3, 0.7
"""Two boxes are one face if they share more of their union, or if the smaller lies in the other by more than this."""

_CELL = np.float32(4)
_TINY = np.float32(1e-9)


def detector_input(rgb_hwc: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """An sRGB image of at most `side` x `side` pixels as the detector's input: 1 x 3 x side x side, 0..255."""
    square = np.zeros((1, 3, side, side), np.float32)
    square[0, :, : rgb_hwc.shape[0], : rgb_hwc.shape[1]] = rgb_hwc.transpose(2, 0, 1)
    return square


def decode(outputs: Sequence[NDArray[np.float32]], size: tuple[int, int]) -> list[Area]:
    """The faces of one pass over an image of `size` (width, height), surest first. `outputs` are heat, the logarithms
    of height and width in cells, and the offsets of the centre (down, right).
    """
    heat, scale, offset = (output[0] for output in outputs[:3])
    rows, columns = np.nonzero(heat[0] >= THRESHOLD)
    heights, widths = (np.exp(scale[axis, rows, columns]) * _CELL / 2 for axis in (0, 1))
    y = (rows + offset[0, rows, columns] + np.float32(0.5)) * _CELL
    x = (columns + offset[1, rows, columns] + np.float32(0.5)) * _CELL
    boxes = np.stack([x - widths, y - heights, x + widths, y + heights], axis=1)
    kept = boxes[_distinct(boxes, heat[0, rows, columns])]
    extent = np.array([*size, *size], np.float32)
    fractions = np.clip(kept / extent, 0, 1)
    return [
        Area(left=float(left), top=float(top), right=float(right), bottom=float(bottom))
        for left, top, right, bottom in fractions
        if right > left and bottom > top
    ]


def together(coarse: Sequence[Area], fine: Sequence[Area], size: tuple[int, int]) -> tuple[Area, ...]:
    """The large faces of the coarse pass and what the fine one found besides, largest first. `size` as above."""
    width, height = size
    found = [
        face
        for face in coarse
        if max((face.right - face.left) * width, (face.bottom - face.top) * height) >= _LARGE * max(size)
    ]
    large = _boxes(found, size)
    found += [face for face in fine if not _is_same(_boxes([face], size)[0], large).any()]
    return tuple(sorted(found, key=lambda face: -face.size))


def _distinct(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> list[int]:
    """Indices of one box for each face, best score first: what is the same as a better one is dropped."""
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        best = order[0]
        kept.append(int(best))
        order = order[1:][~_is_same(boxes[best], boxes[order[1:]])]
    return kept


def _is_same(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether `box` and each of `others` (N x 4) are one face."""
    across = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    down = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    shared = np.maximum(across, 0) * np.maximum(down, 0)
    area = (box[2] - box[0]) * (box[3] - box[1])
    areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    union, smaller = area + areas - shared, np.minimum(area, areas)
    return (shared > _OVERLAP * np.maximum(union, _TINY)) | (shared > _INSIDE * np.maximum(smaller, _TINY))


def _boxes(faces: Sequence[Area], size: tuple[int, int]) -> NDArray[np.float32]:
    width, height = size
    boxes = [(f.left * width, f.top * height, f.right * width, f.bottom * height) for f in faces]
    return np.array(boxes, np.float32).reshape(-1, 4)
