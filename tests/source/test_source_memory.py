"""The memory for bodies: a bound in all and by client, turns, and no waiting in a circle."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from origin_servers import make_fetcher, serving
from origin_world import World, at

from pellucid.concurrency.clients import Client
from pellucid.customers.customer import DEFAULT_CUSTOMER
from pellucid.errors import BusyError, UnsupportedFormatError
from pellucid.source.limits import FetchLimits
from pellucid.source.memory import FIRST_BYTES, BodyMemory, Reservation
from pellucid.spec import OriginRef

MB = 1 << 20
A, B, C = Client("a"), Client("b"), Client("c")


async def grow(reservation: Reservation, size_bytes: int, *, known: bool = True, timeout_s: float = 5) -> None:
    expected = size_bytes if known else None
    await reservation.grow(size_bytes, expected_bytes=expected, limit_bytes=size_bytes, timeout_s=timeout_s)


async def is_waiting(task: asyncio.Task[None]) -> bool:
    await asyncio.sleep(0.01)
    return not task.done()


async def test_the_sum_is_bounded_and_given_back() -> None:
    memory = BodyMemory(10 * MB, largest_bytes=4 * MB)
    with memory.reserve(A) as first, memory.reserve(B) as second, memory.reserve(C) as third:
        await grow(first, 4 * MB)
        await grow(second, 4 * MB)
        waiting = asyncio.create_task(grow(third, 4 * MB))
        assert await is_waiting(waiting)
        assert memory.held_bytes == 8 * MB
        first.settle(2 * MB)
        await waiting
        assert memory.held_bytes == 10 * MB
    assert memory.held_bytes == memory.waiting == 0


async def test_the_first_bytes_do_not_wait_unless_there_are_very_many() -> None:
    memory = BodyMemory(MB, largest_bytes=MB)
    with memory.reserve(A) as large:
        await grow(large, MB)
        small = [Reservation(memory, B) for _ in range(65)]
        for each in small[:64]:
            await grow(each, FIRST_BYTES, timeout_s=0)
        with pytest.raises(BusyError):
            await grow(small[64], FIRST_BYTES, timeout_s=0.01)
        assert memory.held_bytes == 17 * MB


async def test_one_client_does_not_get_all() -> None:
    memory = BodyMemory(8 * MB, largest_bytes=2 * MB)
    held = [Reservation(memory, A) for _ in range(4)]
    for each in held[:3]:
        await grow(each, 2 * MB)
    waiting = asyncio.create_task(grow(held[3], 2 * MB))
    assert await is_waiting(waiting)
    await grow(Reservation(memory, B), 2 * MB, timeout_s=0.01)
    held[0].release()
    await waiting


async def test_a_share_holds_one_body_at_least() -> None:
    memory = BodyMemory(4 * MB, largest_bytes=4 * MB)
    await grow(Reservation(memory, A), 4 * MB, timeout_s=0.01)


async def test_who_waits_for_much_is_not_overtaken() -> None:
    memory = BodyMemory(10 * MB, largest_bytes=6 * MB)
    first, much, little = Reservation(memory, A), Reservation(memory, B), Reservation(memory, C)
    await grow(first, 6 * MB)
    large = asyncio.create_task(grow(much, 6 * MB))
    assert await is_waiting(large)
    small = asyncio.create_task(grow(little, 3 * MB))
    assert await is_waiting(small)
    first.release()
    await asyncio.gather(large, small)


async def test_waiting_has_an_end_and_leaves_nothing() -> None:
    memory = BodyMemory(2 * MB, largest_bytes=2 * MB)
    first, second, third = (Reservation(memory, client) for client in (A, B, C))
    await grow(first, 2 * MB)
    with pytest.raises(BusyError):
        await grow(second, 2 * MB, timeout_s=0.01)
    cancelled = asyncio.create_task(grow(third, 2 * MB))
    assert await is_waiting(cancelled)
    cancelled.cancel()
    await asyncio.wait({cancelled})
    assert memory.waiting == 0
    assert memory.held_bytes == 2 * MB


async def test_the_waiting_line_is_bounded() -> None:
    memory = BodyMemory(MB, largest_bytes=MB)
    await grow(Reservation(memory, A), MB)
    waiting = [asyncio.create_task(grow(Reservation(memory, B), MB)) for _ in range(501)]
    await asyncio.sleep(0.05)
    assert memory.waiting == 500
    with pytest.raises(BusyError):
        await waiting[500]
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)


async def test_two_bodies_half_read_do_not_wait_for_each_other() -> None:
    memory = BodyMemory(4 * MB, largest_bytes=4 * MB)
    first, second = Reservation(memory, A), Reservation(memory, B)
    await grow(first, 2 * MB, known=False)
    await grow(second, 2 * MB, known=False)
    await grow(first, 4 * MB, known=False, timeout_s=0.01)  # beyond the bound, for once
    assert memory.held_bytes == 6 * MB
    waiting = asyncio.create_task(grow(second, 4 * MB, known=False))
    assert await is_waiting(waiting)
    first.release()
    await waiting


@pytest.mark.parametrize(("bodies", "clients"), [(8, 2), (30, 4), (48, 48)])
async def test_however_many_bodies_are_half_read_all_get_through(bodies: int, clients: int) -> None:
    """As they are read: in steps, with the default bounds; none says how long it is."""
    memory = BodyMemory(256 * MB, largest_bytes=50 * MB)

    async def read(client: Client) -> None:
        with memory.reserve(client) as room:
            for size in range(MB, 51 * MB, MB):
                await room.grow(size, expected_bytes=None, limit_bytes=50 * MB, timeout_s=60)
                assert memory.held_bytes <= (256 + 50 + 16) * MB
                await asyncio.sleep(0)

    async with asyncio.timeout(30):
        await asyncio.gather(*(read(Client(str(number % clients))) for number in range(bodies)))
    assert memory.held_bytes == memory.waiting == 0


async def test_who_says_much_and_sends_little_keeps_nobody_waiting() -> None:
    """Five bodies of two clients had all memory for as long as a fetch may take, for some kB each."""
    now = 0.0
    memory = BodyMemory(256 * MB, largest_bytes=50 * MB, clock=lambda: now)

    async def come(room: Reservation, size: int, *, timeout_s: float = 5) -> None:
        await room.grow(size, expected_bytes=50 * MB, limit_bytes=50 * MB, timeout_s=timeout_s)

    slow = [Reservation(memory, (A, B)[number % 2]) for number in range(4)]
    fast = Reservation(memory, A)
    for each in slow:
        await come(each, MB)
    await come(fast, MB)
    waiting = asyncio.create_task(come(Reservation(memory, C), MB))
    assert await is_waiting(waiting)
    await come(fast, 20 * MB)
    now = 3.0
    memory.reclaim()
    await waiting
    assert [each.held_bytes for each in (*slow, fast)] == [4 * MB] * 4 + [50 * MB]
    await come(slow[0], 5 * MB, timeout_s=0.01)
    assert slow[0].held_bytes == 20 * MB, "it goes on in steps"


async def test_slow_bodies_are_looked_for_while_others_wait() -> None:
    memory = BodyMemory(4 * MB, largest_bytes=4 * MB)
    slow = Reservation(memory, A)
    await slow.grow(FIRST_BYTES + 1, expected_bytes=4 * MB, limit_bytes=4 * MB, timeout_s=1)
    await grow(Reservation(memory, B), 2 * MB, timeout_s=30)
    assert slow.held_bytes < 2 * MB


async def test_a_body_that_could_not_be_stored_holds_its_memory_until_nobody_needs_it() -> None:
    memory = BodyMemory(2 * MB, largest_bytes=2 * MB)
    with memory.reserve(A) as first, memory.reserve(B) as second:
        await grow(first, MB, known=False)
        await grow(second, MB, known=False)
        await grow(first, 2 * MB, known=False)  # beyond the bound
        body = first.hand_over(bytes(2 * MB))
    assert memory.held_bytes == 2 * MB
    del body
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert memory.held_bytes == 0
    third, fourth = Reservation(memory, A), Reservation(memory, B)
    await grow(third, MB, known=False)
    await grow(fourth, MB, known=False)
    await grow(third, 2 * MB, known=False, timeout_s=0.01)  # somebody may again


Step = tuple[int, int, int]


@given(steps=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2), st.integers(1, 4 * MB)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_whatever_comes_the_bound_holds_and_all_is_given_back(steps: list[Step]) -> None:
    async def run() -> None:
        memory = BodyMemory(8 * MB, largest_bytes=4 * MB)
        reservations = [Reservation(memory, (A, B, C)[number % 3]) for number in range(8)]
        tasks: dict[int, asyncio.Task[None]] = {}
        for number, what, size in steps:
            running = tasks.get(number)
            if what == 0:
                if running is not None:
                    running.cancel()
                    await asyncio.wait({running})
                reservations[number].release()
            elif running is None or running.done():
                tasks[number] = asyncio.create_task(grow(reservations[number], size, known=what == 1))
            await asyncio.sleep(0)
            assert memory.held_bytes <= (8 + 4 + 16) * MB
            assert memory.held_bytes == sum(each.held_bytes for each in reservations)
        for _ in range(2 * len(reservations)):  # who has what it wants ends; then everybody gets it
            for number, each in enumerate(reservations):
                if number not in tasks or tasks[number].done():
                    each.release()
            await asyncio.sleep(0)
        assert all(task.done() for task in tasks.values())
        for each in reservations:
            each.release()
        assert memory.held_bytes == memory.waiting == 0
        await asyncio.gather(*tasks.values(), return_exceptions=True)

    asyncio.run(run())


# --- around fetching ---


async def test_bodies_that_wait_for_a_renderer_hold_no_memory(world: World) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"picture " + request.path.encode() + bytes(2 * MB))

    world.memory = BodyMemory(6 * MB, largest_bytes=3 * MB)
    world.probing = asyncio.Event()
    async with serving(answer) as server, make_fetcher(limits=FetchLimits(max_bytes=3 * MB)) as fetcher:
        origins = world.origins(fetcher)
        calls = [
            asyncio.create_task(origins.get(DEFAULT_CUSTOMER, at(server, f"/{number}"), client=Client(str(number))))
            for number in range(20)
        ]
        async with asyncio.timeout(10):
            while world.at_probe < 20:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert world.memory.held_bytes == 0
        assert len(world.blobs.data) == 20, "their bytes are in the store"
        world.probing.set()
        await asyncio.gather(*calls)


@pytest.mark.parametrize("said", ["length", "chunked", "packed"])
async def test_more_bodies_than_the_memory_holds_come_through_one_after_the_other(world: World, said: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if said == "length":
            response.content_length = 2 * MB
        if said == "packed":
            response.enable_compression(web.ContentCoding.deflate)
        await response.prepare(request)
        for _ in range(32):
            await response.write(bytes(64 << 10))
            await asyncio.sleep(0)
        return response

    world.memory = BodyMemory(3 * MB, largest_bytes=3 * MB)
    peak = 0
    limits = FetchLimits(max_bytes=3 * MB)
    async with serving(answer) as server, make_fetcher(limits=limits) as fetcher:

        async def one(number: int) -> None:
            nonlocal peak
            with world.memory.reserve(Client(str(number))) as room:
                await fetcher.fetch(f"{server.url}/{number}", client=Client(str(number)), room=room)
                peak = max(peak, world.memory.held_bytes)
                assert room.held_bytes == 2 * MB

        await asyncio.gather(*(one(number) for number in range(12)))
    assert peak <= (3 + 3 + 16) * MB
    assert world.memory.held_bytes == 0


async def test_no_memory_is_busy_and_not_the_origins_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=bytes(2 * MB))

    monkeypatch.setattr("pellucid.source.fetch.MEMORY_WAIT_S", 0.2)
    world.memory = BodyMemory(2 * MB, largest_bytes=2 * MB)
    async with serving(answer) as server, make_fetcher(limits=FetchLimits(max_bytes=2 * MB)) as fetcher:
        origins = world.origins(fetcher)
        with world.memory.reserve(Client("other")) as room:
            await grow(room, 2 * MB)
            with pytest.raises(BusyError, match="large origins"):
                await origins.get(DEFAULT_CUSTOMER, at(server))
        await origins.get(DEFAULT_CUSTOMER, at(server))  # at once


async def test_files_count_too(world: World, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bytes(2 * MB))
    world.memory = BodyMemory(2 * MB, largest_bytes=2 * MB)
    ref = OriginRef(alias="_files_", path="/a.png")
    async with make_fetcher(limits=FetchLimits(max_bytes=2 * MB)) as fetcher:
        origins = world.origins(fetcher)
        customer = replace(DEFAULT_CUSTOMER, aliases={"_files_": tmp_path.as_uri()})
        with world.memory.reserve(Client("other")) as room:
            await grow(room, 2 * MB)
            call = asyncio.create_task(origins.get(customer, ref))
            await asyncio.sleep(0.1)
            assert world.memory.waiting == 1
        await call
        assert world.memory.held_bytes == 0


async def test_what_begins_like_no_picture_is_not_stored(world: World) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"<html>" + bytes(500_000))

    async with serving(answer) as server, make_fetcher() as fetcher:
        origins = world.origins(fetcher)
        with pytest.raises(UnsupportedFormatError):
            await origins.get(DEFAULT_CUSTOMER, at(server))
    assert not world.blobs.data
    assert not world.probed


async def test_refused_bytes_are_deleted_unless_they_were_there(world: World) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"damaged")

    async with serving(answer) as server, make_fetcher() as fetcher:
        await world.origins(fetcher).get(DEFAULT_CUSTOMER, at(server, "/good"))
        origins = world.origins(fetcher)  # another process: this one has not probed them yet
        world.probe_error = UnsupportedFormatError("damaged")
        for path in ("/1", "/2"):
            with pytest.raises(UnsupportedFormatError):
                await origins.get(DEFAULT_CUSTOMER, at(server, path))
            assert len(world.blobs.data) == 1
        world.blobs.evict("bytes")
        with pytest.raises(UnsupportedFormatError):
            await origins.get(DEFAULT_CUSTOMER, at(server, "/3"))
        assert not world.blobs.data


async def test_bytes_evicted_before_their_turn_are_no_failure_of_the_origin(world: World) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"picture")

    world.before_probe = lambda: world.blobs.evict("bytes")
    async with serving(answer) as server, make_fetcher() as fetcher:
        origins = world.origins(fetcher)
        with pytest.raises(BusyError):
            await origins.get(DEFAULT_CUSTOMER, at(server))
        world.before_probe = lambda: None
        await origins.get(DEFAULT_CUSTOMER, at(server))
