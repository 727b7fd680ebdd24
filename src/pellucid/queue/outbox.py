"""Who wants to be told, and what is still to be told: `listeners` and `deliveries`. Synchronous, one thread."""

from __future__ import annotations

import json
import logging
import random
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pellucid.queue.database import Database
from pellucid.queue.port import Delivery, DeliveryKind, Listener

_log = logging.getLogger(__name__)

READY = "cutout.ready"
FAILED = "cutout.failed"

_MAX_LISTENERS = 16
"""Listeners of one job: what one request can name is one, so this bounds what a crowd can."""

_MAX_DELIVERIES = 100_000
"""Rows that may be owed, about 50 MB: what a receiver misses that is away for a day at one cutout a second."""

_PER_RECEIVER = 4
"""Deliveries to one receiver under way at a time, of all processes together."""

_BACKOFF_FACTOR = 5.0
_JITTER = 0.2
"""A pause is longer by up to this share, so that what failed together does not come back together."""

# Goes from receiver to receiver along an index and takes the first few due rows of each: a backlog of 100,000 rows for
# one that is away costs as little as one row. `place` counts within a receiver, after those under way.
_NEXT = """
WITH RECURSIVE receivers (name) AS (
    SELECT min(receiver) FROM deliveries
    UNION ALL
    SELECT (SELECT min(receiver) FROM deliveries WHERE receiver > name) FROM receivers WHERE name IS NOT NULL
)
SELECT turn FROM (
    SELECT due.turn, due.due_at,
        row_number() OVER (PARTITION BY due.receiver ORDER BY due.due_at, due.turn)
        + (SELECT count(*) FROM deliveries AS sent WHERE sent.receiver = name AND sent.claimed_until > :now) AS place
    FROM receivers JOIN deliveries AS due ON due.turn IN (
        SELECT turn FROM deliveries WHERE receiver = name AND due_at <= :now AND claimed_until <= :now
        ORDER BY due_at, turn LIMIT :per_receiver
    )
) WHERE place <= :per_receiver ORDER BY due_at, turn LIMIT :limit
"""

_CLAIM = f"""
UPDATE deliveries SET claimed_until = :until WHERE turn IN ({_NEXT})
RETURNING id, kind, url, body, attempts + 1
"""  # noqa: S608 - a constant of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRules:
    """When a delivery is tried again: `backoff_s` after the first failure, five times longer after each further one up
    to `backoff_max_s`, up to a fifth more by chance. `max_attempts` failures drop it: with these numbers after 11 hours
    and 25 minutes at the earliest.
    """

    max_attempts: int = 8
    backoff_s: float = 5
    backoff_max_s: float = 6 * 3600

    def pause_s(self, failures: int) -> float:
        """Seconds from failure number `failures` (from 1) to the next attempt, without the chance."""
        return min(self.backoff_s * _BACKOFF_FACTOR ** min(failures - 1, 30), self.backoff_max_s)


class OutboxTable:
    """Listeners and deliveries of one queue file."""

    def __init__(self, database: Database, *, rules: DeliveryRules, clock: Callable[[], float]) -> None:
        self._db = database
        self._rules = rules
        self._clock = clock

    # Listeners

    def lacks(self, key: str, notify: Sequence[Listener]) -> bool:
        """Whether `listen` would write. A read."""
        if not notify:
            return False
        known = self._listening(key)
        return len(known) < _MAX_LISTENERS and any(listener.url not in known for listener in notify)

    # The next three are parts of a transaction that the caller has begun.

    def listen(self, key: str, notify: Sequence[Listener]) -> None:
        """Put `notify` beside those who listen to job `key`, while there is room; a known URL changes nothing."""
        known = self._listening(key)
        for listener in notify:
            if len(known) < _MAX_LISTENERS and listener.url not in known:
                self._db.connection.execute(
                    "INSERT INTO listeners (key, url, image) VALUES (?, ?, ?)", (key, listener.url, listener.image)
                )
                known.add(listener.url)

    def announce(self, key: str, event: str, facts: Mapping[str, object]) -> None:
        """Owe each listener of job `key` a delivery, and forget it as a listener."""
        rows = self._db.connection.execute("SELECT url, image FROM listeners WHERE key = ?", (key,)).fetchall()
        if rows:
            self.forget(key)
            moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
            event_at = moment.replace("+00:00", "Z")
            self._insert(
                [
                    (DeliveryKind.WEBHOOK, _receiver(url), url, _message(event, event_at, {"image": image, **facts}))
                    for url, image in rows
                ]
            )

    def forget(self, key: str) -> None:
        """Nobody listens to job `key` any more."""
        self._db.connection.execute("DELETE FROM listeners WHERE key = ?", (key,))

    # Deliveries: each method is one short transaction.

    def add(self, kind: DeliveryKind, bodies: Sequence[str], *, delay_s: float) -> None:
        with self._db.writing():
            self._insert([(kind, kind.value, "", body) for body in bodies], delay_s=delay_s)

    def claim(self, limit: int, lease_s: float) -> tuple[Delivery, ...]:
        """See the port. Takes no write lock while there is nothing to claim."""
        now = self._clock()
        values = {"now": now, "per_receiver": _PER_RECEIVER, "limit": limit}
        if limit < 1 or self._db.connection.execute(_NEXT, values).fetchone() is None:
            return ()
        values["until"] = now + lease_s
        with self._db.writing() as db:
            rows = db.execute(_CLAIM, values).fetchall()
        return tuple(
            Delivery(id=delivery_id, kind=DeliveryKind(kind), url=url, body=body, attempt=attempt)
            for delivery_id, kind, url, body, attempt in rows
        )

    def delivered(self, delivery_id: str) -> None:
        with self._db.writing() as db:
            db.execute("DELETE FROM deliveries WHERE id = ?", (delivery_id,))

    def failed(self, delivery_id: str, error: str, *, pause_s: float, final: bool) -> None:
        query = "SELECT receiver, attempts + 1 FROM deliveries WHERE id = ?"
        with self._db.writing() as db:
            row = db.execute(query, (delivery_id,)).fetchone()
            if row is None:
                return  # another process, which claimed it when our lease was over, has settled it
            receiver, failures = row
            dropped = final or failures >= self._rules.max_attempts
            if dropped:
                db.execute("DELETE FROM deliveries WHERE id = ?", (delivery_id,))
            else:
                # A receiver may ask for patience, but not for ever.
                wait_s = max(self._rules.pause_s(failures), min(pause_s, self._rules.backoff_max_s))
                wait_s *= random.uniform(1, 1 + _JITTER)  # noqa: S311 - no secret
                db.execute(
                    "UPDATE deliveries SET attempts = ?, due_at = ?, claimed_until = 0 WHERE id = ?",
                    (failures, self._clock() + wait_s, delivery_id),
                )
        if dropped:
            _log.error("delivery %s to %s is given up at attempt %d: %s", delivery_id, receiver, failures, error)
        else:
            _log.warning("delivery %s to %s failed at attempt %d: %s", delivery_id, receiver, failures, error)

    # Below: parts of the transactions above.

    def _listening(self, key: str) -> set[str]:
        found = self._db.connection.execute("SELECT url FROM listeners WHERE key = ?", (key,)).fetchall()
        return {url for (url,) in found}

    def _insert(self, rows: Sequence[tuple[DeliveryKind, str, str, str]], *, delay_s: float = 0) -> None:
        """Rows of (kind, receiver, url, body), due in `delay_s`."""
        db = self._db.connection
        owed: int = db.execute("SELECT count(*) FROM deliveries").fetchone()[0]
        room = max(0, _MAX_DELIVERIES - owed)
        if len(rows) > room:
            _log.error("%d deliveries are dropped: %d are owed already", len(rows) - room, owed)
        now = self._clock()
        db.executemany(
            "INSERT INTO deliveries (id, kind, receiver, url, body, due_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (f"msg_{uuid.uuid4().hex}", kind.value, receiver, url, body, now + delay_s, now)
                for kind, receiver, url, body in rows[:room]
            ],
        )


def _receiver(url: str) -> str:
    """Scheme and host: what may be logged of a URL whose path or query may be a secret."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split(r'[/?#]', rest, maxsplit=1)[0].rpartition('@')[2]}"


def _message(event: str, event_at: str, data: Mapping[str, object]) -> str:
    return json.dumps({"type": event, "timestamp": event_at, "data": data}, separators=(",", ":"))
