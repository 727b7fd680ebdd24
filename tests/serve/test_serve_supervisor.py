"""Which ends of a child end the server, and which lead to a restart."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from supervised import cannot_start, cannot_start_again, exceeds_memory, fails_twice

from pellucid.serve.supervisor import Supervisor

pytestmark = pytest.mark.slow

_DEADLINE_S = 30.0


class _Stack(ctypes.Structure):
    """`stack_t` of sigaltstack(2)."""

    _fields_ = (("ss_sp", ctypes.c_void_p), ("ss_flags", ctypes.c_int), ("ss_size", ctypes.c_size_t))


@pytest.fixture(autouse=True)
def signals_on_the_usual_stack() -> None:
    """OpenVINO (2026.4) sets another one for the thread that compiles a model, and frees it with the model: where other
    tests did that, the next signal would end this process with SIGSEGV.
    """
    ctypes.CDLL(None).sigaltstack(ctypes.byref(_Stack(ss_flags=2)), None)  # SS_DISABLE


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Restore the signal handlers, because the supervisor installs its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _until(condition: Callable[[], bool]) -> Callable[[], None]:
    """A tick that stops the supervisor, as a signal would, once the condition holds."""
    deadline = time.monotonic() + _DEADLINE_S
    stopped: list[bool] = []

    def tick() -> None:
        # Once: another thread may have taken the signal, and a second one stops harder.
        if not stopped and condition():
            stopped.append(True)
            os.kill(os.getpid(), signal.SIGTERM)
        assert time.monotonic() < deadline

    return tick


def _starts(file: Path) -> int:
    return len(file.read_text()) if file.exists() else 0


def test_a_child_that_cannot_start_ends_the_server(tmp_path: Path) -> None:
    supervisor = Supervisor()
    supervisor.add("child", cannot_start, tmp_path / "starts")
    assert supervisor.run(tick=lambda: None) == 1
    assert _starts(tmp_path / "starts") == 1


def test_a_child_that_cannot_start_after_a_long_time_ends_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.serve.supervisor._HEALTHY_S", 0.0)
    supervisor = Supervisor()
    supervisor.add("child", cannot_start, tmp_path / "starts")
    assert supervisor.run(tick=_until(lambda: _starts(tmp_path / "starts") >= 3)) == 1


def test_a_worker_that_exceeds_its_memory_is_no_failed_start(tmp_path: Path) -> None:
    supervisor = Supervisor()
    supervisor.add("child", exceeds_memory, tmp_path / "starts")
    assert supervisor.run(tick=_until(lambda: _starts(tmp_path / "starts") >= 4)) == 0
    assert supervisor._children[0].failures == 0  # pyright: ignore[reportPrivateUsage]


def test_a_child_that_fails_is_restarted(tmp_path: Path) -> None:
    stopped: list[float] = []
    supervisor = Supervisor(on_stop=lambda: stopped.append(1))
    supervisor.add("child", fails_twice, tmp_path / "starts")
    assert supervisor.run(tick=_until(lambda: _starts(tmp_path / "starts") >= 3)) == 0
    assert stopped == [1]


def test_a_child_that_was_started_before_does_not_end_the_server(tmp_path: Path) -> None:
    supervisor = Supervisor()
    supervisor.add("child", cannot_start_again, tmp_path / "starts")
    assert supervisor.run(tick=_until(lambda: _starts(tmp_path / "starts") >= 3)) == 0


def test_a_lack_of_descriptors_does_not_end_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = Supervisor()
    supervisor.add("child", fails_twice, tmp_path / "starts")
    make_pipe = supervisor._context.Pipe  # pyright: ignore[reportPrivateUsage]
    failures = [OSError(24, "Too many open files")]

    def pipe(duplex: bool) -> object:
        if failures:
            raise failures.pop()
        return make_pipe(duplex)

    monkeypatch.setattr(supervisor._context, "Pipe", pipe)  # pyright: ignore[reportPrivateUsage]
    assert supervisor.run(tick=_until(lambda: _starts(tmp_path / "starts") >= 1)) == 0
