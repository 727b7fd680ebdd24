"""What the queue must do with listeners and outgoing messages."""

from __future__ import annotations

import asyncio
import json
import logging
import time

import pytest
import sqlalchemy as sa
from queue_helpers import (
    BLOG,
    Gate,
    MakeProcess,
    MovableClock,
    Process,
    Recorder,
    break_down,
    forget,
    refuse,
    statements,
    until,
    working,
)

from pellucid.database.tables import listeners, outbox
from pellucid.queue import outbox as outbox_module
from pellucid.queue.turns import RetryPolicy, Urgency
from pellucid.queue.values import Delivery, DeliveryKind, Failed, Full, Handler, Listener

LEASE_S = 60.0

HOOK = Listener(url="https://a.example/hook?x=1", image="/h.example/a.png?w=400&bg_remove=1")
OTHER_HOOK = Listener(url="https://b.example/", image="/h.example/a.png?bg_remove=1")


async def finish(process: Process, key: str, handler: Handler | None = None) -> None:
    async with working(process, handler or Recorder()):
        assert await process.wait(key)


async def claim_all(process: Process) -> dict[str, Delivery]:
    """Claim all deliveries that are due; by URL."""
    return {delivery.url: delivery for delivery in await process.outbox.claim_deliveries(100, LEASE_S)}


def crowd_of(size: int) -> tuple[Listener, ...]:
    return tuple(Listener(url=f"https://{n}.example/", image="/i") for n in range(size))


class OutboxContract:
    """Every listener gets its message at least once. Part of `QueueContract`."""

    async def test_a_listener_gets_one_message_about_a_finished_job(self, make_process: MakeProcess) -> None:
        clock = MovableClock(now=1_700_000_000.25)
        here = await make_process(clock=clock)
        await here.enqueue("k", notify=[HOOK])
        assert await claim_all(here) == {}, "not before it is done"
        await finish(here, "k")
        (delivery,) = await here.outbox.claim_deliveries(100, LEASE_S)
        assert (delivery.kind, delivery.url, delivery.attempt) == (DeliveryKind.WEBHOOK, HOOK.url, 1)
        assert json.loads(delivery.body) == {
            "type": "cutout.ready",
            "timestamp": "2023-11-14T22:13:20.250Z",
            "data": {"image": HOOK.image, "origin_digest": "origin-of-k", "recipe_id": "r1", "attempts": 1},
        }
        await here.outbox.delivered(delivery.id)
        await here.enqueue("k")
        await finish(here, "k")
        clock.now += 86_400
        assert await claim_all(here) == {}, "a listener listens to one job"

    async def test_every_listener_of_a_job_gets_one_message(self, make_process: MakeProcess) -> None:
        here, there = await make_process(), await make_process()
        again = Listener(url=HOOK.url, image="/h.example/a.png?w=800&bg_remove=1")
        gate = Gate()
        await here.enqueue("k", urgency=Urgency.UPGRADE)
        await here.enqueue("k", notify=[HOOK, again])
        async with working(here, gate):
            await gate.reached()
            # While it runs, from another process, and for another token.
            await there.enqueue("k", token=BLOG, notify=[OTHER_HOOK, again])
            await there.enqueue("k", notify=[again])
            gate.opened.set()
            assert await here.wait("k")
        found = await claim_all(there)
        assert {url: json.loads(each.body)["data"]["image"] for url, each in found.items()} == {
            HOOK.url: HOOK.image,
            OTHER_HOOK.url: OTHER_HOOK.image,
        }
        assert len({delivery.id for delivery in found.values()}) == 2

    async def test_listeners_get_a_message_about_a_permanent_failure(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("k", notify=[HOOK])
        await finish(here, "k", refuse)
        message = json.loads((await claim_all(here))[HOOK.url].body)
        assert message["type"] == "cutout.failed"
        assert message["data"] == {
            "image": HOOK.image,
            "origin_digest": "origin-of-k",
            "recipe_id": "r1",
            "attempts": 1,
            "reason": "undecodable",
        }
        # Its pause is not over: no job is queued, so no listener is registered.
        assert isinstance((await here.submit("k", notify=[OTHER_HOOK])).receipt, Failed)
        clock.now += 301
        await here.enqueue("k")
        await finish(here, "k")
        assert OTHER_HOOK.url not in await claim_all(here)

    async def test_only_the_last_failed_attempt_sends_a_message(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock, retry_policy=RetryPolicy(attempts=2))
        await here.enqueue("k", notify=[HOOK])
        broken = Recorder(break_down)
        async with working(here, broken):
            await until(lambda: len(broken.jobs) == 1)
            await until(here.is_idle)
            assert await claim_all(here) == {}
            clock.now += 2
            assert await here.wait("k")
        data = json.loads((await claim_all(here))[HOOK.url].body)["data"]
        assert (data["reason"], data["attempts"]) == ("attempts-used-up", 2)

    async def test_listeners_of_a_job_whose_worker_hangs_get_the_message_of_the_next_worker(
        self, make_process: MakeProcess
    ) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock, lease_s=30, retry_policy=RetryPolicy(attempts=1))
        await here.enqueue("k", notify=[HOOK])
        hung = Gate()
        async with working(here, hung):
            await hung.reached()
            async with working(here, Recorder(), "w2"):
                clock.now += 31
                assert await here.wait("k")
            found = await claim_all(here)
            hung.opened.set()
        assert json.loads(found[HOOK.url].body)["type"] == "cutout.failed"
        assert await claim_all(here) == {}, "the late outcome of the hung worker sends no message"

    async def test_a_discarded_job_loses_its_listeners(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.enqueue("k", notify=[HOOK])
        await finish(here, "k", forget)
        await here.enqueue("k")
        await finish(here, "k")
        assert await claim_all(here) == {}

    async def test_a_full_queue_registers_no_listeners(self, make_process: MakeProcess) -> None:
        here = await make_process(depth=1)
        await here.enqueue("first")
        assert isinstance((await here.submit("k", notify=[HOOK])).receipt, Full)
        await finish(here, "first")
        await here.enqueue("k")
        await finish(here, "k")
        assert await claim_all(here) == {}

    async def test_one_job_can_have_many_listeners(self, make_process: MakeProcess) -> None:
        here = await make_process()
        for listener in crowd_of(40):
            assert (await here.submit("k", notify=[listener])).unregistered == ()
        await finish(here, "k")
        assert len(await claim_all(here)) == 40

    async def test_listeners_beyond_the_limit_are_returned(
        self, make_process: MakeProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first ones stay, and a listener that is registered already is not returned."""
        monkeypatch.setattr(outbox_module, "MAX_LISTENERS", 5)
        here = await make_process()
        crowd = crowd_of(8)
        assert (await here.submit("k", notify=crowd[:3])).unregistered == ()
        assert (await here.submit("k", notify=crowd[2:7])).unregistered == crowd[5:7]
        assert (await here.submit("k", notify=crowd[:5])).unregistered == ()
        assert (await here.submit("k", notify=crowd[4:])).unregistered == crowd[5:]
        await finish(here, "k")
        assert (await claim_all(here)).keys() == {each.url for each in crowd[:5]}
        await here.enqueue("another")
        assert (await here.submit("other", notify=crowd[3:])).unregistered == (), "the limit is per job"

    async def test_the_number_of_all_listeners_is_bounded_too(
        self, make_process: MakeProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outbox_module, "_MAX_ALL_LISTENERS", 5)
        here = await make_process()
        crowd = crowd_of(4)
        assert (await here.submit("a", notify=crowd)).unregistered == ()
        assert (await here.submit("b", notify=crowd)).unregistered == crowd[1:]

    async def test_a_delivery_is_claimed_by_one_process(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here, there = await make_process(clock=clock), await make_process(clock=clock)
        await here.enqueue("k", notify=crowd_of(8))
        await finish(here, "k")
        shares = await asyncio.gather(
            *(each.outbox.claim_deliveries(3, LEASE_S) for each in (here, there, here, there))
        )
        ids = [delivery.id for share in shares for delivery in share]
        assert max(map(len, shares)) == 3
        assert (len(ids), len(set(ids))) == (8, 8)
        clock.now += LEASE_S - 1
        assert await claim_all(there) == {}
        clock.now += 2
        again = await claim_all(there)
        assert {delivery.id for delivery in again.values()} == set(ids), "the process that claimed them died"
        assert {delivery.attempt for delivery in again.values()} == {1}, "an attempt without an outcome is not counted"
        assert await here.outbox.claim_deliveries(0, LEASE_S) == ()

    async def test_nothing_is_written_while_nothing_is_due(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.outbox.add_deliveries(DeliveryKind.CDN, ("later",), delay_s=25)
        with statements(here) as sent:
            assert await here.outbox.claim_deliveries(10, LEASE_S) == ()
        (only,) = sent
        assert only.lstrip().startswith("WITH")

    async def test_one_receiver_gets_a_few_at_a_time(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        for n in range(3):
            await here.enqueue(
                f"k{n}", notify=[Listener(url=f"https://slow.example/{n}/{m}", image="/i") for m in range(10)]
            )
            await finish(here, f"k{n}")
        await here.enqueue("k", notify=[HOOK])
        await finish(here, "k")
        first = await claim_all(here)
        assert HOOK.url in first, "a later receiver is not blocked"
        slow = [delivery for delivery in first.values() if "slow" in delivery.url]
        assert 1 <= len(slow) <= 8
        assert await claim_all(here) == {}
        await here.outbox.delivered(slow[0].id)
        assert len(await claim_all(here)) == 1, "its slot is free"

    async def test_a_failed_delivery_is_retried_after_growing_pauses(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("k", notify=[HOOK])
        await finish(here, "k")
        ids: set[str] = set()
        for attempt, pause_s in enumerate((5, 25, 125, 625, 3125, 15_625, 21_600), 1):
            (delivery,) = await here.outbox.claim_deliveries(1, LEASE_S)
            assert delivery.attempt == attempt
            ids.add(delivery.id)
            await here.outbox.delivery_failed(delivery.id, "status 500")
            clock.now += pause_s - 0.5
            assert await claim_all(here) == {}
            clock.now += 0.5 + 0.2 * pause_s + 0.01
        (delivery,) = await here.outbox.claim_deliveries(1, LEASE_S)
        assert delivery.attempt == 8
        await here.outbox.delivery_failed(delivery.id, "status 500")
        clock.now += 30 * 86_400
        assert await claim_all(here) == {}, "attempts are used up"
        assert ids == {delivery.id}
        assert await here.column(outbox.c.id) == []

    async def test_pauses_have_a_random_part(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("k", notify=crowd_of(16))
        await finish(here, "k")
        for delivery in (await claim_all(here)).values():
            for _ in range(3):
                await here.outbox.delivery_failed(delivery.id, "status 500")
        clock.now += 125
        came: list[int] = []
        for _ in range(26):
            came.append(len(await claim_all(here)))
            clock.now += 1
        assert sum(came) == 16
        assert max(came) < 16, "they are not all retried at the same moment"

    async def test_a_receiver_may_ask_for_a_longer_pause_up_to_a_limit(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("k", notify=[HOOK])
        await finish(here, "k")
        for asked_s, least_s, most_s in ((100, 100, 120), (1, 25, 30), (1e9, 21_600, 25_920)):
            (delivery,) = await here.outbox.claim_deliveries(1, LEASE_S)
            await here.outbox.delivery_failed(delivery.id, "status 503", pause_s=asked_s)
            clock.now += least_s - 0.5
            assert await claim_all(here) == {}
            clock.now += most_s - least_s + 0.51
        assert len(await claim_all(here)) == 1

    async def test_a_final_failure_drops_at_once(
        self, make_process: MakeProcess, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.enqueue("k", notify=[HOOK])
        await finish(here, "k")
        (delivery,) = await here.outbox.claim_deliveries(1, LEASE_S)
        await here.outbox.delivery_failed(delivery.id, "status 410", final=True)
        clock.now += 86_400
        assert await claim_all(here) == {}
        assert f"delivery {delivery.id} to https://a.example dropped at attempt 1: status 410" in caplog.text
        assert "x=1" not in caplog.text, "the query of a callback may be secret"
        await here.outbox.delivery_failed(delivery.id, "late")  # from a process that lost its claim: changes nothing
        await here.outbox.delivered(delivery.id)
        assert await claim_all(here) == {}

    async def test_a_delivery_may_be_due_later(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here = await make_process(clock=clock)
        await here.outbox.add_deliveries(DeliveryKind.CDN, ("later",), delay_s=25)
        clock.now += 24
        assert await here.outbox.claim_deliveries(10, LEASE_S) == ()
        clock.now += 2
        assert [delivery.body for delivery in await here.outbox.claim_deliveries(10, LEASE_S)] == ["later"]

    async def test_purges_are_deliveries_too(self, make_process: MakeProcess) -> None:
        clock = MovableClock()
        here, there = await make_process(clock=clock), await make_process(clock=clock)
        await here.outbox.add_deliveries(DeliveryKind.CDN, ("one", "two"))
        await here.outbox.add_deliveries(DeliveryKind.CDN, ())
        due = await there.outbox.claim_deliveries(10, LEASE_S)
        assert sorted(delivery.body for delivery in due) == ["one", "two"]
        assert {(delivery.kind, delivery.url) for delivery in due} == {(DeliveryKind.CDN, "")}
        for delivery in due:
            await there.outbox.delivered(delivery.id)
        clock.now += LEASE_S + 1
        assert await claim_all(here) == {}

    async def test_deliveries_survive_a_restart(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.enqueue("k", notify=[HOOK])
        await here.queue.aclose()
        await finish(await make_process(), "k")
        again = await make_process()
        assert list(await claim_all(again)) == [HOOK.url]
        assert await again.column(listeners.c.url) == []

    async def test_deliveries_beyond_the_limit_of_their_kind_are_dropped_and_logged(
        self, make_process: MakeProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A receiver that is down takes no room from deliveries of the other kind."""
        monkeypatch.setattr(outbox_module, "_MAX_DELIVERIES", 3)
        here = await make_process()
        with caplog.at_level(logging.ERROR):
            await here.outbox.add_deliveries(DeliveryKind.CDN, ("a", "b"))
            await here.outbox.add_deliveries(DeliveryKind.CDN, ("c", "d", "e"))
        assert await here.column(outbox.c.body) == ["a", "b", "c"]
        assert "2 deliveries dropped: 2 of their kind are pending already" in caplog.text
        await here.enqueue("k", notify=crowd_of(5))
        await finish(here, "k")
        kinds = sa.select(outbox.c.kind, sa.func.count()).group_by(outbox.c.kind).order_by(outbox.c.kind)
        assert await here.rows(kinds) == [("cdn", 3), ("webhook", 3)]

    async def test_rows_of_a_later_version_are_left_alone(self, make_process: MakeProcess) -> None:
        here = await make_process()
        await here.outbox.add_deliveries(DeliveryKind.CDN, ("ours", "theirs"))
        await here.database.run(
            lambda db: db.execute(outbox.update().where(outbox.c.body == "theirs").values(version=2, kind="pigeon"))
        )
        assert [each.body for each in await here.outbox.claim_deliveries(10, LEASE_S)] == ["ours"]
        claimed = sa.select(outbox.c.body, outbox.c.claimed_until > time.time()).order_by(outbox.c.body)
        assert await here.rows(claimed) == [("ours", True), ("theirs", False)]

    @pytest.mark.parametrize("url", ["https://[oops", "https://u@[/", "no url at all", "://", "x" * 10_000])
    async def test_no_listener_can_keep_a_job_from_ending(self, make_process: MakeProcess, url: str) -> None:
        here = await make_process()
        await here.enqueue("k", notify=[Listener(url=url, image='/"\n\u00e9')])
        await finish(here, "k")
        assert list(await claim_all(here)) == [url]
