"""Memory and descriptors of every process of a server, looked at each second."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_PROC = Path("/proc")
_LOOK_S = 1.0


@dataclass
class Peak:
    """The largest process of a title, and how many there were at a time."""

    memory_bytes: int = 0
    descriptors: int = 0
    processes: int = 0


@dataclass
class Watcher:
    """`peaks` by the title of the process."""

    root: int
    peaks: dict[str, Peak] = field(default_factory=dict)
    last: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def look(self) -> None:
        now: dict[str, list[tuple[int, int]]] = {}
        for pid in self._tree():
            with suppress(OSError, ValueError, IndexError):
                title = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace").strip()
                pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
                descriptors = sum(1 for _ in (_PROC / str(pid) / "fd").iterdir())
                if title.startswith("pellucid"):
                    now.setdefault(title, []).append((pages * 4096, descriptors))
        for title, found in now.items():
            peak = self.peaks.setdefault(title, Peak())
            peak.memory_bytes = max(peak.memory_bytes, *(memory for memory, _ in found))
            peak.descriptors = max(peak.descriptors, *(count for _, count in found))
            peak.processes = max(peak.processes, len(found))
        self.last = now

    def _tree(self) -> Iterator[int]:
        parents: dict[int, int] = {}
        for entry in _PROC.iterdir():
            if entry.name.isdigit():
                with suppress(OSError, IndexError):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        for pid in parents:
            up: int | None = pid
            while up is not None and up != self.root:
                up = parents.get(up)
            if up == self.root:
                yield pid


@contextmanager
def watching(root: int) -> Iterator[Watcher]:
    """Look until the end of the block."""
    watcher = Watcher(root)
    stop = threading.Event()

    def keep_looking() -> None:
        while not stop.wait(_LOOK_S):
            watcher.look()

    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield watcher
    finally:
        stop.set()
        thread.join()
        watcher.look()
