"""Children of the supervisor in its tests. Each records its start in a file."""

from __future__ import annotations

import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from pellucid.system.exit_codes import EXIT_CANNOT_START, EXIT_MEMORY


def _record_start(file: Path) -> int:
    """Record a start. Returns the number of earlier ones."""
    with file.open("a") as out:
        out.write("x")
    return len(file.read_text()) - 1


def cannot_start(file: Path, _: Connection) -> None:
    _record_start(file)
    sys.exit(EXIT_CANNOT_START)


def fails_twice(file: Path, _: Connection) -> None:
    if _record_start(file) < 2:
        sys.exit(1)
    time.sleep(60)


def exceeds_memory(file: Path, _: Connection) -> None:
    """Ends like a worker whose job exceeded its memory."""
    _record_start(file)
    sys.exit(EXIT_MEMORY)


def cannot_start_again(file: Path, _: Connection) -> None:
    """Fails, and at the next start finds invalid settings."""
    sys.exit(1 if _record_start(file) == 0 else EXIT_CANNOT_START)
