"""What the supervisor's children run in its tests. Each says in a file that it began."""

from __future__ import annotations

import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from pellucid.system.exit_codes import EXIT_CANNOT_START, EXIT_MEMORY


def _begin(file: Path) -> int:
    """How often this was called before."""
    with file.open("a") as out:
        out.write("x")
    return len(file.read_text()) - 1


def cannot_start(file: Path, _: Connection) -> None:
    _begin(file)
    sys.exit(EXIT_CANNOT_START)


def fails_twice(file: Path, _: Connection) -> None:
    if _begin(file) < 2:
        sys.exit(1)
    time.sleep(60)


def gives_pictures_up(file: Path, _: Connection) -> None:
    """Each takes more memory than it may."""
    _begin(file)
    sys.exit(EXIT_MEMORY)


def cannot_start_again(file: Path, _: Connection) -> None:
    """Killed once, it finds its settings spoilt."""
    sys.exit(1 if _begin(file) == 0 else EXIT_CANNOT_START)
