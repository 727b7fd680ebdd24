"""Files that are written whole or not at all, by several threads, until somebody says stop."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


class StoppedError(Exception):
    """Nothing is written any more."""


class Results:
    """Each file is written under a hidden name and put in its place when it is complete. `overwrite`: what is there is
    replaced.
    """

    def __init__(self, *, overwrite: bool) -> None:
        self._overwrite = overwrite
        self._lock = threading.Lock()
        self._stopped = False
        self._parts: set[Path] = set()
        self._count = 0
        self._written: list[Path] = []

    def write(self, target: Path, data: bytes) -> None:
        """Raises FileExistsError when there is something that must not be replaced, StoppedError after `stop`."""
        part, file = self._begin(target.parent)
        try:
            with file:
                file.write(data)
            self._put_in_place(part, target)
        finally:
            self._discard(part)

    def stop(self) -> list[Path]:
        """From now on nothing comes to be, and nothing half written is left; returns what was written."""
        with self._lock:
            self._stopped = True
            for part in self._parts:
                with suppress(OSError):
                    part.unlink()
            return sorted(self._written)

    def _begin(self, folder: Path) -> tuple[Path, BinaryIO]:
        with self._lock:
            self._check()
            self._count += 1
            part = folder / f".pellucid-{os.getpid()}-{self._count}.part"
            file = part.open("xb")
            self._parts.add(part)
            return part, file

    def _put_in_place(self, part: Path, target: Path) -> None:
        with self._lock:
            self._check()
            if self._overwrite:
                part.replace(target)
            else:
                _move_where_nothing_is(part, target)
            self._written.append(target)

    def _check(self) -> None:
        if self._stopped:
            raise StoppedError

    def _discard(self, part: Path) -> None:
        with self._lock:
            self._parts.discard(part)
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _move_where_nothing_is(part: Path, target: Path) -> None:
    """Raises FileExistsError where something is: it may have come to be since somebody looked."""
    try:
        target.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links, such as an SD card's: here looking first is all there is.
        if os.path.lexists(target):
            raise FileExistsError(f"{target} is there already") from None
        part.replace(target)
