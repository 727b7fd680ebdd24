"""The fair semaphore: slots that clients share."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.concurrency.clients import Client
from pellucid.concurrency.fair_semaphore import FairSemaphore
from pellucid.errors import BusyError

CROWD, OTHER = Client("192.0.2.1"), Client("192.0.2.2")


class Desk:
    """Callers that hold a slot until the test releases it."""

    def __init__(self, places: FairSemaphore) -> None:
        self.places = places
        self.inside: list[tuple[Client, asyncio.Event]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def send(self, client: Client, count: int = 1) -> None:
        self.tasks += [asyncio.create_task(self._stay(client)) for _ in range(count)]
        await asyncio.sleep(0)

    async def _stay(self, client: Client) -> None:
        async with self.places.acquire(client):
            leave = asyncio.Event()
            self.inside.append((client, leave))
            await leave.wait()

    async def let_go(self) -> None:
        """Release the slot of the first caller."""
        self.inside.pop(0)[1].set()
        for _ in range(3):
            await asyncio.sleep(0)

    @property
    def clients(self) -> list[Client]:
        return [client for client, _ in self.inside]


async def test_clients_take_turns() -> None:
    desk = Desk(FairSemaphore(1, max_waiting=1000))
    await desk.send(CROWD, 100)
    await desk.send(OTHER)
    await desk.let_go()
    # One call of the crowd was first; then it is the other client's turn, despite 98 waiting calls.
    await desk.let_go()
    assert desk.clients == [OTHER]
    for task in desk.tasks:
        task.cancel()


async def test_a_single_client_may_have_all_slots() -> None:
    desk = Desk(FairSemaphore(4, max_waiting=10))
    await desk.send(CROWD, 4)
    assert desk.clients == [CROWD] * 4
    for task in desk.tasks:
        task.cancel()


async def test_no_client_holds_more_than_its_share() -> None:
    desk = Desk(FairSemaphore(4, per_client=2, max_waiting=10))
    await desk.send(CROWD, 5)
    assert desk.clients == [CROWD] * 2
    await desk.send(OTHER)
    assert desk.clients == [CROWD, CROWD, OTHER]
    for task in desk.tasks:
        task.cancel()


async def test_no_client_fills_the_whole_queue() -> None:
    desk = Desk(FairSemaphore(1, max_waiting=4, max_waiting_per_client=2))
    await desk.send(CROWD, 3)
    with pytest.raises(BusyError):
        async with desk.places.acquire(CROWD):
            pass
    await desk.send(OTHER, 2)
    assert desk.places.waiting == 4
    with pytest.raises(BusyError):
        async with desk.places.acquire(Client("192.0.2.3")):
            pass
    for task in desk.tasks:
        task.cancel()


async def test_waiting_times_out() -> None:
    places = FairSemaphore(1, max_waiting=4)
    async with places.acquire(CROWD):
        with pytest.raises(BusyError):
            async with places.acquire(OTHER, timeout_s=0.01):
                pass
        assert places.waiting == 0
    assert places.free == 1


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from(["come", "leave", "cancel"]), st.integers(0, 3)), max_size=60),
)
def test_no_slot_is_lost_or_granted_twice(places: int, per_client: int, steps: list[tuple[str, int]]) -> None:
    async def play() -> None:
        semaphore = FairSemaphore(places, per_client=per_client, max_waiting=1000)
        desk = Desk(semaphore)
        for step, number in steps:
            if step == "come":
                await desk.send(Client(str(number)))
            elif step == "leave" and desk.inside:
                await desk.let_go()
            elif step == "cancel" and desk.tasks:
                # Perhaps at the moment when its turn comes.
                task = desk.tasks.pop(number % len(desk.tasks))
                task.cancel()
            held = places - semaphore.free
            assert 0 <= held <= places
        for task in desk.tasks:
            task.cancel()
        await asyncio.gather(*desk.tasks, return_exceptions=True)
        for _ in range(5):
            await asyncio.sleep(0)
        assert (semaphore.free, semaphore.waiting) == (places, 0)

    asyncio.run(play())


async def test_the_first_flag_precedes_a_full_queue() -> None:
    semaphore = FairSemaphore(1, max_waiting=1)
    order: list[str] = []

    async def take(name: str, *, first: bool = False) -> None:
        async with semaphore.acquire(Client(name), first=first):
            order.append(name)

    async with semaphore.acquire(Client("holder")):
        waiting = asyncio.create_task(take("waiting"))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await take("late")
        check = asyncio.create_task(take("check", first=True))
        await asyncio.sleep(0)
    await asyncio.gather(waiting, check)
    assert order == ["check", "waiting"]
    assert (semaphore.free, semaphore.waiting) == (1, 0)
