"""`pellucid cut`: files in, cutouts out."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pellucid.cli.results import Results
from pellucid.cli.targets import Job, Plan, name_some, plan_targets
from pellucid.cli.words import counted
from pellucid.engine import Engine
from pellucid.errors import ImageError, RenderError, SettingsError
from pellucid.formats import FORMATS
from pellucid.image.encode import encode
from pellucid.image.vips import from_array
from pellucid.settings.cores import available_cores
from pellucid.settings.model import SettingsTree
from pellucid.spec import WHITE
from pellucid.wiring.engines import open_library_engine

_MOST_STREAMS = 4
"""Pictures that the model works on side by side, at most: each takes 90 to 130 MB. On two cores two of them are 1.1
times as many pictures a second as one."""

_MOST_PICTURES = 10
"""Pictures in memory, at most, however many cores there are: one of 50 megapixels takes 400 MB until it is written."""

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_Events = SimpleQueue[Future[list[str]] | signal.Signals]
"""What the main thread waits for. It does no work of its own: a signal is heard between two steps of that thread only,
and one run of a model can take longer than a person waits.
"""


class _SignalError(Exception):
    """A signal came."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.number = number


def cut_files(inputs: list[Path], output: str, settings: SettingsTree, *, overwrite: bool = False) -> int:
    """Cut out every picture of `inputs` into `output`, a folder or for one picture a file; returns 0, or 1 when some
    were not cut: they could not be, or there was a result already and `overwrite` was not said.

    SIGINT, SIGTERM and SIGHUP end the process within a second, with 128 + their number, and say what is written. Raises
    SettingsError before any work, as `plan_targets` does.
    """
    plan = plan_targets(inputs, output, overwrite=overwrite)
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    _say_what_is_left_out(plan, console)
    if not plan.jobs:
        return 1
    for folder in {job.target.parent for job in plan.jobs}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"cannot make {folder}: {error.strerror}") from error
    results = Results(overwrite=overwrite)
    try:
        with _signals() as events:
            failed = _cut_all(plan, settings, results, events, console)
    except _SignalError as stop:
        _leave(stop.number, results.stop(), plan, console, overwrite=overwrite)
    for line in failed:
        console.print(line, style="red")
    return 1 if failed or plan.present else 0


def _cut_all(plan: Plan, settings: SettingsTree, results: Results, events: _Events, console: Console) -> list[str]:
    """Cut what is planned; returns a line for each that could not be cut. Raises _SignalError."""
    failed: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    cores = available_cores()
    streams = min(settings.model.threads or cores, len(plan.jobs), _MOST_STREAMS)
    # While the model works on some pictures, others are read and written: of two cores 3 and 4 threads take 4 and 8 %
    # less time than 2.
    pool = ThreadPoolExecutor(min(cores + 2, _MOST_PICTURES))
    try:
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("loading the model", total=len(plan.jobs))
            engine = pool.submit(open_library_engine, settings, streams=streams)
            owed = {pool.submit(_cut_one, engine, job, results): job for job in plan.jobs}
            for future in owed:
                future.add_done_callback(events.put)
            while owed:
                done = _next(events)
                source = owed.pop(done).source
                bar.update(task, description=source.name)
                try:
                    for remark in done.result():
                        console.print(f"{source}: {remark}")
                except (ImageError, RenderError, OSError) as error:
                    failed.append(f"{source}: {_reason(error)}")
                bar.advance(task)
            bar.update(task, description="done")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return failed


def _cut_one(loading: Future[Engine], job: Job, results: Results) -> list[str]:
    """Write the cutout; returns what is to be said of it."""
    cutout = loading.result().cut(job.source.read_bytes())
    image = from_array(cutout.rgba())
    if not FORMATS[job.format].alpha:
        image = image.flatten(background=WHITE.rgb)
    results.write(job.target, encode(image, format=job.format, quality=None))
    damaged = ["the file is damaged or cut short: part of the picture is missing"] if cutout.damaged else []
    return damaged + (["nothing recognisable as a foreground"] if cutout.empty else [])


@contextmanager
def _signals() -> Generator[_Events]:
    """The events, to which signals come as well while this is open; those that are ignored (`nohup`) stay so."""
    events: _Events = SimpleQueue()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        events.put(signal.Signals(number))

    before = {number: signal.getsignal(number) for number in _STOPPING}
    heard = [number for number in _STOPPING if before[number] is not signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        heard = []
    for number in heard:
        signal.signal(number, on_signal)
    try:
        yield events
    finally:
        for number in heard:
            signal.signal(number, before[number])


def _next(events: _Events) -> Future[list[str]]:
    event = events.get()
    if isinstance(event, signal.Signals):
        raise _SignalError(event)
    return event


def _leave(number: signal.Signals, written: list[Path], plan: Plan, console: Console, *, overwrite: bool) -> NoReturn:
    """Say what is written and end the process: threads that are at work would keep it."""
    if written:
        how = "Without --overwrite the same command" if overwrite else "The same command"
        console.print(f"stopped: {len(written)} of {len(plan.jobs)} are written: {name_some(written)}")
        console.print(f"{how} cuts the rest.")
    else:
        console.print("stopped: nothing is written")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(128 + number)


def _say_what_is_left_out(plan: Plan, console: Console) -> None:
    if plan.hidden:
        console.print(f"left out {counted(len(plan.hidden), 'hidden file')}: {name_some(plan.hidden)}")
    if plan.present:
        words = ("picture whose result is", "it") if len(plan.present) == 1 else ("pictures whose results are", "them")
        console.print(
            f"skipped {len(plan.present)} {words[0]} there already; --overwrite replaces {words[1]}: "
            f"{name_some(plan.present)}",
            style="red",
        )


def _reason(error: Exception) -> str:
    if isinstance(error, FileExistsError):
        return "its result came to be meanwhile, and is left as it is without --overwrite"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
