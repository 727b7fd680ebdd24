"""Port of the worker registry: which workers of a store are alive. An engine for a fleet of machines implements it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker's description of itself, visible while it is alive."""

    worker_id: str
    pid: int
    model: str
    device: str
    precision: str
    recipe_ids: tuple[str, ...] = ()
    """The recipes that it computes."""


class WorkerSession(Protocol):
    """The registration of one worker."""

    def heartbeat(self) -> None:
        """Keep the registration valid, whatever happened to the folder."""
        ...

    def unregister(self) -> None:
        """End the registration."""
        ...


class WorkerRegistry(Protocol):
    """The workers of one store. Methods may block for a millisecond, and raise OSError."""

    def register(self, info: WorkerInfo) -> WorkerSession:
        """Register a worker until its process ends or unregisters it. Raises WorkerNameError when a living worker has
        that name.
        """
        ...

    def alive(self) -> tuple[WorkerInfo, ...]:
        """The living workers, by name."""
        ...

    def dead(self) -> tuple[str, ...]:
        """Names of workers that ended without unregistering, until `remove_dead`."""
        ...

    def remove_dead(self, worker_id: str) -> None:
        """Remove a dead worker from the registry."""
        ...
