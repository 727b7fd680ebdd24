"""Files that cannot be read, and a store that is away for a while: a picture is answered all the same.

Tests may run as root, whom no permission stops, so a file is made unreadable by a link to itself (ELOOP) or by a folder
in its place (EISDIR).
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e_server import DEADLINE_S, PellucidServer, PhotoOrigin, StartServer, running_server, wait_until


def _link(path: Path) -> None:
    path.symlink_to(path.name)


def _folder(path: Path) -> None:
    path.mkdir()


Breaking = Callable[[Path], None]
BREAKING = pytest.mark.parametrize("how", [_link, _folder], ids=["link", "folder"])


@contextmanager
def _unreadable(path: Path, how: Breaking) -> Iterator[None]:
    aside = path.parents[2] / "aside"
    path.rename(aside)
    how(path)
    try:
        yield
    finally:
        path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
        aside.rename(path)


def _rows(server: PellucidServer, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(server.database)) as db:
        return db.execute(query).fetchall()


def _matte(server: PellucidServer) -> Path:
    [path] = [path for path in (server.data_dir / "store" / "mattes").iterdir() if path.is_file()]
    return path


def _files(folder: Path) -> list[Path]:
    """Those that are stored, not those that are being written."""
    return [path for path in folder.iterdir() if "#" not in path.name]


@BREAKING
def test_a_rendition_that_cannot_be_read_is_made_again(
    start_server: StartServer, origin: PhotoOrigin, bowl_jpg: bytes, how: Breaking
) -> None:
    server = start_server(PELLUCID_CACHE_MEMORY_BYTES="0", PELLUCID_WORKERS="0")
    url = origin.put(f"/rendition{how.__name__}.jpg", bowl_jpg) + "?w=64"
    whole = server.ask(url)
    # Stored beside the answer, under its name at once.
    renditions = server.data_dir / "store" / "renditions" / "default"
    wait_until(lambda: renditions.is_dir() and _files(renditions))
    [path] = _files(renditions)
    with _unreadable(path, how):
        answer = server.ask(url)
        assert (answer.status, answer.body) == (200, whole.body)
        assert answer.headers["cache-control"] == whole.headers["cache-control"]
        if how is _link:
            # What was made again takes its place.
            wait_until(lambda: "detail=disk" in server.ask(url).headers["cache-status"])


@BREAKING
def test_a_matte_that_cannot_be_read_is_busy_and_stays(
    start_server: StartServer, tmp_path: Path, origin: PhotoOrigin, bowl_jpg: bytes, how: Breaking
) -> None:
    url = origin.put(f"/matte{how.__name__}.jpg", bowl_jpg) + "?bg_remove=1&w="
    server = start_server(PELLUCID_CACHE_MEMORY_BYTES="0")
    ready = server.wait_for(f"{url}64", "ready")
    plain = server.ask(url.replace("bg_remove=1&", "") + "72")
    matte = _matte(server)
    with _unreadable(matte, how):
        answer = server.ask(f"{url}72")
        assert (answer.status, answer.headers["pellucid-cutout"], answer.body) == (200, "busy", plain.body)
        assert int(answer.headers["cache-control"].rpartition("=")[2]) <= 30
        assert server.ask(f"{url}72&bg_pending=202").status == 503
        assert server.ask(f"{url}72&bg_pending=blank").state == "busy"
        # What was made of it is good.
        assert server.ask(f"{url}64").body == ready.body
        assert _rows(server, "SELECT * FROM removals") == []
    assert server.wait_for(f"{url}80", "ready")

    server.process.terminate()
    server.process.wait(30)
    with _unreadable(matte, how):
        # A process that never saw it: it owes nothing, calls nothing failed, and deletes nothing. What was made of it
        # before is good, and that it is there and paid the database knows.
        server = start_server(tmp_path / "data", PELLUCID_CACHE_MEMORY_BYTES="0")
        answer = server.ask(f"{url}64")
        assert (answer.status, answer.headers["pellucid-cutout"], answer.body) == (200, "ready", ready.body)
        answer = server.ask(f"{url}72")
        assert (answer.status, answer.headers["pellucid-cutout"]) == (200, "busy")
        assert json.loads(server.ask(f"/-/status{url}64").body)["state"] == "ready"
        assert _rows(server, "SELECT * FROM removals") == []
        assert matte.is_symlink() or matte.is_dir()
    again = server.wait_for(f"{url}64", "ready")
    assert again.body == ready.body
    assert _rows(server, "SELECT credits FROM charges") == [(200,)]


@pytest.mark.parametrize("away", ["mattes", "bytes"])
def test_a_store_that_is_away_uses_up_no_attempt(
    tmp_path: Path, origin: PhotoOrigin, bowl_jpg: bytes, away: str
) -> None:
    """With one attempt and a webhook: neither is the job failed, nor is anybody told so."""
    settings = {
        "PELLUCID_QUEUE_MAX_ATTEMPTS": "1",
        "PELLUCID_NOTIFY_URLS": f"http://{origin.host}/hook",
        "PELLUCID_NOTIFY_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "PELLUCID_NOTIFY_MAX_ATTEMPTS": "1000",
    }
    url = origin.put(f"/away-{away}.jpg", bowl_jpg) + "?bg_remove=1&w=64"
    with running_server(tmp_path / "data", PELLUCID_WORKERS="0", **settings) as server:
        assert server.ask(url).state == "pending"
    folder = tmp_path / "data" / "store" / away
    folder.mkdir(exist_ok=True)
    folder.rename(tmp_path / "aside")
    folder.write_bytes(b"")
    with running_server(tmp_path / "data", **settings) as server:
        deadline = time.monotonic() + DEADLINE_S
        while not any("store failed" in line for line in server.output):
            assert time.monotonic() < deadline, "".join(server.output)
            time.sleep(0.1)
        time.sleep(0.5)
        assert _rows(server, "SELECT state, attempts, reason FROM removals") == [("waiting", 0, "store-away")]
        assert _rows(server, "SELECT * FROM outbox") == []
        folder.unlink()
        (tmp_path / "aside").rename(folder)
        server.wait_for(url, "ready")
        assert _rows(server, "SELECT credits FROM charges") == [(200,)]
        bodies = [json.loads(body)["type"] for (body,) in _rows(server, "SELECT body FROM outbox")]
        assert set(bodies) <= {"cutout.ready"}
