"""Tiers: which passes run, at which size, and how their results are weighed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pellucid.cutout.confidence import decidedness
from pellucid.cutout.runtime import FloatArray
from pellucid.cutout.segment import fuse, segment
from pellucid.cutout.tiers import SMALL_SHARE, TIERS, Pass
from pellucid.models.cards import find_card
from pellucid.spec import Tier

U2NET = find_card("u2net")
ISNET = find_card("isnet")


class _Looks:
    """Stands where a session stands: notes the sizes it is run at and answers what it is told to."""

    def __init__(self, *answers: FloatArray) -> None:
        self.sizes: list[int] = []
        self._answers = list(answers)

    def run(self, batch: FloatArray) -> FloatArray:
        self.sizes.append(batch.shape[3])
        return self._answers.pop(0)[None, None]


def _square(side: int, *, share: float, alpha: float = 1.0) -> FloatArray:
    matte = np.zeros((side, side), np.float32)
    edge = round(side * share**0.5)
    matte[:edge, :edge] = alpha
    return matte


def _grey(width: int, height: int) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), 128, np.uint8)


def _run(looks: _Looks, tier: Tier) -> FloatArray:
    return segment(_grey, session=looks, card=U2NET, rule=TIERS[tier]).alpha_hw  # type: ignore[arg-type]


def test_fast_looks_once() -> None:
    looks = _Looks(_square(256, share=0.3, alpha=0.6))
    _run(looks, Tier.FAST)
    assert looks.sizes == [256]


def test_standard_looks_again_only_in_doubt() -> None:
    sure = _Looks(_square(256, share=0.3))
    _run(sure, Tier.STANDARD)
    assert sure.sizes == [256]
    doubtful = _Looks(_square(256, share=0.3, alpha=0.8), _square(192, share=0.3))
    _run(doubtful, Tier.STANDARD)
    assert doubtful.sizes == [256, 192]


def test_a_small_subject_gets_more_pixels() -> None:
    looks = _Looks(_square(256, share=SMALL_SHARE / 2, alpha=0.8), _square(320, share=SMALL_SHARE / 2))
    assert _run(looks, Tier.STANDARD).shape == (320, 320)
    assert looks.sizes == [256, 320]


def test_a_look_that_sees_nothing_does_not_outvote_one_that_sees() -> None:
    faint = np.full((256, 256), 0.08, np.float32)
    seen = _square(320, share=0.02)
    assert _run(_Looks(faint, np.ascontiguousarray(seen[:, ::-1])), Tier.STANDARD)[10, 10] > 0.99


def test_a_mirrored_pass_is_mirrored_back() -> None:
    """The subject is at the left; the mirrored look sees it at the right, so it must say right to agree."""
    left = _square(256, share=0.25, alpha=0.8)
    looks = _Looks(left, np.ascontiguousarray(_square(192, share=0.25)[:, ::-1]))
    alpha = _run(looks, Tier.STANDARD)
    assert alpha[20, 20] > 0.9
    assert alpha[20, 230] < 0.05


@pytest.mark.parametrize("tier", list(Tier))
def test_a_model_with_one_size_is_shown_that_size_only(tier: Tier) -> None:
    rule = TIERS[tier]
    passes = (rule.first, *rule.further(ISNET, decided=0, share=0.5))
    assert {each.size(ISNET) for each in passes} == {(1024, 1024)}
    assert len({each.mirrored for each in passes}) == len(passes)


@pytest.mark.parametrize("tier", list(Tier))
def test_sizes_suit_the_network(tier: Tier) -> None:
    rule = TIERS[tier]
    for each in (rule.first, *rule.more, *rule.more_small):
        assert all(side % 32 == 0 for side in each.size(U2NET))
    assert rule.frequent_sizes(U2NET)[0] == rule.first.size(U2NET)
    assert len(rule.frequent_sizes(U2NET)) == 1 + bool(rule.more)


def test_size_is_never_nothing() -> None:
    assert Pass(scale=0.01).size(U2NET) == (32, 32)


def test_the_surer_pass_weighs_more() -> None:
    sure, guessing = _square(64, share=0.5), _square(64, share=1, alpha=0.6)
    fused = fuse([sure, guessing])
    assert decidedness(guessing) == pytest.approx(0.2, abs=1e-6)
    assert fused[0, 0] > 0.99
    assert fused[60, 60] < 0.01


def test_what_one_pass_of_five_sees_leaves_no_ghost() -> None:
    subject = _square(256, share=0.25)
    ghost = subject.copy()
    ghost[160:240, 160:240] = 1
    fused = fuse([subject, subject, ghost, subject, subject])
    assert fused[200, 200] == 0
    assert fused[60, 60] == 1


def test_soft_edges_that_passes_agree_on_stay_soft() -> None:
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (256, 1))
    assert np.allclose(fuse([ramp, ramp, ramp]), ramp, atol=1e-6)


def test_passes_that_know_nothing_are_averaged() -> None:
    halves = np.full((32, 32), 0.5, np.float32)
    assert np.allclose(fuse([halves, halves]), 0.5)
    nothing = np.zeros((32, 32), np.float32)
    assert not fuse([nothing, nothing]).any()


def test_fusing_sizes_does_not_shift() -> None:
    """An edge in the middle of the picture stays there: half a pixel at 64 would be two at 256."""
    small, large = np.zeros((64, 64), np.float32), np.zeros((256, 256), np.float32)
    small[:, :32], large[:, :128] = 1, 1
    row = fuse([small, large])[100]
    assert abs(float(row.sum()) - 128) < 0.1
