"""The policies of the queue alone: order, depth, pauses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.queue.turns import RetryPolicy, Urgency, cost_of, eta_s, is_full, pause_s, rank


@dataclass(slots=True)
class WaitingJobs:
    """Waiting jobs as in the table: ranks by token and urgency, and the virtual time."""

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
def test_the_first_job_of_a_token_waits_for_two_jobs_of_each_other_at_most(before: Sequence[str], pending: int) -> None:
    """At most the job that is next anyway and one of the same rank, however many jobs the other token has."""
    jobs = WaitingJobs()
    for move in before:
        if move != "claim":
            jobs.submit(move)
        elif jobs.waiting:
            jobs.claim()
    while any(token == "new" for *_, token, _ in jobs.waiting):
        jobs.claim()
    for _ in range(pending):
        jobs.submit("shop")
        jobs.submit("blog")
    number = jobs.submit("new")
    came: list[str] = []
    while True:
        found, token, _ = jobs.claim()
        if found == number:
            break
        came.append(token)
    assert came.count("shop") <= 2
    assert came.count("blog") <= 2


def test_the_first_job_of_a_token_runs_second_beside_a_long_backlog() -> None:
    jobs = WaitingJobs()
    for _ in range(60):
        jobs.submit("shop")
    for _ in range(7):
        jobs.claim()
    number = jobs.submit("blog")
    assert number in (jobs.claim()[0], jobs.claim()[0])


@given(moves)
def test_two_tokens_that_both_wait_take_turns(before: Sequence[str]) -> None:
    """While both have waiting jobs, neither gets two more turns than the other."""
    jobs = WaitingJobs()
    for move in before:
        if move != "claim":
            jobs.submit(move)
        elif jobs.waiting:
            jobs.claim()
    jobs.waiting.clear()
    for _ in range(30):
        jobs.submit("shop")
    for _ in range(30):
        jobs.submit("blog")
    done = {"shop": 0, "blog": 0}
    for _ in range(50):
        _, token, _ = jobs.claim()
        done[token] += 1
        assert abs(done["shop"] - done["blog"]) <= 2


@given(st.lists(st.tuples(st.sampled_from(list(Urgency)), st.integers(0, 200_000_000)), min_size=2, max_size=30))
def test_the_jobs_of_a_token_and_urgency_stay_in_order(submitted: Sequence[tuple[Urgency, int]]) -> None:
    jobs = WaitingJobs()
    for urgency, pixels in submitted:
        jobs.submit("shop", urgency, pixels)
    came = [jobs.claim() for _ in submitted]
    for urgency in Urgency:
        numbers = [number for number, _, of in came if of is urgency]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize(("urgency", "at_most"), [(Urgency.UPGRADE, 5), (Urgency.WARM_UP, 21)])
def test_others_yield_to_pages_and_do_not_starve(urgency: Urgency, at_most: int) -> None:
    """Also where pages never end."""
    jobs = WaitingJobs()
    number = jobs.submit("shop", urgency)
    came = 0
    while True:
        jobs.submit("shop")
        jobs.submit("shop")
        came += 1
        if jobs.claim()[0] == number:
            break
    assert at_most // 2 <= came <= at_most


def test_of_twenty_one_turns_sixteen_are_pages() -> None:
    jobs = WaitingJobs()
    for urgency in Urgency:
        for _ in range(500):
            jobs.submit("shop", urgency)
    came = [jobs.claim()[2] for _ in range(210)]
    assert [came.count(each) for each in Urgency] == [
        pytest.approx(160, abs=2),
        pytest.approx(40, abs=2),
        pytest.approx(10, abs=2),
    ]


def test_a_huge_image_costs_more_turns_and_a_small_one_no_fewer() -> None:
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
def test_the_number_of_all_pending_jobs_is_bounded(depth: int, submissions: Sequence[int]) -> None:
    """depth * (1 + 1/2 + ... + 1/k) with k tokens, in any order of submissions; and each may have one."""
    pending: dict[int, int] = {}
    for token in submissions:
        others = pending.keys() | {token}
        if not is_full(of_token=pending.get(token, 0), tokens=len(others), depth=depth):
            pending[token] = pending.get(token, 0) + 1
    tokens = len(pending)
    assert pending.keys() == set(submissions)
    assert sum(pending.values()) <= sum(max(1, depth / n) for n in range(1, tokens + 1)) + 1e-9


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


# Pauses


def test_pauses_grow_and_have_an_end() -> None:
    retry_policy = RetryPolicy()
    assert [retry_policy.after_attempt(n) for n in (1, 2, 3)] == [1, 4, 16]
    assert [retry_policy.after_failure(n) for n in (1, 2, 3, 9, 10, 10_000)] == [300, 600, 1200, 76_800, 86_400, 86_400]
    assert [pause_s(n) for n in (1, 2, 3, 4, 5, 10_000)] == [5, 10, 20, 40, 60, 60]


def test_the_estimate_shares_the_work() -> None:
    assert eta_s(place=1, workers=4, job_s=2, wait_s=0) == 2, "one job is not shared by four workers"
    assert eta_s(place=8, workers=4, job_s=2, wait_s=0) == 4
    assert eta_s(place=8, workers=0, job_s=2, wait_s=0) == 16, "as if one worked"
    assert eta_s(place=1, workers=1, job_s=2, wait_s=30) == 32
