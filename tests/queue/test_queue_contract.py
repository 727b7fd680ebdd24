"""The queue's contract, on SQLite and on PostgreSQL."""

from __future__ import annotations

from queue_contract import QueueContract


class TestQueue(QueueContract):
    """All of it."""
