"""The table of connections: who has a place, who goes, what takes too long."""

from __future__ import annotations

import ipaddress

from pellucid.http.connections import Connection, ConnectionLimits, Connections, Phase


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Socket(Connection):
    """A connection without a network."""

    def __init__(self, table: Connections, address: str) -> None:
        self._table = table
        self.address = address
        self.unsent = 0
        self.unaccepted = 0
        self.ended = ""
        self.admitted = table.admit(self)

    def unsent_bytes(self) -> int:
        return self.unsent

    def untaken_bytes(self) -> int:
        return self.unaccepted

    def expire(self) -> None:
        self.ended = "expired"
        self._table.forget(self)

    def drop(self) -> None:
        self.ended = "dropped"
        self._table.forget(self)

    def answers(self, size: int) -> None:
        self.unsent = self.unaccepted = size
        self._table.note_unsent(self)


def _table(clock: Clock | None = None, *, total: int = 4, per_client: int = 2, **more: float) -> Connections:
    limits = {"head_s": 10.0, "idle_s": 15.0, "stall_s": 30.0, "answer_s": 900.0} | more
    sizes = {name: int(limits.pop(name)) for name in ("unsent_bytes", "unsent_bytes_per_client") if name in limits}
    trusted = (ipaddress.ip_network("127.0.0.1/32"),)
    return Connections(
        ConnectionLimits(total=total, per_client=per_client, trusted=trusted, **limits, **sizes), clock=clock or Clock()
    )


def test_an_idle_connection_of_the_same_client_goes_before_a_silent_one() -> None:
    table = _table()
    silent, idle = Socket(table, "192.0.2.1"), Socket(table, "192.0.2.1")
    table.enter(idle, Phase.IDLE)
    assert Socket(table, "192.0.2.1").admitted
    assert (silent.ended, idle.ended) == ("", "dropped")
    assert len(table) == 2


def test_a_client_whose_requests_are_all_being_answered_gets_no_more() -> None:
    table = _table()
    busy = [Socket(table, "2001:db8::1"), Socket(table, "2001:db8::2")]
    for each in busy:
        table.enter(each, Phase.BUSY)
    assert not Socket(table, "2001:db8::3").admitted, "one /64 is one client"
    assert Socket(table, "2001:db8:0:1::1").admitted
    assert [each.ended for each in busy] == ["", ""]


def test_a_trusted_proxy_has_no_bound_of_its_own() -> None:
    table = _table(total=10)
    for address in ("127.0.0.1", "::ffff:127.0.0.1"):
        sockets = [Socket(table, address) for _ in range(5)]
        for each in sockets:
            table.enter(each, Phase.BUSY)
        assert all(each.admitted for each in sockets)


def test_the_client_with_most_goes_first() -> None:
    table = _table(total=4, per_client=3)
    polite = Socket(table, "192.0.2.9")
    table.enter(polite, Phase.IDLE)
    many = [Socket(table, "192.0.2.1") for _ in range(3)]
    new = Socket(table, "192.0.2.2")
    assert new.admitted
    assert (polite.ended, many[0].ended) == ("", "dropped")


def test_an_answer_is_given_up_only_for_a_client_with_far_fewer() -> None:
    table = _table(total=3, per_client=3)
    many = [Socket(table, "192.0.2.1") for _ in range(3)]
    for each in many:
        table.enter(each, Phase.BUSY)
    first = Socket(table, "192.0.2.2")
    table.enter(first, Phase.BUSY)
    assert first.admitted
    assert [each.ended for each in many] == ["dropped", "", ""]
    assert not Socket(table, "192.0.2.3").admitted, "two are not more than twice what this one would have"


def test_every_phase_has_its_time() -> None:
    clock = Clock()
    table = _table(clock, total=10, per_client=10)
    head, idle, busy = (Socket(table, "192.0.2.1") for _ in range(3))
    table.enter(idle, Phase.IDLE)
    table.enter(busy, Phase.BUSY)
    clock.now += 10
    table.sweep()
    assert (head.ended, idle.ended, busy.ended) == ("expired", "", "")
    clock.now += 5
    table.sweep()
    assert (idle.ended, busy.ended) == ("expired", "")
    clock.now += 1e6
    table.sweep()
    assert busy.ended == ""


def test_who_reads_is_left_alone_and_who_does_not_is_dropped() -> None:
    clock = Clock()
    table = _table(clock, total=10, per_client=10)
    slow, deaf = Socket(table, "192.0.2.1"), Socket(table, "192.0.2.1")
    for each in (slow, deaf):
        each.answers(1000)
        table.enter(each, Phase.IDLE)
    for _ in range(12):
        clock.now += 5
        slow.unaccepted -= 10
        table.sweep()
    assert (slow.ended, deaf.ended) == ("", "dropped")
    for _ in range(200):
        clock.now += 5
        slow.unaccepted -= 1
        table.sweep()
    assert slow.ended == "dropped", "not for ever"


def test_an_answer_that_was_taken_is_watched_no_longer() -> None:
    clock = Clock()
    table = _table(clock)
    socket = Socket(table, "192.0.2.1")
    table.enter(socket, Phase.BUSY)
    socket.answers(1000)
    socket.unsent = socket.unaccepted = 0
    table.sweep()
    clock.now += 1000
    table.sweep()
    assert socket.ended == ""
    assert table.unsent_bytes == 0


def test_answers_that_wait_are_bounded_by_client_and_in_all() -> None:
    clock = Clock()
    table = _table(clock, total=100, per_client=100, unsent_bytes=1000, unsent_bytes_per_client=500)
    one = [Socket(table, "192.0.2.1") for _ in range(3)]
    for each in one:
        clock.now += 1
        each.answers(200)
    assert [each.ended for each in one] == ["dropped", "", ""]
    alone = Socket(table, "192.0.2.2")
    alone.answers(550)
    assert alone.ended == "", "one answer may be larger"
    other = Socket(table, "192.0.2.3")
    other.answers(100)
    assert table.unsent_bytes <= 1000
    assert one[1].ended == "dropped"


def test_nothing_is_left_of_those_that_went() -> None:
    table = _table(total=50, per_client=5)
    sockets = [Socket(table, f"192.0.2.{number % 7}") for number in range(200)]
    for number, each in enumerate(sockets):
        table.enter(each, list(Phase)[number % 4])
    for each in sockets:
        table.forget(each)
        table.forget(each)
    assert len(table) == 0
    assert [table.count(phase) for phase in Phase] == [0, 0, 0, 0]
    assert table._holders == {}  # pyright: ignore[reportPrivateUsage]
    assert table._by_count == {}  # pyright: ignore[reportPrivateUsage]


def test_answers_that_were_taken_meanwhile_cost_no_connection() -> None:
    """70 MB through 70 connections in half a second, one MB at a time."""
    table = _table(total=100, per_client=100, unsent_bytes_per_client=64_000_000)
    sockets = [Socket(table, "192.0.2.1") for _ in range(70)]
    for each in sockets:
        each.answers(1_000_000)
        each.unsent = each.unaccepted = 0
    assert {each.ended for each in sockets} == {""}
    assert table.unsent_bytes <= 64_000_000
    table.sweep()
    assert table.unsent_bytes == 0


def test_who_still_takes_an_answer_goes_after_who_has_nothing_to_lose() -> None:
    table = _table(total=3)
    taking, idle = Socket(table, "192.0.2.1"), Socket(table, "192.0.2.1")
    taking.answers(500_000)
    for each in (taking, idle):
        table.enter(each, Phase.IDLE)
    silent = Socket(table, "192.0.2.1")
    assert silent.admitted
    assert (taking.ended, idle.ended) == ("", "dropped")
    other = Socket(table, "192.0.2.2")
    table.enter(other, Phase.BUSY)
    assert Socket(table, "192.0.2.3").admitted
    assert (taking.ended, silent.ended, other.ended) == ("", "dropped", "")
