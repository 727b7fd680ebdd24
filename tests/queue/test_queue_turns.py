"""The rules of turns by themselves: who is next, how many may wait, for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.queue.turns import RetryPolicy, Urgency, cost_of, eta_s, is_full, pause_s, rank


@dataclass(slots=True)
class Line:
    """Removals that wait, as the table has them: ranks by token and urgency, and the virtual time."""

    waiting: list[tuple[float, int, str, Urgency]] = field(default_factory=list)
    virtual_time: float = 0.0
    number: int = 0

    def submit(self, token: str, urgency: Urgency = Urgency.PAGE, pixels: int = 0) -> int:
        same = [turn for turn, _, *flow in self.waiting if flow == [token, urgency]]
        turn = rank(virtual_time=self.virtual_time, last=max(same, default=None), cost=cost_of(urgency, pixels))
        self.number += 1
        self.waiting.append((turn, self.number, token, urgency))
        return self.number

    def claim(self) -> tuple[int, str, Urgency]:
        first = min(self.waiting)
        self.waiting.remove(first)
        turn, number, token, urgency = first
        self.virtual_time = max(self.virtual_time, turn)
        return number, token, urgency


moves = st.lists(st.sampled_from(["claim", "shop", "blog"]), max_size=60)


@given(moves, st.integers(1, 100))
def test_the_first_of_a_token_waits_for_two_of_each_other_at_most(before: Sequence[str], owed: int) -> None:
    """The one whose turn it is anyway, and one of the same rank: however many the others owe, whatever was before."""
    line = Line()
    for move in before:
        if move != "claim":
            line.submit(move)
        elif line.waiting:
            line.claim()
    while any(token == "new" for *_, token, _ in line.waiting):
        line.claim()
    for _ in range(owed):
        line.submit("shop")
        line.submit("blog")
    number = line.submit("new")
    came: list[str] = []
    while True:
        found, token, _ = line.claim()
        if found == number:
            break
        came.append(token)
    assert came.count("shop") <= 2
    assert came.count("blog") <= 2


def test_where_one_token_owes_everything_the_first_of_another_runs_second() -> None:
    line = Line()
    for _ in range(60):
        line.submit("shop")
    for _ in range(7):
        line.claim()
    number = line.submit("blog")
    assert number in (line.claim()[0], line.claim()[0])


@given(moves)
def test_two_tokens_that_both_wait_take_turns(before: Sequence[str]) -> None:
    """While both have something to do, neither gets two more than the other."""
    line = Line()
    for move in before:
        if move != "claim":
            line.submit(move)
        elif line.waiting:
            line.claim()
    line.waiting.clear()
    for _ in range(30):
        line.submit("shop")
    for _ in range(30):
        line.submit("blog")
    done = {"shop": 0, "blog": 0}
    for _ in range(50):
        _, token, _ = line.claim()
        done[token] += 1
        assert abs(done["shop"] - done["blog"]) <= 2


@given(st.lists(st.tuples(st.sampled_from(list(Urgency)), st.integers(0, 200_000_000)), min_size=2, max_size=30))
def test_the_removals_of_a_token_and_urgency_stay_in_order(asked: Sequence[tuple[Urgency, int]]) -> None:
    line = Line()
    for urgency, pixels in asked:
        line.submit("shop", urgency, pixels)
    came = [line.claim() for _ in asked]
    for urgency in Urgency:
        numbers = [number for number, _, of in came if of is urgency]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize(("urgency", "at_most"), [(Urgency.UPGRADE, 5), (Urgency.WARM_UP, 21)])
def test_others_yield_to_pages_and_do_not_starve(urgency: Urgency, at_most: int) -> None:
    """Also where pages never end."""
    line = Line()
    number = line.submit("shop", urgency)
    came = 0
    while True:
        line.submit("shop")
        line.submit("shop")
        came += 1
        if line.claim()[0] == number:
            break
    assert at_most // 2 <= came <= at_most


def test_of_twenty_one_turns_sixteen_are_pages() -> None:
    line = Line()
    for urgency in Urgency:
        for _ in range(500):
            line.submit("shop", urgency)
    came = [line.claim()[2] for _ in range(210)]
    assert [came.count(each) for each in Urgency] == [
        pytest.approx(160, abs=2),
        pytest.approx(40, abs=2),
        pytest.approx(10, abs=2),
    ]


def test_a_huge_picture_costs_more_turns_and_a_small_one_no_less() -> None:
    assert cost_of(Urgency.PAGE, 0) == cost_of(Urgency.PAGE, 12_000_000) == 1
    assert cost_of(Urgency.PAGE, 120_000_000) == 10
    assert cost_of(Urgency.WARM_UP, 24_000_000) == 2 * cost_of(Urgency.WARM_UP, 1)


@given(st.floats(0, 1e9), st.none() | st.floats(0, 1e9), st.floats(1, 1e3))
def test_a_rank_is_behind_the_virtual_time_and_the_last(virtual_time: float, last: float | None, cost: float) -> None:
    found = rank(virtual_time=virtual_time, last=last, cost=cost)
    assert found > virtual_time
    assert last is None or found > last
    assert found in (virtual_time + cost, (last or 0.0) + cost)


# Depth


@given(st.integers(0, 300), st.lists(st.integers(0, 7), max_size=400))
def test_what_all_may_owe_is_bounded(depth: int, submission: Sequence[int]) -> None:
    """depth * (1 + 1/2 + ... + 1/k) with k tokens, whoever asks in which order; and each may owe one."""
    owed: dict[int, int] = {}
    for token in submission:
        others = owed.keys() | {token}
        if not is_full(of_token=owed.get(token, 0), tokens=len(others), depth=depth):
            owed[token] = owed.get(token, 0) + 1
    tokens = len(owed)
    assert owed.keys() == set(submission)
    assert sum(owed.values()) <= sum(max(1, depth / n) for n in range(1, tokens + 1)) + 1e-9


@pytest.mark.parametrize(
    ("of_token", "tokens", "depth", "full"),
    [
        (999, 1, 1000, False),
        (1000, 1, 1000, True),
        (499, 2, 1000, False),
        (500, 2, 1000, True),
        (1000, 2, 1000, True),
        (0, 5000, 1000, False),
        (1, 5000, 1000, True),
        (0, 0, 0, False),
        (1, 1, 0, True),
    ],
)
def test_each_token_has_an_equal_share(of_token: int, tokens: int, depth: int, full: bool) -> None:
    assert is_full(of_token=of_token, tokens=tokens, depth=depth) is full


# Patience


def test_pauses_grow_and_have_an_end() -> None:
    retry_policy = RetryPolicy()
    assert [retry_policy.after_attempt(n) for n in (1, 2, 3)] == [1, 4, 16]
    assert [retry_policy.after_failure(n) for n in (1, 2, 3, 9, 10, 10_000)] == [300, 600, 1200, 76_800, 86_400, 86_400]
    assert [pause_s(n) for n in (1, 2, 3, 4, 5, 10_000)] == [5, 10, 20, 40, 60, 60]


def test_the_estimate_shares_the_work() -> None:
    assert eta_s(place=1, workers=4, job_s=2, wait_s=0) == 2, "one removal is not done by four"
    assert eta_s(place=8, workers=4, job_s=2, wait_s=0) == 4
    assert eta_s(place=8, workers=0, job_s=2, wait_s=0) == 16, "as if one worked"
    assert eta_s(place=1, workers=1, job_s=2, wait_s=30) == 32
