"""What the supervisor's processes run: the web process and the matte worker. Targets for `multiprocessing`."""

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
"""Matte workers give way to all others: a model that runs for half a second must not make a cached picture wait."""

_GRACE_S = 10

_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""A worker whose database fails keeps its model, which took seconds to load, and joins again after these pauses."""


def run_web(settings: SettingsTree, recipe: Recipe, sock: socket.socket, lifeline: Connection) -> None:
    """The web process: HTTP on the inherited socket."""
    from pellucid.http.app import App, connection_limits_of  # noqa: PLC0415 - this process only
    from pellucid.http.server import serve_app  # noqa: PLC0415

    _begin("pellucid: web", settings, lifeline)
    give_large_blocks_back()
    app = App(settings, recipe=recipe)
    if not serve_app(app, sock, limits=connection_limits_of(settings), stop_s=_GRACE_S, on_stop=app.stop_waiting):
        _exit("web process cannot start", app.failure)


def run_worker(settings: SettingsTree, recipe: Recipe, lifeline: Connection | None) -> None:
    """A matte worker: the model in memory, jobs from the queue. Ends on SIGTERM after the job in hand."""
    _begin("pellucid: matte worker", settings, lifeline)
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    try:
        asyncio.run(_work(settings, recipe, own_terminal=lifeline is None))
    except PellucidError as error:
        if lifeline is None:
            raise  # on a terminal of its own: the command line says it
        _exit("matte worker cannot start", error)


async def _work(settings: SettingsTree, recipe: Recipe, *, own_terminal: bool) -> None:
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
            # Not before: a child that is only starting has nothing to finish, and ends at once.
            _stop_on(signal.SIGTERM, stop=stop)
        await _keep_working(worker_loop, handler, info=info, stop=stop)


def _stop_on(*numbers: signal.Signals, stop: asyncio.Event) -> None:
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _keep_working(worker_loop: WorkerLoop, handler: Handler, *, info: WorkerInfo, stop: asyncio.Event) -> None:
    """Work until `stop`; while the database fails (away, a locked file, a full disk) try again."""
    failures = 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            await worker_loop.run(handler, info=info, stop=stop)
        except PERMANENT_ERRORS:
            raise
        except DatabaseError as error:
            failures = 0 if time.monotonic() - began > _PAUSES_S[-1] else failures
            pause_s = _PAUSES_S[min(failures, len(_PAUSES_S) - 1)]
            failures += 1
            _log.error("database failed, trying again", error=str(error), in_s=pause_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await stop.wait()


def _exit(what: str, error: BaseException | None) -> NoReturn:
    """End this child so that the supervisor knows whether to start it again."""
    permanent = isinstance(error, PERMANENT_ERRORS)
    if isinstance(error, PellucidError):  # of any other, the traceback has been logged
        _log.error(what, error=str(error))
    sys.exit(EXIT_CANNOT_START if permanent else EXIT_FAILED)


def _begin(title: str, settings: SettingsTree, lifeline: Connection | None) -> None:
    setproctitle.setproctitle(title)
    set_up_logging(level=settings.log.level, style=settings.log.format)
    # Ctrl-C reaches the whole terminal group; the supervisor decides and sends SIGTERM.
    if lifeline is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_follow, args=(lifeline,), name="lifeline", daemon=True).start()


def _follow(lifeline: Connection) -> None:
    """Wait until the supervisor is gone, however it went: the kernel closes its end of the pipe. Then go too."""
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)
    os._exit(1)
