"""What was invalidated, told to every web process of one machine: a file of lines that each of them follows."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

_MAX_BYTES = 1 << 20
"""A longer file is begun anew; followers see that it shrank."""


class Purge(msgspec.Struct, frozen=True, kw_only=True):
    """One origin's record key (`keys.origin_record_key`) that is no longer believed."""

    record_key: str


class Purges:
    """Appends to the file and follows it. A follower begins at the end: a process that starts remembers nothing.

    Lines are appended with one write each, which the kernel does not mix (O_APPEND, well below a page).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = self._size()

    def tell(self, purges: list[Purge]) -> None:
        """Tell every process, this one included. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if self._size() > _MAX_BYTES else 0)
        fd = os.open(self._path, flags, 0o644)
        try:
            for purge in purges:
                os.write(fd, msgspec.json.encode(purge) + b"\n")
        finally:
            os.close(fd)

    def news(self) -> list[Purge] | None:
        """What was told since the last call; None when something was missed and nothing is to be believed."""
        size = self._size()
        if size == self._at:
            return []
        if size < self._at:
            self._at = size
            return None
        with self._path.open("rb") as file:
            file.seek(self._at)
            text = file.read(size - self._at)
        whole, _, _ = text.rpartition(b"\n")
        self._at += len(whole) + 1 if whole else 0
        try:
            return [msgspec.json.decode(line, type=Purge) for line in whole.splitlines()]
        except msgspec.DecodeError:
            return None

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0
