"""`pellucid serve` from settings to exit status."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import http.client
import shutil
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import msgspec
import setproctitle
import structlog

from pellucid.demo.samples import SAMPLE_PATHS
from pellucid.errors import SettingsError
from pellucid.models.cards import find_cards, find_insight_cards
from pellucid.models.weights import is_pulled, require_pulled
from pellucid.serve.children import run_web, run_worker
from pellucid.serve.descriptors import connections_within, is_low, raise_limit
from pellucid.serve.examples import example_lines
from pellucid.serve.listen import address_of, end_listening, listen
from pellucid.serve.log import set_up_logging
from pellucid.serve.supervisor import Supervisor
from pellucid.settings.load import refuse_open_proxy
from pellucid.settings.model import SettingsTree
from pellucid.settings.types import MIB
from pellucid.store.objects import free_bytes, sweep_staging
from pellucid.wiring.accounts import customers_of, describe_closed
from pellucid.wiring.engines import resolve_recipe
from pellucid.wiring.paths import Paths
from pellucid.wiring.storage import open_blobs, prepare_database

_log = structlog.get_logger(__name__)

_MIN_FREE_BYTES = 200 * MIB
"""With less free space the server does not start: it would soon fail to store anything."""


def serve(settings: SettingsTree, *, print_line: Callable[[str], None] = print) -> int:
    """Run the server until SIGINT or SIGTERM. Returns the exit status.

    Raises SettingsError, ModelUnavailableError, DeviceUnavailableError, StoreError or DatabaseError if it cannot start.
    """
    setproctitle.setproctitle("pellucid: serve")
    set_up_logging(level=settings.log.level, style=settings.log.format)
    refuse_open_proxy(settings)
    for sentence in describe_closed(settings):
        _log.warning(sentence)
    require_pulled(find_cards(settings.model.name, extra=settings.model.cards), settings.models_dir)
    for card in find_insight_cards():
        if not is_pulled(card, settings.models_dir):
            _log.warning("a model that looks at images is missing: `pellucid models pull` fetches it", model=card.name)
    limit = raise_limit()
    connections = connections_within(limit, settings)
    if is_low(limit):
        _log.warning("few open files are allowed; raise the hard limit", files=limit, connections=connections)
    settings = settings.model_copy(update={"web": settings.web.model_copy(update={"connections": connections})})
    sock = listen(settings.host, settings.port)
    lock = _prepare_data_dir(settings.data_dir)
    asyncio.run(_check_storage(settings))
    recipe = resolve_recipe(settings)
    supervisor = Supervisor(on_stop=partial(end_listening, sock))
    for number in range(settings.web.processes):
        supervisor.add(f"web-{number + 1}", run_web, settings, recipe, sock)
    for number in range(settings.workers):
        supervisor.add(f"worker-{number + 1}", run_worker, settings, recipe)
    address = address_of(sock)
    banner = _Banner(settings, address=address, print_line=print_line)
    try:
        return supervisor.run(tick=banner.tick)
    finally:
        sock.close()
        lock.close()


class _Banner:
    """Prints the server's address once, when the server answers and a worker has loaded its model."""

    def __init__(self, settings: SettingsTree, *, address: str, print_line: Callable[[str], None]) -> None:
        self._settings = settings
        self._address = address
        self._print = print_line
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._wait_and_print, name="banner", daemon=True)
        self._begun = False

    def tick(self) -> None:
        if not self._begun:
            self._begun = True
            self._thread.start()

    def _wait_and_print(self) -> None:
        while True:
            workers = ask_ready(self._address, need_worker=self._settings.workers > 0)
            if workers is not None:
                break
            time.sleep(0.05)
        self._print(self._text(workers))
        sys.stdout.flush()

    def _text(self, workers: list[dict[str, str]]) -> str:
        base = f"http://{self._address}"
        first = workers[0] if workers else {}
        if first:
            count = len(workers)
            model = f"{first['model']}, {first['precision']} on {first['device']}, {count} worker{'s'[: count != 1]}"
        elif self._settings.workers > 0:
            model = "no matte worker at work yet; /-/ready says what is missing"
        else:
            model = "no matte worker here; start some with `pellucid work`"
        image = SAMPLE_PATHS[0]
        page = [f"  page    {base}/  (try a picture of your own)"] if self._settings.web.demo else []
        return "\n".join(
            (
                f"\nPellucid {version('pellucid')} on {base}  (up in {time.monotonic() - self._started:.1f} s)",
                f"  model   {model}",
                f"  data    {self._settings.data_dir}",
                *page,
                "",
                *example_lines(base, image, customers_of(self._settings)),
                "\nCtrl-C stops the server.",
            )
        )


def ask_ready(address: str, *, need_worker: bool) -> list[dict[str, str]] | None:
    """The workers of the server at `address` once it is ready, None before. Without `need_worker` any answer counts."""
    host, _, port = address.rpartition(":")
    client = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=5)
    try:
        client.request("GET", "/-/ready")
        answer = client.getresponse()
        body: dict[str, Any] = msgspec.json.decode(answer.read())
        workers: list[dict[str, str]] = body.get("workers", [])
        return workers if answer.status == 200 or not need_worker else None
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return None
    finally:
        client.close()


async def _check_storage(settings: SettingsTree) -> None:
    """Open store and database once, so that an error becomes one sentence instead of a traceback. An unavailable
    database does not prevent the start: plain images and cutouts that were rendered before need none.
    """
    open_blobs(settings)
    away = await prepare_database(settings)
    if away is not None:
        _log.error("the database is unavailable; no background is removed until it is back", error=away)


def _prepare_data_dir(data_dir: Path) -> IO[str]:
    """Create, check and clean up the folder. The returned file holds a lock that marks the folder as in use."""
    hint = "set PELLUCID_DATA_DIR to a folder this user may write to"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / "serve.lock").open("w")
    except OSError as error:
        raise SettingsError(f"cannot write to {data_dir}: {error.strerror}; {hint}") from error
    free = free_bytes(data_dir)
    if free < _MIN_FREE_BYTES:
        lock.close()
        raise SettingsError(
            f"{data_dir} has {free // MIB} MiB free, at least {_MIN_FREE_BYTES // MIB} are needed; make room or {hint}"
        )
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        sweep_staging(Paths.below(data_dir).store)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        # Another server uses the folder (a rolling restart): its staging files must stay.
    return lock


def disk_report(data_dir: Path) -> str:
    """Free and total space of the volume of `data_dir`, for messages."""
    folder = data_dir.resolve()
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return f"{usage.free / 2**30:.1f} GiB free of {usage.total / 2**30:.1f}"
