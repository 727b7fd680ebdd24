"""The port: workers say who they are while they live. An engine that runs a fleet has words of its own for this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """What a worker says of itself while it is alive."""

    worker_id: str
    pid: int
    model: str
    device: str
    precision: str
    recipe_ids: tuple[str, ...] = ()
    """It makes mattes of these recipes only."""


class WorkerSession(Protocol):
    """One worker's place among those at work."""

    def ensure(self) -> None:
        """Hold it still, whatever happened to the folder."""
        ...

    def leave(self) -> None:
        """Be at work no more."""
        ...


class WorkerRegistry(Protocol):
    """Those at work on one store. Methods may block for a millisecond, and raise OSError."""

    def join(self, info: WorkerInfo) -> WorkerSession:
        """Be at work from now on, until the process ends or leaves. Raises WorkerNameError when a living worker has
        that name.
        """
        ...

    def alive(self) -> tuple[WorkerInfo, ...]:
        """Those that live now, by name."""
        ...

    def dead(self) -> tuple[str, ...]:
        """Names of workers that ended without leaving, until they are buried."""
        ...

    def remove_dead(self, worker_id: str) -> None:
        """Forget a dead one."""
        ...
