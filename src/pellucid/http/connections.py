"""The connections of one web process: how many there are in all and of one client, how long each may take for what it
does, and which one goes when there is no place for another.
"""

from __future__ import annotations

import enum
import ipaddress
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pellucid.concurrency.clients import Client, client_network

MIB = 1 << 20

SWEEP_S = 0.5
"""How often the owner calls `sweep`: what a deadline is exceeded by at most."""

_LEAVE_S = 1.0
"""What a refused client gets to read why: a socket that is closed while bytes arrive is reset, and its last answer
with it (RFC 9112, section 9.6)."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Bounds of one process.

    * `total`, `per_client`: open connections. `trusted` proxies have no bound of their own: everybody comes through
      them.
    * `head_s`: from the connection, or from the first byte on one that was kept, to the end of a request's head.
    * `idle_s`: between an answer and the next request.
    * `stall_s`: an answer of which the client takes nothing for so long is dropped; `answer_s`: one that it takes
      slowly.
    * `unsent_bytes`, `unsent_bytes_per_client`: answers that wait in memory for their clients. One answer of a client
      may be larger.
    * `head_bytes`, `url_bytes`, `header_lines`: of a request.
    """

    total: int = 4096
    per_client: int = 256
    trusted: Sequence[Network] = ()
    head_s: float = 10.0
    idle_s: float = 15.0
    stall_s: float = 30.0
    answer_s: float = 900.0
    unsent_bytes: int = 256 * MIB
    unsent_bytes_per_client: int = 64 * MIB
    head_bytes: int = 64 << 10
    url_bytes: int = 32 << 10
    header_lines: int = 100


class Phase(enum.IntEnum):
    """What a connection waits for. Numbers, which hash faster than members of an Enum: each request looks some up."""

    HEAD = enum.auto()
    """The client: the head of a request, or the rest of a body that nobody reads."""
    BUSY = enum.auto()
    """Us: an answer."""
    IDLE = enum.auto()
    """The client's next request."""
    LEAVING = enum.auto()
    """The client has been told that it is refused."""


class Connection(ABC):
    """What the table knows of a connection, and can do to it. It is in phase HEAD before `admit`, which sets
    `owner` and `trusted`.
    """

    __slots__ = ()  # those who implement it say where its attributes lie

    address: str
    """The other end, '' where it has no address."""
    phase: Phase
    owner: Client
    trusted: bool

    @abstractmethod
    def unsent_bytes(self) -> int:
        """Bytes of answers in this process's memory."""

    @abstractmethod
    def untaken_bytes(self) -> int:
        """The same, and those that the kernel holds for the client: it falls whenever the client takes some."""

    @abstractmethod
    def expire(self) -> None:
        """Its phase took too long: close it."""

    @abstractmethod
    def drop(self) -> None:
        """Close it now, and free what it holds in this process and in the kernel."""


@dataclass(slots=True, eq=False)
class _Holder:
    """The connections of one client, by phase, oldest first."""

    count: int = 0
    phases: dict[Phase, dict[Connection, None]] = field(default_factory=lambda: {phase: {} for phase in Phase})


@dataclass(slots=True, eq=False)
class _Unsent:
    """An answer that its client has not taken yet."""

    size_bytes: int
    untaken_bytes: int
    since: float
    progress_at: float


class Connections:
    """All connections of the process. For one event loop; `sweep` is to be called every `SWEEP_S`."""

    def __init__(self, limits: ConnectionLimits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.stopping = False
        """Whether every connection is closed after its answer."""
        self._clock = clock
        # Deadlines of one phase are all equally far away, so the order of entry is the order of deadlines.
        self._deadlines: dict[Phase, dict[Connection, float]] = {phase: {} for phase in Phase}
        self._time_s = {
            Phase.HEAD: limits.head_s,
            Phase.BUSY: float("inf"),
            Phase.IDLE: limits.idle_s,
            Phase.LEAVING: _LEAVE_S,
        }
        self._holders: dict[Client, _Holder] = {}
        self._count = 0
        # Clients by their number of connections: the one with most is found at once, also among thousands.
        self._by_count: dict[int, dict[Client, None]] = {}
        self._most = 0
        self._unsent: dict[Connection, _Unsent] = {}
        self._unsent_bytes = 0
        self._unsent_of: Counter[Client] = Counter()
        self._is_trusted = lru_cache(maxsize=4096)(self._find_trusted)

    def __len__(self) -> int:
        return self._count

    def count(self, phase: Phase) -> int:
        """Connections in `phase`."""
        return len(self._deadlines[phase])

    def of_client(self, client: Client) -> int:
        """Connections of one client."""
        holder = self._holders.get(client)
        return 0 if holder is None else holder.count

    @property
    def unsent_bytes(self) -> int:
        """Answers that wait for their clients, as last looked at."""
        return self._unsent_bytes

    def admit(self, connection: Connection) -> bool:
        """Take in a new connection, in phase HEAD; others are closed for it if need be. False: there is no place."""
        connection.owner = client_network(connection.address)
        connection.trusted = self._is_trusted(connection.address)
        own = self.of_client(connection.owner)
        if not connection.trusted and own >= self.limits.per_client and not self._close_waiting(connection.owner):
            return False
        if self._count >= self.limits.total and not self._make_room(own):
            return False
        self._resize(connection.owner, 1)
        connection.phase = Phase.HEAD
        self._holders[connection.owner].phases[Phase.HEAD][connection] = None
        self._deadlines[Phase.HEAD][connection] = self._clock() + self._time_s[Phase.HEAD]
        return True

    def enter(self, connection: Connection, phase: Phase) -> None:
        """`connection` is in `phase` from now on."""
        # Twice a request: written out, this takes a third less than in two calls.
        before = connection.phase
        if self._deadlines[before].pop(connection, None) is None:
            return
        phases = self._holders[connection.owner].phases
        del phases[before][connection]
        connection.phase = phase
        phases[phase][connection] = None
        self._deadlines[phase][connection] = self._clock() + self._time_s[phase]

    def forget(self, connection: Connection) -> None:
        """`connection` is closed. To be called as often as one likes."""
        self._forget_unsent(connection)
        if self._deadlines[connection.phase].pop(connection, None) is not None:
            del self._holders[connection.owner].phases[connection.phase][connection]
            self._resize(connection.owner, -1)

    def note_unsent(self, connection: Connection) -> None:
        """The client of `connection` has not taken all of an answer yet: its progress is watched from now on, and
        others that make less may have to go.
        """
        if connection not in self._deadlines[connection.phase]:
            return
        size_bytes = connection.unsent_bytes()
        known = self._unsent.get(connection)
        if known is not None:
            self._set_unsent(connection, known, size_bytes)
            known.untaken_bytes = max(known.untaken_bytes, connection.untaken_bytes())
        elif size_bytes:
            now = self._clock()
            known = self._unsent[connection] = _Unsent(0, connection.untaken_bytes(), now, now)
            self._set_unsent(connection, known, size_bytes)
        self._bound_unsent(connection)

    def sweep(self) -> None:
        """Close what took too long."""
        now = self._clock()
        for connection, unsent in list(self._unsent.items()):
            self._look_at(connection, unsent, now)
        for phase in (Phase.HEAD, Phase.IDLE, Phase.LEAVING):
            expired: list[Connection] = []
            for connection, deadline in self._deadlines[phase].items():
                if deadline > now:
                    break
                expired.append(connection)
            for connection in expired:
                if phase is Phase.IDLE and connection in self._unsent:
                    self.enter(connection, Phase.IDLE)  # it still reads: idle only when it has everything
                else:
                    connection.expire()

    def drop_all(self) -> None:
        """Close everything at once."""
        for phase in Phase:
            for connection in list(self._deadlines[phase]):
                connection.drop()

    # Whose turn it is to go

    def _make_room(self, newcomers: int) -> bool:
        """Close one for the sake of a client that has `newcomers` connections.

        First what waits for the client that has most, then what waits for any other. An answer that is being made is
        given up only if its client has more than twice as many connections as the newcomer, and is no proxy.
        """
        heaviest = next(iter(self._by_count[self._most])) if self._most else None
        if heaviest is not None and self._close_waiting(heaviest):
            return True
        if self._evict_oldest(self._deadlines[phase] for phase in (Phase.IDLE, Phase.HEAD)):
            return True
        if heaviest is None or self._most <= 2 * (newcomers + 1):
            return False
        busy = next(iter(self._holders[heaviest].phases[Phase.BUSY]))
        if busy.trusted:
            return False
        self._evict(busy)
        return True

    def _close_waiting(self, client: Client) -> bool:
        """Close the oldest of `client` that is not being answered; False when there is none."""
        holder = self._holders[client]
        return self._evict_oldest(holder.phases[phase] for phase in (Phase.LEAVING, Phase.IDLE, Phase.HEAD))

    def _evict_oldest(self, groups: Iterable[Iterable[Connection]]) -> bool:
        """Of the first group that has one; those that still take an answer only if there are no others at all."""
        still_taking: Connection | None = None
        for group in groups:
            for connection in group:
                if connection not in self._unsent:
                    self._evict(connection)
                    return True
                still_taking = still_taking or connection
        if still_taking is not None:
            self._evict(still_taking)
        return still_taking is not None

    def _evict(self, connection: Connection) -> None:
        self.forget(connection)  # not when the kernel says that it is closed: the place is given away now
        connection.drop()

    # Answers that are not taken

    def _look_at(self, connection: Connection, unsent: _Unsent, now: float) -> None:
        self._set_unsent(connection, unsent, connection.unsent_bytes())
        if not unsent.size_bytes:
            self._forget_unsent(connection)
            return
        unaccepted = connection.untaken_bytes()
        if unaccepted < unsent.untaken_bytes:
            unsent.progress_at = now
        unsent.untaken_bytes = unaccepted
        if now - unsent.progress_at > self.limits.stall_s or now - unsent.since > self.limits.answer_s:
            self._evict(connection)

    def _bound_unsent(self, connection: Connection) -> None:
        """Drop what makes least progress while answers take too much, first of this client, then of all."""
        owner, limits = connection.owner, self.limits
        if not connection.trusted and self._unsent_of[owner] > limits.unsent_bytes_per_client:
            of_client = {each: unsent for each, unsent in self._unsent.items() if each.owner == owner}
            self._drop_beyond(of_client, limits.unsent_bytes_per_client)
        if self._unsent_bytes > limits.unsent_bytes:
            self._drop_beyond(dict(self._unsent), limits.unsent_bytes)

    def _drop_beyond(self, answers: dict[Connection, _Unsent], limit_bytes: int) -> None:
        # Most of what was noted half a second ago has been taken since.
        for each, unsent in list(answers.items()):
            self._set_unsent(each, unsent, each.unsent_bytes())
            if not unsent.size_bytes:
                self._forget_unsent(each)
                del answers[each]
        total = sum(each.size_bytes for each in answers.values())
        while total > limit_bytes and len(answers) > 1:
            victim = min(answers, key=lambda each: (answers[each].progress_at, -answers[each].size_bytes))
            total -= answers.pop(victim).size_bytes
            self._evict(victim)

    # The tables

    def _set_unsent(self, connection: Connection, unsent: _Unsent, size_bytes: int) -> None:
        more = size_bytes - unsent.size_bytes
        unsent.size_bytes = size_bytes
        self._unsent_bytes += more
        self._unsent_of[connection.owner] += more

    def _forget_unsent(self, connection: Connection) -> None:
        unsent = self._unsent.pop(connection, None)
        if unsent is not None:
            self._set_unsent(connection, unsent, 0)
            if not self._unsent_of[connection.owner]:
                del self._unsent_of[connection.owner]

    def _resize(self, client: Client, by: int) -> None:
        holder = self._holders.setdefault(client, _Holder())
        if holder.count:
            group = self._by_count[holder.count]
            del group[client]
            if not group:
                del self._by_count[holder.count]
                if self._most == holder.count:
                    self._most -= 1  # right where `by` is -1; set anew below where it is 1
        holder.count += by
        self._count += by
        if holder.count:
            self._by_count.setdefault(holder.count, {})[client] = None
            self._most = max(self._most, holder.count)
        else:
            del self._holders[client]

    def _find_trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self.limits.trusted)
