"""What every queue adapter must do with listeners and with what is owed to the outside."""

from __future__ import annotations

import asyncio
import json

import pytest
from queue_helpers import (
    NEVER_S,
    SOON_S,
    Gate,
    MakeQueue,
    MovableClock,
    Recorder,
    break_down,
    make_job,
    refuse,
    working,
)

from pellucid.queue.port import (
    Delivery,
    DeliveryKind,
    Failed,
    Full,
    Handler,
    Job,
    JobMootError,
    Listener,
    Priority,
    Queue,
)

LEASE_S = 60.0

HOOK = Listener(url="https://a.example/hook?x=1", image="/h.example/a.png?w=400&bg_remove=1")
OTHER_HOOK = Listener(url="https://b.example/", image="/h.example/a.png?bg_remove=1")


async def finish(queue: Queue, key: str, handler: Handler | None = None) -> None:
    async with working(queue, handler or Recorder()):
        assert await queue.wait(key, timeout_s=SOON_S)


async def claim_all(queue: Queue) -> dict[str, Delivery]:
    """Everything that is due, by URL."""
    return {delivery.url: delivery for delivery in await queue.deliveries_due(100, LEASE_S)}


class OutboxContract:
    """Who listens is told, at least once. Part of `QueueContract`."""

    async def test_a_listener_is_told_of_a_finished_job_once(self, make_queue: MakeQueue) -> None:
        clock = MovableClock(now=1_700_000_000.25)
        queue = await make_queue(clock=clock)
        await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(HOOK,))
        assert await claim_all(queue) == {}, "not before it is done"
        await finish(queue, "k")
        (delivery,) = await queue.deliveries_due(100, LEASE_S)
        assert (delivery.kind, delivery.url, delivery.attempt) == (DeliveryKind.WEBHOOK, HOOK.url, 1)
        assert json.loads(delivery.body) == {
            "type": "cutout.ready",
            "timestamp": "2023-11-14T22:13:20.250Z",
            "data": {"image": HOOK.image, "origin_digest": "origin-of-k", "recipe_id": "r1", "attempts": 1},
        }
        await queue.delivered(delivery.id)
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        await finish(queue, "k")
        clock.now += 86_400
        assert await claim_all(queue) == {}, "a listener listens to one job"

    async def test_all_listeners_of_a_job_are_told_each_once(self, make_queue: MakeQueue) -> None:
        queue, other = await make_queue(), await make_queue()
        again = Listener(url=HOOK.url, image="/h.example/a.png?w=800&bg_remove=1")
        gate = Gate()
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(HOOK,))
        async with working(queue, gate):
            await gate.reached()
            # While it runs, from another process, and with another priority.
            await other.submit(make_job("k"), priority=Priority.PATIENT, notify=(OTHER_HOOK, again))
            await other.submit(make_job("k"), priority=Priority.IMPATIENT, notify=(again,))
            gate.opened.set()
            assert await queue.wait("k", timeout_s=SOON_S)
        found = await claim_all(other)
        assert {url: json.loads(each.body)["data"]["image"] for url, each in found.items()} == {
            HOOK.url: HOOK.image,
            OTHER_HOOK.url: OTHER_HOOK.image,
        }
        assert len({delivery.id for delivery in found.values()}) == 2

    async def test_listeners_are_told_of_a_refusal(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock)
        await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(HOOK,))
        await finish(queue, "k", refuse)
        message = json.loads((await claim_all(queue))[HOOK.url].body)
        assert message["type"] == "cutout.failed"
        assert message["data"] == {
            "image": HOOK.image,
            "origin_digest": "origin-of-k",
            "recipe_id": "r1",
            "attempts": 1,
            "reason": "undecodable",
        }
        # Left alone: nothing is owed, so nobody can listen.
        assert isinstance(await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(OTHER_HOOK,)), Failed)
        clock.now += 301
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        await finish(queue, "k")
        assert OTHER_HOOK.url not in await claim_all(queue)

    async def test_only_the_last_failed_attempt_is_told(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock, max_attempts=2)
        await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(HOOK,))
        async with working(queue, break_down):
            await asyncio.sleep(NEVER_S)
            assert await claim_all(queue) == {}
            clock.now += 2
            assert await queue.wait("k", timeout_s=SOON_S)
        data = json.loads((await claim_all(queue))[HOOK.url].body)["data"]
        assert (data["reason"], data["attempts"]) == ("attempts-used-up", 2)

    async def test_listeners_of_a_job_whose_worker_hangs_are_told_by_who_takes_it(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock, lease_s=30, max_attempts=1)
        await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(HOOK,))
        hung = Gate()
        async with working(queue, hung):
            await hung.reached()
            clock.now += 31
            assert await queue.wait("k", timeout_s=SOON_S)
            found = await claim_all(queue)
            hung.opened.set()
        assert json.loads(found[HOOK.url].body)["type"] == "cutout.failed"
        assert await claim_all(queue) == {}, "what the hung one did late is told to nobody"

    async def test_a_moot_job_takes_its_listeners_along(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()

        async def act(job: Job) -> None:
            raise JobMootError("its bytes are gone")

        await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(HOOK,))
        await finish(queue, "k", act)
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        await finish(queue, "k")
        assert await claim_all(queue) == {}

    async def test_a_full_queue_takes_no_listeners(self, make_queue: MakeQueue) -> None:
        queue = await make_queue(depth_limit=1)
        await queue.submit(make_job("first"), priority=Priority.PATIENT)
        assert isinstance(await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(HOOK,)), Full)
        await finish(queue, "first")
        await queue.submit(make_job("k"), priority=Priority.PATIENT)
        await finish(queue, "k")
        assert await claim_all(queue) == {}

    async def test_a_crowd_of_listeners_is_bounded_and_the_first_stay(self, make_queue: MakeQueue) -> None:
        queue = await make_queue()
        crowd = [Listener(url=f"https://{n}.example/", image="/i") for n in range(200)]
        for start in range(0, 200, 10):
            await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=tuple(crowd[start : start + 10]))
        await finish(queue, "k")
        found = await claim_all(queue)
        assert 8 <= len(found) < 200
        assert set(found) == {listener.url for listener in crowd[: len(found)]}

    async def test_what_is_claimed_is_claimed_by_one(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue, other = await make_queue(clock=clock), await make_queue(clock=clock)
        notify = tuple(Listener(url=f"https://{n}.example/", image="/i") for n in range(8))
        await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=notify)
        await finish(queue, "k")
        shares = await asyncio.gather(*(each.deliveries_due(3, LEASE_S) for each in (queue, other, queue, other)))
        ids = [delivery.id for share in shares for delivery in share]
        assert max(map(len, shares)) == 3
        assert (len(ids), len(set(ids))) == (8, 8)
        clock.now += LEASE_S - 1
        assert await claim_all(other) == {}
        clock.now += 2
        again = await claim_all(other)
        assert {delivery.id for delivery in again.values()} == set(ids), "whoever claimed them died"
        assert {delivery.attempt for delivery in again.values()} == {1}, "no attempt is known to have failed"
        assert await queue.deliveries_due(0, LEASE_S) == ()

    async def test_one_receiver_gets_a_few_at_a_time(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock)
        for n in range(3):
            notify = tuple(Listener(url=f"https://slow.example/{n}/{m}", image="/i") for m in range(10))
            await queue.submit(make_job(f"k{n}"), priority=Priority.PATIENT, notify=notify)
            await finish(queue, f"k{n}")
        await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(HOOK,))
        await finish(queue, "k")
        first = await claim_all(queue)
        assert HOOK.url in first, "who comes later is not held up"
        slow = [delivery for delivery in first.values() if "slow" in delivery.url]
        assert 1 <= len(slow) <= 8
        assert await claim_all(queue) == {}
        await queue.delivered(slow[0].id)
        assert len(await claim_all(queue)) == 1, "its place is free"

    async def test_a_failed_delivery_is_tried_again_later_and_later(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock)
        await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(HOOK,))
        await finish(queue, "k")
        ids: set[str] = set()
        for attempt, pause_s in enumerate((5, 25, 125, 625, 3125, 15_625, 21_600), 1):
            (delivery,) = await queue.deliveries_due(1, LEASE_S)
            assert delivery.attempt == attempt
            ids.add(delivery.id)
            await queue.delivery_failed(delivery.id, "status 500")
            clock.now += pause_s - 0.5
            assert await claim_all(queue) == {}
            clock.now += 0.5 + 0.2 * pause_s + 0.01
        (delivery,) = await queue.deliveries_due(1, LEASE_S)
        assert delivery.attempt == 8
        await queue.delivery_failed(delivery.id, "status 500")
        clock.now += 30 * 86_400
        assert await claim_all(queue) == {}, "attempts are used up"
        assert ids == {delivery.id}

    async def test_pauses_differ_by_chance(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock)
        notify = tuple(Listener(url=f"https://{n}.example/", image="/i") for n in range(16))
        await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=notify)
        await finish(queue, "k")
        for delivery in (await claim_all(queue)).values():
            for _ in range(3):
                await queue.delivery_failed(delivery.id, "status 500")
        clock.now += 125
        came: list[int] = []
        for _ in range(26):
            came.append(len(await claim_all(queue)))
            clock.now += 1
        assert sum(came) == 16
        assert max(came) < 16, "not all of them come back at the same moment"

    async def test_a_receiver_may_ask_for_patience_within_reason(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock)
        await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(HOOK,))
        await finish(queue, "k")
        for asked_s, least_s, most_s in ((100, 100, 120), (1, 25, 30), (1e9, 21_600, 25_920)):
            (delivery,) = await queue.deliveries_due(1, LEASE_S)
            await queue.delivery_failed(delivery.id, "status 503", pause_s=asked_s)
            clock.now += least_s - 0.5
            assert await claim_all(queue) == {}
            clock.now += most_s - least_s + 0.51
        assert len(await claim_all(queue)) == 1

    async def test_a_final_failure_drops_at_once(self, make_queue: MakeQueue, caplog: pytest.LogCaptureFixture) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock)
        await queue.submit(make_job("k"), priority=Priority.PATIENT, notify=(HOOK,))
        await finish(queue, "k")
        (delivery,) = await queue.deliveries_due(1, LEASE_S)
        await queue.delivery_failed(delivery.id, "status 410", final=True)
        clock.now += 86_400
        assert await claim_all(queue) == {}
        assert f"delivery {delivery.id} to https://a.example is given up at attempt 1: status 410" in caplog.text
        assert "x=1" not in caplog.text, "what is in a callback's query may be a secret"
        await queue.delivery_failed(delivery.id, "late")  # by one who lost its claim: changes nothing
        await queue.delivered(delivery.id)
        assert await claim_all(queue) == {}

    async def test_a_delivery_may_be_owed_for_later(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue = await make_queue(clock=clock)
        await queue.add_deliveries(DeliveryKind.CDN, ("later",), delay_s=25)
        clock.now += 24
        assert await queue.deliveries_due(10, LEASE_S) == ()
        clock.now += 2
        assert [delivery.body for delivery in await queue.deliveries_due(10, LEASE_S)] == ["later"]

    async def test_purges_are_owed_too(self, make_queue: MakeQueue) -> None:
        clock = MovableClock()
        queue, other = await make_queue(clock=clock), await make_queue(clock=clock)
        await queue.add_deliveries(DeliveryKind.CDN, ("one", "two"))
        await queue.add_deliveries(DeliveryKind.CDN, ())
        due = await other.deliveries_due(10, LEASE_S)
        assert sorted(delivery.body for delivery in due) == ["one", "two"]
        assert {(delivery.kind, delivery.url) for delivery in due} == {(DeliveryKind.CDN, "")}
        for delivery in due:
            await other.delivered(delivery.id)
        clock.now += LEASE_S + 1
        assert await claim_all(queue) == {}
