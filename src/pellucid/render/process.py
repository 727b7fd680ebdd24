"""Inside a render process: take a task from the pipe, answer it, repeat until the pipe closes.

A process of its own because libvips and its decoders are C code fed with hostile bytes: when one crashes or eats all
memory, it takes down this process and one picture, not the server.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import setproctitle

from pellucid import errors
from pellucid.image.probe import probe
from pellucid.image.vips import harden
from pellucid.render.run import render, render_blank

_NICE = 17
"""Between web processes (0) and matte workers (19), near the latter: with all cores busy, 1 of 100 cached pictures
takes 5 ms beside renditions at 17, 6 to 7 ms beside renditions at 5.
"""

TASKS: dict[str, Callable[..., Any]] = {"probe": probe, "render": render, "blank": render_blank}

Answer = tuple[str, Any]
"""("value", result) or ("error", (class name, message)): exceptions travel by name, not pickled."""


def main(pipe: Connection) -> None:
    """The target of the process. Ctrl-C reaches the whole terminal group; only the parent's closing ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    setproctitle.setproctitle("pellucid: render")
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    harden()
    keep_freed_memory()
    pipe.send(("value", os.getpid()))
    while True:
        try:
            name, args, kwargs = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer: Answer = ("value", TASKS[name](*args, **kwargs))
        except errors.PellucidError as error:
            answer = ("error", (type(error).__name__, str(error)))
        except MemoryError:
            answer = ("error", ("ImageLimitError", "the picture needs more memory than a render process has"))
        except Exception as error:  # the edge of the process: a bug in one render must not end it
            answer = ("error", ("RenderError", f"the picture could not be rendered ({type(error).__name__}: {error})"))
        try:
            pipe.send(answer)
        except OSError:
            return


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's malloc.h."""

_KEPT_BYTES = 64 << 20
_LARGEST_KEPT = 32 << 20
"""The highest value that glibc takes."""


def keep_freed_memory() -> None:
    """Have malloc keep what is freed, up to 64 MB, instead of handing every array back to the system at once.

    The system clears each page that it hands out again, and every array beyond 128 kB would be new pages: with a cutout
    of 1600 px that is a fifth of the time its colours take (41 instead of 32 ms). Does nothing where the C library is
    not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
