"""Memory for bodies that are fetched: a sum of bytes that clients share.

Each body has its own limit, but 64 of 50 MB at a time are 3 GB. So what a body takes is reserved before it is read, and
given back when the bytes are in the store.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from pellucid.concurrency.clients import Client
from pellucid.errors import BusyError

FIRST_BYTES = 256 << 10
_FIRST_SUM_BYTES = 64 * FIRST_BYTES
"""So much of each body, and so much of all, comes from memory of their own: small bodies do not wait for large ones."""

_GROWTH = 4
"""A body of unknown length, or one that comes slowly, reserves so many times what came."""

MEMORY_WAIT_S = 20.0
"""How long a body waits for memory, within the time of its fetch: it holds a fetch slot meanwhile."""

_LOOK_S = 1.0
"""While bodies wait, those that come slowly are looked for so often."""

_GRACE_S = 2.0
"""A body's speed is judged from then on: TCP starts slowly, and some origins think after their first bytes."""

_WAITING = 1000

_BUSY = "too many large origins are being fetched"


class BodyMemory:
    """`total_bytes` for all bodies, of which one client gets three quarters. `largest_bytes` is the limit of one body.

    Clients that wait get memory in turns, and nobody overtakes one that waits for much. A body of unknown length that
    is half read may have to wait for more while it holds some; several of those could wait for each other for ever, so
    one of them at a time gets what it needs beyond the bound, step by step, until it is given back. All together hold
    `total_bytes`, `largest_bytes` and 16 MiB of first bytes at most.

    A body whose sender says its length reserves all of it, so that those that have begun can be finished. Who says 50
    MB and sends hardly any would hold them for as long as a fetch may take; so while others wait, a body that at its
    speed takes longer than they wait keeps four times what came, and grows in steps from then on.
    """

    def __init__(self, total_bytes: int, *, largest_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total_bytes
        self._clock = clock
        self._share = max(largest_bytes, total_bytes - total_bytes // 4)
        self._first = 0
        self._large = 0
        self._by_client: Counter[Client] = Counter()
        # Clients in the order of their next turn; each has at least one waiter.
        self._waiters: OrderedDict[Client, deque[_Waiter]] = OrderedDict()
        self._beyond: Reservation | None = None
        # Those that hold what their sender said, and since when.
        self._declared: dict[Reservation, float] = {}
        self._look: asyncio.TimerHandle | None = None

    @property
    def held_bytes(self) -> int:
        """What all reservations hold."""
        return self._first + self._large

    @property
    def waiting(self) -> int:
        """Reservations that wait for more."""
        return sum(map(len, self._waiters.values()))

    @contextmanager
    def reserve(self, client: Client) -> Generator[Reservation]:
        """An empty reservation for `client`, released at the end of the block."""
        reservation = Reservation(self, client)
        try:
            yield reservation
        finally:
            reservation.release()

    def reclaim(self) -> None:
        """Take back what slow bodies hold beyond four times what came of them. By itself once a second while others
        wait.
        """
        now = self._clock()
        for reservation, since in list(self._declared.items()):
            lasted_s = now - since
            # At its speed it is whole `held / came * lasted` seconds after it got its memory.
            if lasted_s < _GRACE_S or reservation.held_bytes * lasted_s <= reservation.came_bytes * MEMORY_WAIT_S:
                continue
            del self._declared[reservation]
            reservation.in_steps = True
            kept = min(reservation.held_bytes, reservation.came_bytes * _GROWTH)
            self._set(reservation, reservation.first_bytes, max(0, kept - reservation.first_bytes))
        self._hand_out()

    async def grow(
        self, reservation: Reservation, size_bytes: int, *, declared: bool = False, timeout_s: float
    ) -> None:
        """For `Reservation.grow`; `declared` = `size_bytes` is what the sender said."""
        more_bytes = size_bytes - reservation.held_bytes
        if size_bytes <= FIRST_BYTES and self._first + more_bytes <= _FIRST_SUM_BYTES:
            self._set(reservation, reservation.first_bytes + more_bytes, reservation.large_bytes)
            return
        client = reservation.client
        if self.waiting >= _WAITING or len(self._waiters.get(client, ())) >= _WAITING // 2:
            raise BusyError(_BUSY)
        waiter = _Waiter(reservation, size_bytes, declared)
        self._waiters.setdefault(client, deque()).append(waiter)
        self._hand_out()
        self._look_soon()
        try:
            async with asyncio.timeout(timeout_s):
                await waiter.turn
        except BaseException as error:
            line = self._waiters.get(client)
            if line is not None and waiter in line:
                line.remove(waiter)
                if not line:
                    del self._waiters[client]
                self._hand_out()
            if isinstance(error, TimeoutError):
                if waiter.turn.done() and not waiter.turn.cancelled():
                    return  # the memory came at the same moment as the end of the waiting
                raise BusyError(_BUSY) from error
            raise

    def settle(self, reservation: Reservation, size_bytes: int) -> None:
        """For `Reservation.settle`."""
        first = min(reservation.first_bytes, size_bytes)
        self._set(reservation, first, size_bytes - first)
        self._declared.pop(reservation, None)
        if self._beyond is reservation and not size_bytes:
            self._beyond = None
        self._hand_out()

    def move(self, reservation: Reservation) -> Reservation:
        """For `Reservation.hand_over`: another one that holds what `reservation` did."""
        moved = Reservation(self, reservation.client, reservation.first_bytes, reservation.large_bytes)
        reservation.first_bytes = reservation.large_bytes = 0
        self._declared.pop(reservation, None)
        if self._beyond is reservation:
            self._beyond = moved
        return moved

    def _set(self, reservation: Reservation, first_bytes: int, large_bytes: int) -> None:
        client = reservation.client
        self._first += first_bytes - reservation.first_bytes
        self._large += large_bytes - reservation.large_bytes
        self._by_client[client] += large_bytes - reservation.large_bytes
        if not self._by_client[client]:
            del self._by_client[client]
        reservation.first_bytes, reservation.large_bytes = first_bytes, large_bytes

    def _look_soon(self) -> None:
        if self._waiters and self._look is None:
            self._look = asyncio.get_running_loop().call_later(_LOOK_S, self._look_now)

    def _look_now(self) -> None:
        self._look = None
        if self._waiters:
            self.reclaim()
            self._look_soon()

    def _hand_out(self) -> None:
        while (waiter := self._next()) is not None:
            client = waiter.reservation.client
            line = self._waiters[client]
            line.remove(waiter)
            if line:
                self._waiters.move_to_end(client)
            else:
                del self._waiters[client]
            # A cancelled turn is still in its line until its task runs again.
            if not waiter.turn.done():
                grown = waiter.reservation
                self._set(grown, grown.first_bytes, grown.large_bytes + waiter.more_bytes)
                if waiter.declared:
                    self._declared[grown] = self._clock()
                waiter.turn.set_result(None)

    def _next(self) -> _Waiter | None:
        """Who gets memory now."""
        for client, line in self._waiters.items():
            first = line[0]
            if first.turn.done():
                return first
            if self._by_client[client] + first.more_bytes > self._share:
                continue
            if self._large + first.more_bytes <= self._total:
                return first
            break
        for line in self._waiters.values():
            for waiter in line:
                half_read = self._beyond is None and waiter.reservation.large_bytes
                if half_read or waiter.reservation is self._beyond:
                    self._beyond = waiter.reservation
                    return waiter
        return None


@dataclass(eq=False, slots=True)
class Reservation:
    """What one body takes of the memory. Made by `BodyMemory.reserve`."""

    memory: BodyMemory
    client: Client
    first_bytes: int = 0
    large_bytes: int = 0
    came_bytes: int = 0
    """What has come of the body."""
    in_steps: bool = False
    """Whether it came slowly, so that nothing is held for what its sender said."""

    @property
    def held_bytes(self) -> int:
        """What it holds."""
        return self.first_bytes + self.large_bytes

    async def grow(self, size_bytes: int, *, expected_bytes: int | None, limit_bytes: int, timeout_s: float) -> None:
        """Hold `size_bytes` at least, before so many are read. `expected_bytes` is what the sender said that there are,
        None for nothing said.

        Raises BusyError when the memory did not come within `timeout_s`.
        """
        self.came_bytes = size_bytes
        if size_bytes <= self.held_bytes:
            return
        declared = expected_bytes is not None and size_bytes > FIRST_BYTES and not self.in_steps
        if size_bytes <= FIRST_BYTES:
            wanted = FIRST_BYTES
        elif expected_bytes is not None and declared:
            wanted = expected_bytes
        else:
            wanted = min(limit_bytes if expected_bytes is None else expected_bytes, size_bytes * _GROWTH)
        await self.memory.grow(self, max(wanted, size_bytes), declared=declared, timeout_s=timeout_s)

    def settle(self, size_bytes: int) -> None:
        """Hold `size_bytes`: what the body, which is whole, takes."""
        if size_bytes != self.held_bytes:
            self.memory.settle(self, size_bytes)

    def release(self) -> None:
        """Give everything back."""
        if self.held_bytes:
            self.memory.settle(self, 0)

    def hand_over(self, data: bytes | bytearray) -> HeldBody:
        """`data`, with the memory it takes: released when nobody refers to it any more."""
        return HeldBody(data, self.memory.move(self))


class HeldBody:
    """A body that could not be stored, for the answers that need it now."""

    def __init__(self, data: bytes | bytearray, reservation: Reservation) -> None:
        self.data = data
        self._reservation = reservation
        self._loop = asyncio.get_running_loop()

    def __del__(self) -> None:
        # The last reference may go in another thread.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._reservation.release)


def _turn() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False, slots=True)
class _Waiter:
    reservation: Reservation
    size_bytes: int
    declared: bool
    turn: asyncio.Future[None] = field(default_factory=_turn)

    @property
    def more_bytes(self) -> int:
        return self.size_bytes - self.reservation.held_bytes
