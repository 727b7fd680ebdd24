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

import setproctitle
import structlog

from pellucid.cutout.recipe import Recipe
from pellucid.errors import PellucidError
from pellucid.observe import set_up_logging
from pellucid.queue.port import WorkerInfo
from pellucid.settings.model import SettingsTree

_log = structlog.get_logger(__name__)

_NICE = 19
"""Matte workers give way to all others: a model that runs for half a second must not make a cached picture wait."""

_GRACE_S = 10

EXIT_CANNOT_START = 3
"""A child that could not open what it needs; starting it again would end the same way."""


def run_web(settings: SettingsTree, recipe: Recipe, sock: socket.socket, lifeline: Connection) -> None:
    """The web process: uvicorn on the inherited socket."""
    import uvicorn  # noqa: PLC0415 - this process only

    from pellucid.http.app import create_app  # noqa: PLC0415 - this process only

    _begin("pellucid: web", settings, lifeline)
    config = uvicorn.Config(
        create_app(settings, recipe=recipe),
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=2048,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[sock])
    if not server.started:
        sys.exit(EXIT_CANNOT_START)


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
        _log.error("matte worker cannot start", error=str(error))
        sys.exit(EXIT_CANNOT_START)


async def _work(settings: SettingsTree, recipe: Recipe, *, own_terminal: bool) -> None:
    from pellucid.image.vips import harden  # noqa: PLC0415 - the imports of a worker, after the process is niced
    from pellucid.mattes import Mattes  # noqa: PLC0415
    from pellucid.wiring.accounts import ledger_of  # noqa: PLC0415
    from pellucid.wiring.engines import open_engine  # noqa: PLC0415
    from pellucid.wiring.storage import open_blobs, open_database, open_queue  # noqa: PLC0415
    from pellucid.worker import Headroom, matte_handler  # noqa: PLC0415

    harden()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    if own_terminal:
        loop.add_signal_handler(signal.SIGINT, stop.set)
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
    async with open_queue(settings) as queue, open_database(settings) as database:
        handler = matte_handler(
            engine,
            origins=blobs,
            mattes=Mattes(blobs),
            ledger=ledger_of(settings, database),
            time_limit_s=settings.queue.job_timeout_s,
            headroom=Headroom(settings.model.memory_bytes),
            stop=stop,
        )
        await queue.work(handler, info=info, stop=stop)


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
