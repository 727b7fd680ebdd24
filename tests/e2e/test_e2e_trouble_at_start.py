"""What is wrong at the start for a while is waited out; only what somebody has to mend ends the server."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from e2e_server import DEADLINE_S, PellucidServer, StartServer, running_server

from pellucid.database.database import Database
from pellucid.database.engines import file_url


@pytest.fixture(scope="module")
def enduring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PellucidServer]:
    """A server whose processes are killed, and find trouble when they are started again."""
    with running_server(tmp_path_factory.mktemp("enduring")) as server:
        yield server


def _database_file(data_dir: Path) -> Path:
    return data_dir / "pellucid.sqlite"


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Another process writes to the database's file, and takes its time."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


async def _make_database(path: Path) -> None:
    await (await Database.open(file_url(path))).aclose()


def _is_brought_up(path: Path) -> bool:
    """Whether the database has its tables, which one transaction makes: the supervisor starts its processes next."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return database.execute("SELECT * FROM alembic_version").fetchone() is not None
    return False


def _kill(server: PellucidServer, title: str) -> list[int]:
    pids = server.pids(title)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


def _wait_until_ready(server: PellucidServer) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            if server.ask("/-/ready").status == 200:
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "".join(server.output)
        assert server.process.poll() is None, "".join(server.output)
        time.sleep(0.1)


def _when(happened: Callable[[], bool], then: Callable[[], None]) -> threading.Thread:
    """Watches a server that starts."""

    def watch() -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not happened():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        then()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def _lock_for(path: Path, seconds: float) -> None:
    with _locked(path):
        time.sleep(seconds)


def test_a_database_that_another_process_writes_to_holds_up_no_start(tmp_path: Path, start_server: StartServer) -> None:
    path = _database_file(tmp_path / "data")
    asyncio.run(_make_database(path))
    with _locked(path):
        server = start_server(PELLUCID_WORKERS="0")
        assert server.ask("/-/health").status == 200


def test_a_locked_database_without_our_tables_is_waited_for(tmp_path: Path, start_server: StartServer) -> None:
    path = _database_file(tmp_path / "data")
    path.parent.mkdir()
    locking = _when(lambda: True, lambda: _lock_for(path, 10))
    server = start_server(PELLUCID_WORKERS="0")
    locking.join()
    assert sum("waiting for a file that is locked" in line for line in server.output) >= 1
    assert server.ask("/-/health").status == 200


def test_a_locked_database_at_the_first_start_of_the_children_ends_nothing(
    tmp_path: Path, start_server: StartServer
) -> None:
    """The supervisor has looked at the database; its web process and its worker find it locked."""
    path = _database_file(tmp_path / "data")
    locking = _when(lambda: _is_brought_up(path), lambda: _lock_for(path, 12))
    server = start_server()
    locking.join()
    _wait_until_ready(server)


def test_a_full_disk_at_the_first_start_of_the_children_ends_nothing(tmp_path: Path, start_server: StartServer) -> None:
    """Files that may not grow stand for a disk that is full: from when the supervisor has written what it writes."""
    data = tmp_path / "data"

    def fill() -> None:
        [pid] = _supervisors(data)
        limit = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limit[1]))
        time.sleep(8)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
        for child in (path.name for path in Path("/proc").glob("[0-9]*")):
            if f"PPid:\t{pid}\n" in _read(Path("/proc") / child / "status"):
                os.kill(int(child), signal.SIGKILL)

    filling = _when(lambda: _is_brought_up(_database_file(data)), fill)
    server = start_server(PELLUCID_WORKERS="1")
    filling.join()
    _wait_until_ready(server)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _supervisors(data_dir: Path) -> list[int]:
    """Who has the file open that says that a server uses the folder."""
    found: set[int] = set()
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if fd.readlink() == data_dir / "serve.lock":
                found.add(int(fd.parts[2]))
    return sorted(found)


def test_a_worker_keeps_its_model_while_the_database_is_locked(enduring: PellucidServer) -> None:
    _wait_until_ready(enduring)
    workers = enduring.pids("pellucid: matte worker")
    with _locked(_database_file(enduring.data_dir)):
        enduring.ask("/_samples_/otter.jpg?w=90&bg_remove=1")
        time.sleep(5)
    _wait_until_ready(enduring)
    assert enduring.pids("pellucid: matte worker") == workers


@pytest.mark.parametrize("title", ["pellucid: matte worker", "pellucid: web"])
def test_a_full_disk_at_the_start_of_a_process_ends_nothing(enduring: PellucidServer, title: str) -> None:
    """Files that may not grow stand for a disk that is full."""
    _wait_until_ready(enduring)
    limit = resource.prlimit(enduring.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(enduring.process.pid, resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        before = _kill(enduring, title)
        enduring.wait_for_pids(title, other_than=before)
        deadline = time.monotonic() + 7
        while time.monotonic() < deadline:
            assert enduring.process.poll() is None, "".join(enduring.output)
            time.sleep(0.1)
    finally:
        resource.prlimit(enduring.process.pid, resource.RLIMIT_FSIZE, limit)
    _kill(enduring, title)
    _wait_until_ready(enduring)


def test_a_database_of_a_newer_schema_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    path = _database_file(tmp_path)
    asyncio.run(_make_database(path))
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
        db.commit()
    ended = subprocess.run(
        [sys.executable, "-m", "pellucid", "serve"],
        env={**os.environ, "PELLUCID_DATA_DIR": str(tmp_path), "PELLUCID_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode != 0
    assert "of schema 9999" in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def test_no_descriptor_left_is_no_reason_to_forget_what_is_known(enduring: PellucidServer) -> None:
    """For some seconds nothing can be opened, whatever is asked of the database meanwhile."""
    _wait_until_ready(enduring)
    [web] = enduring.pids("pellucid: web")
    path = "/_samples_/bowl.jpg?w=77"
    enduring.ask(path)
    assert "detail=hot" in enduring.ask(path).headers["cache-status"]
    limit = resource.prlimit(web, resource.RLIMIT_NOFILE)
    resource.prlimit(web, resource.RLIMIT_NOFILE, (8, limit[1]))
    try:
        time.sleep(2.5)
    finally:
        resource.prlimit(web, resource.RLIMIT_NOFILE, limit)
    assert "detail=hot" in enduring.ask(path).headers["cache-status"]
