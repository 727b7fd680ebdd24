"""Webhook listeners of jobs and pending outgoing messages: the tables `listeners` and `outbox`.

Functions are parts of a transaction. `Outbox` has the transactions of the senders.
"""

from __future__ import annotations

import json
import logging
import random
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import sqlalchemy as sa

from pellucid.database.database import Database
from pellucid.database.insert import insert_once
from pellucid.database.locks import Lock, lock
from pellucid.database.tables import listeners, outbox
from pellucid.queue.values import Delivery, DeliveryKind, Listener

_log = logging.getLogger(__name__)

READY = "cutout.ready"
FAILED = "cutout.failed"

_VERSION = 1
"""Version of the rows that this code writes. Rows of a later version are left alone."""

MAX_LISTENERS = 1000
"""Listeners of one job. One request can name one. The answer says if it could not be registered."""

_MAX_ALL_LISTENERS = 100_000

_MAX_DELIVERIES = 100_000
"""Pending rows of each kind, about 50 MB: what a receiver misses that is down for a day at one cutout a second. Further
rows are dropped with a log message.
"""

_PER_RECEIVER = 4
"""Deliveries to one receiver in flight at a time, of all processes together."""

_BACKOFF_FACTOR = 5.0
_JITTER = 0.2
"""Up to this share is added to a pause at random, so that deliveries that failed together are not retried together."""

# Goes from receiver to receiver along an index and takes the first few due rows of each, so a backlog of 100,000 rows
# for a receiver that is down costs as little as one row. `place` counts within a receiver, after those in flight.
_NEXT = """
WITH RECURSIVE receivers (name) AS (
    SELECT min(receiver) FROM outbox
    UNION ALL
    SELECT (SELECT min(receiver) FROM outbox WHERE receiver > name) FROM receivers WHERE name IS NOT NULL
)
SELECT id FROM (
    SELECT due.id, due.due_at, due.created_at,
        row_number() OVER (PARTITION BY due.receiver ORDER BY due.due_at, due.created_at, due.id)
        + (SELECT count(*) FROM outbox AS sent WHERE sent.receiver = name AND sent.claimed_until > :now) AS place
    FROM receivers {due}
) AS numbered WHERE place <= :per_receiver ORDER BY due_at, created_at, id LIMIT :limit
"""

_OF_RECEIVER = """
FROM outbox
WHERE receiver = name AND due_at <= :now AND claimed_until <= :now AND version <= :version
ORDER BY due_at, created_at, id LIMIT :per_receiver
"""

_DUE = {
    "sqlite": f"JOIN outbox AS due ON due.id IN (SELECT id {_OF_RECEIVER})",
    # PostgreSQL would try every pair.
    "postgresql": f"CROSS JOIN LATERAL (SELECT id, receiver, due_at, created_at {_OF_RECEIVER}) AS due",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRules:
    """When a delivery is retried. A pause is longer by up to a fifth, at random."""

    max_attempts: int = 8
    """Failures after which a delivery is dropped: with these numbers after 11 hours and 25 minutes at the earliest."""
    backoff_s: float = 5
    """Pause after the first failure, five times longer after each further one."""
    backoff_max_s: float = 6 * 3600
    """Longest pause."""

    def pause_s(self, failures: int) -> float:
        """Seconds from failure number `failures` (from 1) to the next attempt, without the random part."""
        return min(self.backoff_s * _BACKOFF_FACTOR ** min(failures - 1, 30), self.backoff_max_s)


# Listeners


def new_listeners(db: sa.Connection, key: str, notify: Sequence[Listener], *, store: str) -> tuple[Listener, ...]:
    """Those of `notify` that are not registered for the job `key` yet."""
    if not notify:
        return ()
    same = (listeners.c.store == store, listeners.c.key == key, listeners.c.url.in_([each.url for each in notify]))
    registered = set(db.scalars(sa.select(listeners.c.url).where(*same)))
    first = {each.url: each for each in reversed(notify)}  # of two with the same URL, the first
    return tuple(each for each in notify if each.url not in registered and each is first[each.url])


def add_listeners(db: sa.Connection, key: str, notify: Sequence[Listener], *, store: str) -> tuple[Listener, ...]:
    """Register `notify` for the job `key`. Returns those that exceed the number of listeners allowed."""
    new = new_listeners(db, key, notify, store=store)
    if not new:
        return ()
    of_job = sa.and_(listeners.c.store == store, listeners.c.key == key)
    count = sa.select(sa.func.count()).select_from(listeners)
    room = min(MAX_LISTENERS - (db.scalar(count.where(of_job)) or 0), _MAX_ALL_LISTENERS - (db.scalar(count) or 0))
    added = new[: max(0, room)]
    for each in added:
        db.execute(listeners.insert().values(store=store, key=key, url=each.url, image=each.image))
    if len(added) < len(new):
        _log.error("no room for %d further listeners of %s", len(new) - len(added), key)
    return new[len(added) :]


def enqueue_webhooks(
    db: sa.Connection, key: str, event: str, facts: Mapping[str, object], *, store: str, now: float
) -> None:
    """Queue a delivery to each listener of the job `key`, and delete the listeners."""
    of_job = (listeners.c.store == store, listeners.c.key == key)
    rows = db.execute(sa.select(listeners.c.url, listeners.c.image).where(*of_job)).all()
    if not rows:
        return
    db.execute(listeners.delete().where(*of_job))
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    messages = [(url, _message(event, moment, {"image": image, **facts})) for url, image in rows]
    insert_deliveries(db, [_Delivery.webhook(url, body) for url, body in messages], due_at=now, now=now)


def remove_listeners(db: sa.Connection, key: str, *, store: str) -> None:
    """Delete the listeners of the job `key`."""
    db.execute(listeners.delete().where(listeners.c.store == store, listeners.c.key == key))


# Deliveries


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    """A delivery to be inserted. Its id is made before the transaction, which may run twice."""

    id: str
    kind: DeliveryKind
    receiver: str
    url: str
    body: str

    @classmethod
    def webhook(cls, url: str, body: str) -> _Delivery:
        return cls(id=_new_id(), kind=DeliveryKind.WEBHOOK, receiver=_receiver(url), url=url, body=body)

    @classmethod
    def of_kind(cls, kind: DeliveryKind, body: str) -> _Delivery:
        return cls(id=_new_id(), kind=kind, receiver=kind.value, url="", body=body)


def insert_deliveries(db: sa.Connection, deliveries: Sequence[_Delivery], *, due_at: float, now: float) -> None:
    """Insert deliveries, all of one kind."""
    kind = deliveries[0].kind.value
    pending = db.scalar(sa.select(sa.func.count()).select_from(outbox).where(outbox.c.kind == kind)) or 0
    room = max(0, _MAX_DELIVERIES - pending)
    if len(deliveries) > room:
        _log.error("%d deliveries dropped: %d of their kind are pending already", len(deliveries) - room, pending)
    rows = [
        {
            "id": each.id,
            "version": _VERSION,
            "kind": kind,
            "receiver": each.receiver,
            "url": each.url,
            "body": each.body,
            "attempts": 0,
            "due_at": due_at,
            "claimed_until": 0.0,
            "created_at": now,
        }
        for each in deliveries[:room]
    ]
    if rows:
        db.execute(insert_once(db, outbox), rows)


def _claim(db: sa.Connection, *, limit: int, until: float, now: float) -> tuple[Delivery, ...]:
    lock(db, Lock.DELIVERIES)
    ids = _due(db, limit=limit, now=now)
    if not ids:
        return ()
    db.execute(outbox.update().where(outbox.c.id.in_(ids)).values(claimed_until=until))
    query = sa.select(outbox).where(outbox.c.id.in_(ids)).order_by(outbox.c.due_at, outbox.c.created_at, outbox.c.id)
    return tuple(
        Delivery(id=row.id, kind=DeliveryKind(row.kind), url=row.url, body=row.body, attempt=row.attempts + 1)
        for row in db.execute(query)
    )


def _due(db: sa.Connection, *, limit: int, now: float) -> list[str]:
    values = {"now": now, "per_receiver": _PER_RECEIVER, "limit": limit, "version": _VERSION}
    return list(db.scalars(sa.text(_NEXT.format(due=_DUE[db.dialect.name])), values))


class Outbox:
    """Pending outgoing messages. Delivery is at least once: if the sending process dies, its message is claimed again,
    under the same id, when the lease ends. `clock` returns seconds since the epoch. Every method raises DatabaseError.
    """

    def __init__(
        self, database: Database, *, rules: DeliveryRules | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._rules = rules or DeliveryRules()
        self._clock = clock

    async def add_deliveries(self, kind: DeliveryKind, bodies: Sequence[str], *, delay_s: float = 0) -> None:
        """Add one delivery for each of `bodies`, due in `delay_s`. On return they survive the end of this process."""
        if not bodies:
            return
        now = self._clock()
        deliveries = [_Delivery.of_kind(kind, body) for body in bodies]
        await self._database.run(partial(insert_deliveries, deliveries=deliveries, due_at=now + delay_s, now=now))

    async def claim_deliveries(self, limit: int, lease_s: float) -> tuple[Delivery, ...]:
        """Claim up to `limit` due deliveries for `lease_s`. No other process gets them meanwhile.

        Only a few deliveries per receiver are in flight at a time, so that one that hangs does not block the others.
        Nothing is written if nothing is due.
        """
        now = self._clock()
        if limit < 1 or not await self._database.read(partial(_due, limit=1, now=now)):
            return ()
        return await self._database.run(partial(_claim, limit=limit, until=now + lease_s, now=now))

    async def delivered(self, delivery_id: str) -> None:
        """Delete a delivery that its receiver has accepted."""
        await self._database.run(lambda db: db.execute(outbox.delete().where(outbox.c.id == delivery_id)))

    async def delivery_failed(self, delivery_id: str, error: str, *, pause_s: float = 0, final: bool = False) -> None:
        """Record a failed attempt. The next one is due after a back-off, or after `pause_s` if that is longer. The
        delivery is dropped, with a log message, when its attempts are used up or the failure is `final`.
        """
        jitter = random.uniform(1, 1 + _JITTER)  # noqa: S311 - no secret

        def work(db: sa.Connection) -> tuple[str, int, bool] | None:
            query = sa.select(outbox.c.receiver, outbox.c.attempts).where(outbox.c.id == delivery_id)
            row = db.execute(query.with_for_update() if db.dialect.name == "postgresql" else query).first()
            if row is None:
                return None  # our lease had ended, and another process claimed and finished the delivery
            failures = row.attempts + 1
            dropped = final or failures >= self._rules.max_attempts
            if dropped:
                db.execute(outbox.delete().where(outbox.c.id == delivery_id))
            else:
                # A receiver may ask for a pause (Retry-After), but not for an endless one.
                wait_s = max(self._rules.pause_s(failures), min(pause_s, self._rules.backoff_max_s)) * jitter
                values = {"attempts": failures, "due_at": self._clock() + wait_s, "claimed_until": 0.0}
                db.execute(outbox.update().where(outbox.c.id == delivery_id).values(**values))
            return row.receiver, failures, dropped

        done = await self._database.run(work)
        if done is not None:
            receiver, failures, dropped = done
            if dropped:
                _log.error("delivery %s to %s dropped at attempt %d: %s", delivery_id, receiver, failures, error)
            else:
                _log.warning("delivery %s to %s failed at attempt %d: %s", delivery_id, receiver, failures, error)


def _new_id() -> str:
    return f"msg_{uuid.uuid4().hex}"


def _receiver(url: str) -> str:
    """Scheme and host of a URL, which may be logged. Its path and query may be secret."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split(r'[/?#]', rest, maxsplit=1)[0].rpartition('@')[2]}"


def _message(event: str, event_at: str, data: Mapping[str, object]) -> str:
    return json.dumps({"type": event, "timestamp": event_at, "data": data}, separators=(",", ":"))
