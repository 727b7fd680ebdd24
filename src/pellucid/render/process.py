"""Inside a render process: take a task from the pipe, answer it, repeat until the pipe closes.

A process of its own because libvips and its decoders are C code fed with hostile bytes: when one crashes or eats all
memory, it takes down this process and one picture, not the server.
"""

from __future__ import annotations

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

TASKS: dict[str, Callable[..., Any]] = {"probe": probe, "render": render, "blank": render_blank}

Answer = tuple[str, Any]
"""("value", result) or ("error", (class name, message)): exceptions travel by name, not pickled."""


def main(pipe: Connection) -> None:
    """The target of the process. Ctrl-C reaches the whole terminal group; only the parent's closing ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    setproctitle.setproctitle("pellucid: render")
    harden()
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
