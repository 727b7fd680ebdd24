"""Both programs as resident processes that are asked one at a time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Self

from comparison.machine import plain_environ
from comparison.progress import say
from comparison.protocol import Head, receive, send
from comparison.rembg_home import BENCH
from comparison.results import REMBG, TIERS

_SETTLE_S = 0.05
"""Between two sides: thread pools spin for some milliseconds after their work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """How both programs are started. `u2net_home`: rembg's models."""

    rembg_env: Path
    u2net_home: Path

    def environ(self) -> dict[str, str]:
        """For either program; each reads its own."""
        return plain_environ() | {"U2NET_HOME": str(self.u2net_home)}

    def side_command(self, side: str, *more: str) -> list[str]:
        """The resident process of rembg or of a tier, to be started in the folder `bench`."""
        if side == REMBG:
            return [str(self.rembg_env / "bin" / "python"), "-m", "comparison.rembg_side"]
        return [sys.executable, "-m", "comparison.pellucid_side", side, *more]


class SideGoneError(RuntimeError):
    """A side ended; says with what words."""


class Side:
    """A running side. `hello` is its first message: versions, or why it is not to be had (`missing`)."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self.name = name
        self._process = process
        self._errors = errors
        self.hello = self._receive()[0]

    @classmethod
    @contextmanager
    def start(cls, name: str, programs: Programs, *more: str) -> Generator[Self]:
        """Start and, at the end, stop it. Raises SideGoneError."""
        with (
            TemporaryFile() as errors,
            subprocess.Popen(
                programs.side_command(name, *more),
                cwd=BENCH,
                env=programs.environ(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            ) as process,
        ):
            try:
                yield cls(name, process, errors)
            finally:
                process.kill()
                assert process.stdin is not None
                with suppress(BrokenPipeError):  # what a failed request left in the buffer
                    process.stdin.close()

    def cut(self, picture: bytes, *, way: str = "default", whole: bool = False) -> tuple[Head, bytes]:
        """`seconds`, `png_bytes`; the PNG's header, or all of it. Raises SideGoneError."""
        return self.ask({"do": "cut", "way": way, "whole": whole}, picture)

    def ask(self, head: Head, body: bytes) -> tuple[Head, bytes]:
        """One request, one answer, after the others' threads have gone to sleep. Raises SideGoneError."""
        assert self._process.stdin is not None
        time.sleep(_SETTLE_S)
        try:
            send(self._process.stdin, head, body)
        except BrokenPipeError:
            raise self._gone() from None
        return self._receive()

    def memory_mb(self, field: str) -> float:
        """`VmRSS` (now) or `VmHWM` (the most so far)."""
        return status_mb(self._process.pid, field)

    def _receive(self) -> tuple[Head, bytes]:
        assert self._process.stdout is not None
        try:
            return receive(self._process.stdout)
        except EOFError:
            raise self._gone() from None

    def _gone(self) -> SideGoneError:
        self._process.wait()
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip()
        return SideGoneError(f"{self.name} ended with {self._process.returncode}: {words[-2000:]}")


@contextmanager
def start_all(names: list[str], programs: Programs, warm_up: bytes) -> Generator[list[Side]]:
    """Every side, each with its model loaded and one picture cut."""
    with ExitStack() as stack:
        sides = [stack.enter_context(Side.start(name, programs)) for name in names]
        for side in sides:
            side.cut(warm_up)
        yield sides


def find_sides(programs: Programs, names: Sequence[str] = (REMBG, *TIERS)) -> dict[str, Head]:
    """The first messages of those of `names` that this machine and this Pellucid have: versions of libraries, recipe.
    What is missing is said.
    """
    hellos: dict[str, Head] = {}
    for name in names:
        with Side.start(name, programs) as side:
            if reason := side.hello.get("missing"):
                say(f"{name} is left out: {reason}")
            else:
                hellos[name] = side.hello
    return hellos


def status_mb(pid: int, field: str) -> float:
    """A memory field of /proc/PID/status in MB; 0 when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{field}:")), 0)
