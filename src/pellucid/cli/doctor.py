"""`pellucid doctor`: what is wrong with this installation, and how to mend it."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable, Coroutine
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from rich.console import Console

from pellucid.cli.words import counted
from pellucid.errors import DatabaseAwayError, PellucidError, SettingsError
from pellucid.image import libjxl
from pellucid.models.cards import find_cards
from pellucid.models.weights import verify
from pellucid.serve.listen import listen
from pellucid.serve.run import disk_report
from pellucid.serve.running_server import find_running
from pellucid.settings.model import SettingsTree
from pellucid.settings.names import setting_names, variable_name
from pellucid.settings.types import GIB
from pellucid.system.extras import install_command
from pellucid.wiring.engines import open_library_engine
from pellucid.wiring.storage import look_into_database, open_blobs, open_catalogue, open_queue

_PACKAGES = (
    "pellucid",
    "openvino",
    "pyvips",
    "pyvips-binary",
    "pi-heif",
    "pypdfium2",
    "numpy",
    "obstore",
    "starlette",
    "uvicorn",
)

Check = Callable[[SettingsTree], str]


def examine(settings: SettingsTree) -> int:
    """Run every check and print its outcome; returns 0 when all are fine, else 1."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    broken = 0
    for name, check in CHECKS.items():
        try:
            console.print(f"ok    {name:9} {check(settings)}")
        except (PellucidError, OSError) as error:
            broken += 1
            console.print(f"WRONG {name:9} {error}", style="red")
    return 1 if broken else 0


def list_settings(settings: SettingsTree) -> int:
    """Print every setting as its environment variable with the value in force; returns 0."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for path in setting_names():
        value: object = settings
        for step in path:
            value = getattr(value, step)
        console.print(f"{variable_name(path)} = {value}")
    return 0


def _versions(_: SettingsTree) -> str:
    found: list[str] = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError as error:
            raise PellucidError(f"{package} is not installed; run `make install` or reinstall pellucid") from error
    libjxl_version = libjxl.find()
    jxl = f"libjxl {libjxl_version}" if libjxl_version else f"no libjxl (JPEG XL is read with {install_command('jxl')})"
    return f"Python {platform.python_version()}, " + ", ".join((*found, jxl))


def _model(settings: SettingsTree) -> str:
    cards = find_cards(settings.model.name, extra=settings.model.cards)
    return "; ".join(
        f"{card.name}: {verify(card, settings.models_dir)} is sound, weights: {card.licence}" for card in cards
    )


def _device(settings: SettingsTree) -> str:
    started = time.perf_counter()
    engine = open_library_engine(settings)
    loaded_s = time.perf_counter() - started
    grey = np.full((engine.card.input_height, engine.card.input_width, 3), 128, np.uint8)
    engine.segment(grey)
    started = time.perf_counter()
    engine.segment(grey)
    run_ms = (time.perf_counter() - started) * 1000
    return (
        f"{engine.device.name} ({engine.device.full_name.strip()}), {engine.recipe.precision}: "
        f"loaded in {loaded_s:.1f} s, {run_ms:.0f} ms a picture"
    )


def _store(settings: SettingsTree) -> str:
    async def write() -> None:
        blobs = open_blobs(settings)
        await blobs.put("check/doctor", b"ok")
        await blobs.delete("check/doctor")

    asyncio.run(write())
    return f"{settings.data_dir} can be written to, {disk_report(settings.data_dir)}"


def _database(settings: SettingsTree) -> str:
    async def look() -> str:
        async with look_into_database(settings) as database, open_queue(settings, database) as queue:
            try:
                await queue.check_writable()
            except DatabaseAwayError as error:
                goes_on = "until it is back pictures are served, and cutouts that were shown before, but none is made"
                raise DatabaseAwayError(f"{error}; {goes_on}") from error
            return f"{database.place} can be written to"

    return _unless_new(look)


def _queue(settings: SettingsTree) -> str:
    async def look() -> str:
        async with look_into_database(settings) as database, open_queue(settings, database) as queue:
            stats = await queue.stats()
            counts = f"{stats.waiting} waiting, {stats.running} running, {stats.failed} failed"
            unserved = ", ".join(f"{count} of {recipe}" for recipe, count in sorted(stats.unserved.items()))
            if unserved and stats.workers:
                minutes = round(settings.queue.unserved_s / 60)
                raise PellucidError(
                    f"{counts}; no living worker makes {unserved}: start one (`pellucid work --model --precision`), or "
                    f"wait {minutes} minutes, after which what nobody asks for is owed no more"
                )
            return f"{counts}; {counted(len(stats.workers), 'worker')} alive"

    return _unless_new(look)


def _mattes(settings: SettingsTree) -> str:
    async def look() -> str:
        async with open_catalogue(settings) as catalogue:
            total, allowed = await catalogue.total_bytes(), settings.mattes.warn_bytes
            if allowed and total > allowed:
                raise PellucidError(
                    f"{total / GIB:.1f} GiB, more than the {allowed / GIB:.1f} of PELLUCID_MATTES_WARN_BYTES; "
                    "`pellucid mattes prune` removes some"
                )
            return f"{total / GIB:.2f} GiB"

    return _unless_new(look)


def _unless_new(look: Callable[[], Coroutine[None, None, str]]) -> str:
    try:
        return asyncio.run(look())
    except SettingsError:
        return "none yet: the first start of a server makes it"


def _port(settings: SettingsTree) -> str:
    try:
        listen(settings.host, settings.port).close()
    except SettingsError:
        # Taken: by a running Pellucid all is well, by anything else not.
        running = find_running(settings.host, settings.port)
        if running is None:
            raise
        return f"a running Pellucid answers on {settings.host} port {settings.port}"
    return f"{settings.port} on {settings.host} is free"


def _disk_of_models(settings: SettingsTree) -> str:
    folder: Path = settings.models_dir
    return f"{folder}, {disk_report(folder)}"


CHECKS: dict[str, Check] = {
    "versions": _versions,
    "models": _disk_of_models,
    "model": _model,
    "device": _device,
    "store": _store,
    "database": _database,
    "queue": _queue,
    "mattes": _mattes,
    "port": _port,
}
