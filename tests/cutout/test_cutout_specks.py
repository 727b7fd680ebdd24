"""Specks go, pinholes are filled; rings, handles and flocks stay."""

from __future__ import annotations

import numpy as np

from pellucid.cutout.specks import remove_specks
from pellucid.inference.runtime import FloatArray


def _subject() -> FloatArray:
    alpha = np.zeros((256, 256), np.float32)
    alpha[60:200, 60:200] = 1
    return alpha


def test_a_speck_goes_and_the_subject_stays() -> None:
    alpha = _subject()
    alpha[10:15, 10:15] = 0.9
    assert np.array_equal(remove_specks(alpha), _subject())


def test_a_second_subject_stays() -> None:
    alpha = _subject()
    alpha[10:40, 10:40] = 1
    assert np.array_equal(remove_specks(alpha), alpha)


def test_a_flock_stays_a_flock() -> None:
    alpha = np.zeros((256, 256), np.float32)
    for at in range(10, 240, 40):
        alpha[at : at + 6, at : at + 6] = 1
    assert np.array_equal(remove_specks(alpha), alpha)


def test_a_pinhole_is_filled() -> None:
    alpha = _subject()
    alpha[100:104, 100:104] = 0.6
    assert np.array_equal(remove_specks(alpha), _subject())


def test_a_ring_stays_open_however_small() -> None:
    alpha = _subject()
    alpha[100:104, 100:104] = 0.6
    alpha[101:103, 101:103] = 0.05
    assert np.array_equal(remove_specks(alpha), alpha)


def test_a_wide_doubt_stays() -> None:
    alpha = _subject()
    alpha[100:150, 100:150] = 0.6
    assert np.array_equal(remove_specks(alpha), alpha)


def test_a_dent_at_the_pictures_edge_is_no_pinhole() -> None:
    alpha = np.ones((256, 256), np.float32)
    alpha[0:4, 100:104] = 0.6
    assert np.array_equal(remove_specks(alpha), alpha)


def test_nothing_and_everything() -> None:
    for value in (0.0, 1.0):
        alpha = np.full((64, 64), value, np.float32)
        assert np.array_equal(remove_specks(alpha), alpha)
