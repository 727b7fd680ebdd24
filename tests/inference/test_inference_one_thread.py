"""One thread does what others ask for; models are loaded, run and given up in it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pellucid.inference.one_thread import OneThread
from pellucid.inference.runtime import Precision, Session
from tiny import TINY_SIDE, TinyModel

_SIZE = TINY_SIDE, TINY_SIDE


class _Thing:
    """Something that a task works on."""


def _session(tiny_model: TinyModel, *, streams: int = 1) -> Session:
    return Session(
        tiny_model.models_dir / "tiny.onnx",
        device="CPU",
        precision=Precision.F32,
        threads=streams,
        cache_dir=None,
        sizes=[_SIZE],
        streams=streams,
    )


def test_everything_is_done_in_one_thread_in_order() -> None:
    one = OneThread("one")
    done: list[int] = []
    threads = set()

    def do(number: int) -> int:
        threads.add(threading.get_ident())
        done.append(number)
        return -number

    futures = [one.submit(do, number) for number in range(100)]
    assert [future.result() for future in futures] == [-number for number in range(100)]
    assert done == list(range(100))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_what_is_raised_is_raised_where_it_was_asked_for_and_the_next_is_done() -> None:
    one = OneThread("one")
    with pytest.raises(ZeroDivisionError):
        one.call(lambda: 1 // 0)
    assert one.call(int, "7") == 7


def test_nothing_is_kept_of_what_was_done() -> None:
    one = OneThread("one")
    thing = _Thing()
    gone = weakref.ref(thing)
    with pytest.raises(TypeError):
        one.call(len, thing)  # type: ignore[arg-type]
    one.call(id, thing)
    one.call(int)
    del thing
    assert gone() is None, "without a collection of cycles"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_a_thread_of_its_own() -> None:
    one = OneThread("one")
    one.call(int)
    child = os.fork()
    if child == 0:
        os._exit(one.call(int, "42"))
    for _ in range(500):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.02)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child waits for ever")
    assert os.waitstatus_to_exitcode(status) == 42


_ENDING = """
import sys, time
from pellucid.inference import one_thread
one_thread._TIMEOUT_S = float(sys.argv[1])
def work():
    time.sleep(float(sys.argv[2]))
    print("finished", flush=True)
one_thread.OneThread("one").submit(work)
"""


@pytest.mark.parametrize(("max_wait_s", "takes_s", "printed"), [(20, 0.5, b"finished\n"), (0.2, 60, b"")])
def test_a_process_that_ends_lets_what_is_under_way_finish_but_not_for_ever(
    max_wait_s: float, takes_s: float, printed: bytes
) -> None:
    command = [sys.executable, "-c", _ENDING, str(max_wait_s), str(takes_s)]
    ended = subprocess.run(command, capture_output=True, timeout=40, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, printed, b"")


def test_models_of_all_threads_live_in_one(tiny_model: TinyModel) -> None:
    batch = np.ones((1, 3, TINY_SIDE, TINY_SIDE), np.float32)

    def run(_: int) -> float:
        session = _session(tiny_model)
        return float(session.run(batch).min())

    with ThreadPoolExecutor(4) as pool:
        assert min(pool.map(run, range(8))) > 0.99
    assert [thread.name for thread in threading.enumerate()].count("inference") == 1


@pytest.mark.parametrize("streams", [1, 2, 3])
def test_every_caller_gets_the_answer_to_its_own_picture(tiny_model: TinyModel, streams: int) -> None:
    """At two sizes, the second without a graph of its own: side by side or in turns, nothing is mixed up."""
    session = _session(tiny_model, streams=streams)

    def run(number: int) -> float:
        side = TINY_SIDE * (1 + number % 2)
        batch = np.full((1, 3, side, side), 4 if number % 3 else -4, np.float32)
        output = session.run(batch)
        assert output.shape == (1, 1, side, side)
        return round(float(output.mean()))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(run, range(60))) == [int(number % 3 != 0) for number in range(60)]
    assert [thread.name for thread in threading.enumerate()].count("inference") == 1


@pytest.mark.parametrize("streams", [0, -1])
def test_a_session_without_a_stream_is_refused(tiny_model: TinyModel, streams: int) -> None:
    """It would wait for ever."""
    with pytest.raises(ValueError, match="streams"):
        _session(tiny_model, streams=streams)


def test_a_stream_is_free_again_after_an_error(tiny_model: TinyModel) -> None:
    session = _session(tiny_model, streams=2)
    for _ in range(5):
        with pytest.raises(RuntimeError):
            session.run(np.zeros((1, 2, *_SIZE), np.float32))
    assert session.run(np.ones((1, 3, *_SIZE), np.float32)).shape == (1, 1, *_SIZE)


def test_a_model_is_given_up_in_the_thread_that_ran_it(tiny_model: TinyModel) -> None:
    session = _session(tiny_model)
    graphs = session._graphs
    ends: list[str] = []
    thing = _Thing()
    graphs[_SIZE].put(thing)
    weakref.finalize(thing, lambda: ends.append(threading.current_thread().name))
    del session, graphs, thing
    gc.collect()
    for _ in range(500):
        if ends:
            break
        time.sleep(0.01)
    assert ends == ["inference"]
