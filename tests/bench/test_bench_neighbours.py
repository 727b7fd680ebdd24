"""What the benchmark of neighbours counts and says."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from neighbourhood.report import Promise, experience_table, peaks_table, put_into, within
from neighbourhood.watcher import Peak
from neighbourhood.wellbehaved import CACHED, CUTOUTS, WIDTHS, Experience


@pytest.mark.parametrize(
    ("count", "failed", "share", "reached"),
    [(100, 0, 0.99, 99), (100, 0, 0.5, 50), (100, 1, 0.99, 100), (100, 2, 0.99, math.inf), (1, 0, 0.99, 1)],
)
def test_what_failed_took_for_ever(count: int, failed: int, share: float, reached: float) -> None:
    assert within([float(number) for number in range(1, count + 1)], share, failed) == reached


def test_nothing_measured_is_no_success() -> None:
    assert within([], 0.99, 0) == math.inf
    assert not experience_table(Experience())[1]


def test_one_error_misses_a_target() -> None:
    fine = Experience(ms={CACHED: [1.0] * 1000, WIDTHS: [1.0] * 1000, CUTOUTS: [1.0] * 1000})
    assert experience_table(fine)[1]
    fine.errors[CACHED] = Counter({"503": 1})
    assert not experience_table(fine)[1]


def test_a_promise_is_broken_by_one_byte() -> None:
    promise = Promise("pellucid: web", 100, 10)
    assert peaks_table({"pellucid: web": Peak(100, 10, 1)}, (promise,))[1]
    assert not peaks_table({"pellucid: web": Peak(101, 10, 1)}, (promise,))[1]
    assert not peaks_table({"pellucid: web": Peak(100, 11, 1)}, (promise,))[1]


def test_the_report_replaces_the_last_one(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench/neighbours.py: begin -->\nold\n<!-- end -->\nafter\n")
    put_into(page, "new \\1")
    assert page.read_text() == "before\n<!-- bench/neighbours.py: begin -->\nnew \\1\n<!-- end -->\nafter\n"
    page.write_text("no place")
    with pytest.raises(ValueError, match="no place"):
        put_into(page, "new")
