"""The command lines of both programs, run whole, with their peak memory."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryFile

from comparison.results import REMBG, FolderRun
from comparison.sides import Programs, status_mb

_POLL_S = 0.05
"""How often memory is read: 60 microseconds of work each time, the same for every program."""


def folder_command(side: str, programs: Programs, source: Path, target: Path) -> list[str]:
    """Cut every picture of `source` into `target`, with the same weights."""
    if side == REMBG:
        return [str(programs.rembg_env / "bin" / "rembg"), "p", "-m", "u2net", str(source), str(target)]
    return [sys.executable, "-m", "pellucid", "cut", str(source), "-o", str(target), "--quality", side]


def run_watched(command: list[str], programs: Programs) -> FolderRun:
    """Run to the end. Raises RuntimeError with the command's words when it fails."""
    peaks: dict[int, float] = {}
    with TemporaryFile() as words:
        started = time.perf_counter()
        with subprocess.Popen(command, env=programs.environ(), stdout=words, stderr=words) as process:
            while True:
                for pid in _tree(process.pid):
                    peaks[pid] = max(peaks.get(pid, 0), status_mb(pid, "VmHWM"))
                try:
                    code = process.wait(_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    continue
        seconds = time.perf_counter() - started
        if code:
            words.seek(0)
            raise RuntimeError(f"{command[0]} ended with {code}: {words.read().decode(errors='replace')[-2000:]}")
    return FolderRun(seconds=seconds, peak_mb=sum(peaks.values()))


def _tree(pid: int) -> list[int]:
    """The process and those it started, as far as they are alive."""
    try:
        children = " ".join(file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")).split()
    except OSError:
        return [pid]
    return [pid, *(below for child in children for below in _tree(int(child)))]
