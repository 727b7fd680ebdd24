"""Entry points of the supervisor's processes (targets for `multiprocessing`): web process and matte worker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
import uuid
from multiprocessing.connection import Connection
from typing import NoReturn

import setproctitle
import structlog

from pellucid.cutout.recipe import Recipe
from pellucid.errors import PERMANENT_ERRORS, DatabaseError, PellucidError
from pellucid.liveness.port import WorkerInfo
from pellucid.queue.values import Handler
from pellucid.queue.worker_loop import WorkerLoop
from pellucid.serve.allocator import give_large_blocks_back
from pellucid.serve.log import set_up_logging
from pellucid.settings.model import SettingsTree
from pellucid.system.exit_codes import EXIT_CANNOT_START, EXIT_FAILED

_log = structlog.get_logger(__name__)

_NICE = 19
"""Matte workers have the lowest priority: a model that runs for half a second must not delay a cached image."""

_GRACE_S = 10

_RETRY_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses of a worker after errors of the database. It keeps its model, which took seconds to load, and registers again.
"""


def run_web(settings: SettingsTree, recipe: Recipe, sock: socket.socket, lifeline: Connection) -> None:
    """Run a web process: HTTP on the inherited socket."""
    from pellucid.http.app import App, connection_limits_of  # noqa: PLC0415 - this process only
    from pellucid.http.server import serve_app  # noqa: PLC0415

    _set_up_process("pellucid: web", settings, lifeline)
    give_large_blocks_back()
    app = App(settings, recipe=recipe)
    if not serve_app(app, sock, limits=connection_limits_of(settings), stop_s=_GRACE_S, on_stop=app.stop_waiting):
        _exit("web process cannot start", app.failure)


def run_worker(settings: SettingsTree, recipe: Recipe, lifeline: Connection | None) -> None:
    """Run a matte worker: the model in memory, jobs from the queue. It ends on SIGTERM after the current job."""
    _set_up_process("pellucid: matte worker", settings, lifeline)
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    try:
        asyncio.run(_run_worker(settings, recipe, own_terminal=lifeline is None))
    except PellucidError as error:
        if lifeline is None:
            raise  # in a terminal of its own: the command line prints the error
        _exit("matte worker cannot start", error)


async def _run_worker(settings: SettingsTree, recipe: Recipe, *, own_terminal: bool) -> None:
    from pellucid.image.vips import harden  # noqa: PLC0415 - the imports of a worker, after the process is niced
    from pellucid.mattes.files import MatteFiles  # noqa: PLC0415
    from pellucid.wiring.engines import open_engine  # noqa: PLC0415
    from pellucid.wiring.storage import open_blobs, open_database, open_worker_loop, prepare_database  # noqa: PLC0415
    from pellucid.worker import Headroom, matte_handler  # noqa: PLC0415

    harden()
    stop = asyncio.Event()
    if own_terminal:
        _stop_on(signal.SIGTERM, signal.SIGINT, stop=stop)
    engine = await asyncio.to_thread(open_engine, settings, recipe)
    blobs = open_blobs(settings)
    info = WorkerInfo(
        worker_id=uuid.uuid4().hex,
        pid=os.getpid(),
        model=engine.card.name,
        device=f"{engine.device.name} ({engine.device.full_name.strip()})",
        precision=str(engine.recipe.precision),
        recipe_ids=tuple(each.id for each in engine.recipe.by_tier.values()),
    )
    if own_terminal:
        await prepare_database(settings, timeout_s=0)
    async with open_database(settings) as database, open_worker_loop(settings, database) as worker_loop:
        handler = matte_handler(
            engine,
            origins=blobs,
            mattes=MatteFiles(blobs),
            time_limit_s=settings.queue.job_timeout_s,
            headroom=Headroom(settings.model.memory_bytes),
            stop=stop,
        )
        if not own_terminal:
            # Not earlier: a child that is still starting has nothing to finish, and SIGTERM ends it at once.
            _stop_on(signal.SIGTERM, stop=stop)
        await _keep_working(worker_loop, handler, info=info, stop=stop)


def _stop_on(*numbers: signal.Signals, stop: asyncio.Event) -> None:
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _keep_working(worker_loop: WorkerLoop, handler: Handler, *, info: WorkerInfo, stop: asyncio.Event) -> None:
    """Run jobs until `stop`. Tries again after errors of the database (unavailable, a locked file, a full disk)."""
    failures = 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            await worker_loop.run(handler, info=info, stop=stop)
        except PERMANENT_ERRORS:
            raise
        except DatabaseError as error:
            failures = 0 if time.monotonic() - began > _RETRY_PAUSES_S[-1] else failures
            pause_s = _RETRY_PAUSES_S[min(failures, len(_RETRY_PAUSES_S) - 1)]
            failures += 1
            _log.error("database failed, trying again", error=str(error), in_s=pause_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await stop.wait()


def _exit(what: str, error: BaseException | None) -> NoReturn:
    """End this process with a status that tells the supervisor whether to restart it."""
    permanent = isinstance(error, PERMANENT_ERRORS)
    if isinstance(error, PellucidError):  # other errors have been logged with a traceback
        _log.error(what, error=str(error))
    sys.exit(EXIT_CANNOT_START if permanent else EXIT_FAILED)


def _set_up_process(title: str, settings: SettingsTree, lifeline: Connection | None) -> None:
    setproctitle.setproctitle(title)
    set_up_logging(level=settings.log.level, style=settings.log.format)
    # Ctrl-C sends SIGINT to all processes of the terminal. Children ignore it; the supervisor sends them SIGTERM.
    if lifeline is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_exit_with_supervisor, args=(lifeline,), name="lifeline", daemon=True).start()


def _exit_with_supervisor(lifeline: Connection) -> None:
    """Wait until the supervisor has ended, however it did: the kernel closes its end of the pipe. Then end too."""
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)
    os._exit(1)
