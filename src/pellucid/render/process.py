"""Inside a render process: take a task from the pipe, answer it, repeat until the pipe closes.

A process of its own because libvips and its decoders are C code fed with hostile bytes: when one crashes or eats all
memory, it takes down this process and one picture, not the server.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import setproctitle

from pellucid import errors
from pellucid.image.examine import examine
from pellucid.image.facts import ImageFacts
from pellucid.image.vips import harden
from pellucid.insights.detectors import Detectors
from pellucid.insights.find import find_insights
from pellucid.insights.needs import Needs
from pellucid.insights.record import InsightRecord
from pellucid.render.run import render, render_blank
from pellucid.system import memory

Tasks = Mapping[str, Callable[..., Any]]

Answer = tuple[str, Any, bool]
"""("value", result, leaving) or ("error", (class name, message), leaving): exceptions travel by name, not pickled.
`leaving` = the process still holds so much memory that it is to be replaced.
"""

KEPT_BYTES = 256 << 20
"""A process whose resident memory stays above this after a task is replaced; a fresh one has some 90 MB."""

_TRIMMED_ABOVE_BYTES = 160 << 20
"""Above this, freed memory is given back to the system after a task: 2 to 20 ms, after large pictures only."""


def tasks_of(models_dir: Path | None) -> Tasks:
    """What a render process can do, by name."""
    detectors = Detectors(models_dir)

    def look(data: bytes, facts: ImageFacts, needs: Needs, *, max_bytes: int) -> InsightRecord:
        return find_insights(data, facts, needs, detectors=detectors, max_bytes=max_bytes)

    return {"examine": examine, "render": render, "blank": render_blank, "look": look}


def main(pipe: Connection, nice: int, memory_bytes: int, kept_bytes: int, models_dir: Path | None) -> None:
    """The target of the process. Ctrl-C reaches the whole terminal group; only the parent's closing ends this one.

    The parent ends it when its resident memory exceeds `memory_bytes`. A single allocation can be faster than the
    parent looks: beyond twice as much the system refuses it. Not before: what is allocated and never touched takes
    nothing, and decoders take a refusal for a damaged file.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    setproctitle.setproctitle("pellucid: render")
    with contextlib.suppress(OSError):
        os.nice(nice)
    harden()
    memory.keep_freed()
    memory.limit_data(memory.data_bytes() + 2 * memory_bytes)
    tasks = tasks_of(models_dir)
    pipe.send(("value", os.getpid(), False))
    while True:
        try:
            name, args, kwargs = pipe.recv()
        except (EOFError, OSError):
            return
        kind, value = _do(tasks, name, args, kwargs)
        del args, kwargs
        try:
            pipe.send((kind, value, memory.give_back(_TRIMMED_ABOVE_BYTES) > kept_bytes))
        except OSError:
            return
        del value


def _do(tasks: Tasks, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Any]:
    try:
        return "value", tasks[name](*args, **kwargs)
    except errors.PellucidError as error:
        return "error", (type(error).__name__, str(error))
    except MemoryError:
        return "error", ("ImageLimitError", "the picture needs more memory than a render process has")
    except Exception as error:  # the edge of the process: a bug in one render must not end it
        return "error", ("RenderError", f"the picture could not be rendered ({type(error).__name__}: {error})")
