"""Faces from the raw outputs of the detector."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pellucid.insights.faces import COARSE, FINE, decode, detector_input, together
from pellucid.insights.values import Area

Outputs = list[NDArray[np.float32]]


def outputs(*faces: tuple[int, int, float, float, float], cells: int = 64) -> Outputs:
    """Maps on which (column, row, width, height, score) in cells are marked."""
    heat = np.zeros((1, 1, cells, cells), np.float32)
    scale, offset = np.zeros((1, 2, cells, cells), np.float32), np.zeros((1, 2, cells, cells), np.float32)
    for column, row, width, height, score in faces:
        heat[0, 0, row, column] = score
        scale[0, :, row, column] = np.log([height, width])
    return [heat, scale, offset]


def test_a_marked_cell_is_the_middle_of_a_face() -> None:
    [face] = decode(outputs((31, 15, 8, 12, 0.9)), (256, 256))
    assert face.centre == pytest.approx((31.5 / 64, 15.5 / 64))
    assert face.right - face.left == pytest.approx(8 / 64)
    assert face.bottom - face.top == pytest.approx(12 / 64)


def test_faces_are_fractions_of_the_image_not_of_the_square_and_end_at_its_edges() -> None:
    [face] = decode(outputs((31, 15, 8, 12, 0.9)), (256, 128))
    assert face.centre[1] == pytest.approx(15.5 / 32)
    [cut] = decode(outputs((0, 0, 8, 8, 0.9)), (256, 256))
    assert (cut.left, cut.top) == (0, 0)
    assert decode(outputs((60, 60, 2, 2, 0.9)), (100, 100)) == [], "in the black beside the image"


def test_unsure_ones_and_doubles_are_left_out() -> None:
    found = decode(outputs((20, 20, 10, 10, 0.6), (21, 20, 10, 10, 0.9), (50, 50, 5, 5, 0.3)), (256, 256))
    assert len(found) == 1
    assert found[0].centre[0] == pytest.approx(21.5 / 64)
    assert decode(outputs(), (256, 256)) == []


def test_of_the_coarse_pass_only_large_faces_count() -> None:
    large = Area(left=0.1, top=0.1, right=0.5, bottom=0.7)
    small = Area(left=0.8, top=0.8, right=0.85, bottom=0.85)
    tiny = Area(left=0.6, top=0.1, right=0.62, bottom=0.13)
    again = Area(left=0.12, top=0.1, right=0.5, bottom=0.68)
    assert together([small, large], [tiny, again], (400, 400)) == (large, tiny)
    assert together([], [tiny, again], (400, 400)) == (again, tiny), "the largest first"


def test_the_image_lies_at_the_top_left_of_the_square() -> None:
    batch = detector_input(np.full((10, 20, 3), (1, 2, 3), np.uint8), COARSE)
    assert batch.shape == (1, 3, COARSE, COARSE)
    assert (batch[0, :, 9, 19] == (1, 2, 3)).all()
    assert not batch[0, :, 10:].any()
    assert not batch[0, :, :, 20:].any()
    assert FINE % 32 == COARSE % 32 == 0, "the detector halves its input five times"
