"""What eviction must not touch, with the database there and away."""

from __future__ import annotations

from typing import cast

from pellucid.errors import DatabaseAwayError
from pellucid.queue.queue import Queue
from pellucid.store import keys
from pellucid.wiring.web import Pins


class _Owed:
    """A queue that owes the origins `digests`; None while the database is away."""

    digests: frozenset[str] | None = frozenset()

    async def pending_origins(self) -> frozenset[str]:
        if self.digests is None:
            raise DatabaseAwayError("no connection")
        return self.digests


async def test_while_the_database_is_away_what_was_owed_stays_and_the_rest_may_go() -> None:
    owed = _Owed()
    pins = Pins(cast(Queue, owed))
    owed.digests = frozenset({"a", "b"})
    both = await pins.ask()
    assert both == {keys.origin_bytes_key("a"), keys.origin_bytes_key("b")}
    owed.digests = None
    assert await pins.ask() == both
    owed.digests = frozenset({"b"})
    assert await pins.ask() == {keys.origin_bytes_key("b")}
