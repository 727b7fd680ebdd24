"""Uploads through two web processes: sent, cut out, deleted, expired; hostile bodies, limits, and a killed process."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from e2e_server import DEADLINE_S, Answer, PellucidServer, StartServer, running_server
from PIL import Image

UPLOADS = "/-/uploads"
MAX_BYTES = 2_000_000


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PellucidServer]:
    """A server with two web processes, one picture's time for each upload."""
    settings = {
        "PELLUCID_WEB_PROCESSES": "2",
        "PELLUCID_UPLOADS_MAX_BYTES": str(MAX_BYTES),
        "PELLUCID_UPLOADS_TIMEOUT_S": "3",
        "PELLUCID_UPLOADS_PER_CLIENT": "10",
        "PELLUCID_ORIGIN_FRESH_MIN_S": "3600",  # what is not forgotten on purpose is shown for long
    }
    with running_server(tmp_path_factory.mktemp("uploads"), **settings) as server:
        yield server


def _send(server: PellucidServer, body: bytes, *, client: str = "192.0.2.1") -> Answer:
    return server.ask(UPLOADS, method="POST", body=body, X_Forwarded_For=client)


def _sent(server: PellucidServer, body: bytes, *, client: str = "192.0.2.1") -> dict[str, Any]:
    answer = _send(server, body, client=client)
    assert answer.status == 201, answer.body
    told: dict[str, Any] = json.loads(answer.body)
    return told


def _delete(server: PellucidServer, told: dict[str, Any]) -> None:
    answer = server.ask(f"{UPLOADS}/{told['name']}", method="DELETE", Authorization=f"Bearer {told['delete_key']}")
    assert answer.status == 204, answer.body


def _slug(answer: Answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return str(json.loads(answer.body)["type"]).rpartition(":")[2]


def _left(server: PellucidServer) -> list[str]:
    """Files and rows of uploads."""
    folders = (server.data_dir / "uploads").iterdir(), (server.data_dir / "receiving").glob("*.part")
    database = sqlite3.connect(server.database)
    rows = [str(name) for (name,) in database.execute("SELECT name FROM uploads")]
    database.close()
    return [path.name for folder in folders for path in folder] + rows


def _unlike(jpeg: bytes, mark: str) -> bytes:
    """The same picture in bytes of its own."""
    return jpeg + mark.encode()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_sent_cut_out_and_deleted(pair: PellucidServer, bowl_jpg: bytes) -> None:
    told = _sent(pair, _unlike(bowl_jpg, "whole way"))
    url = f"{told['path']}?w=300&bg_remove=1"
    cut = pair.wait_for(url, "ready")
    assert cut.rgba[0, 0, 3] == 0
    assert cut.rgba[100, 150, 3] > 200
    assert cut.headers["cache-control"] == "public, max-age=3600, s-maxage=3600"
    urls = [told["path"], f"{told['path']}?w=400", url]
    for each in urls * 10:  # in the memory of both processes
        assert pair.ask(each).status == 200
    _delete(pair, told)
    assert [pair.ask(each).status for each in urls * 10] == [404] * 30
    assert _left(pair) == []
    assert not [path for path in (pair.data_dir / "store" / "bytes").iterdir() if path.is_file()]


def test_thirty_at_once(pair: PellucidServer, bowl_jpg: bytes) -> None:
    with ThreadPoolExecutor(30) as threads:
        bodies = [_unlike(bowl_jpg, f"parallel {number}") for number in range(30)]
        answers = list(threads.map(lambda body: _send(pair, body), bodies))
    assert Counter(answer.status for answer in answers) == {201: 10, 429: 20}
    for answer in answers:
        if answer.status == 429:
            assert _slug(answer) == "too-many-uploads"
            assert int(answer.headers["retry-after"]) >= 1
    # Another client, as the proxy in front says; who is not trusted could not.
    _delete(pair, _sent(pair, bowl_jpg, client="192.0.2.2"))
    with ThreadPoolExecutor(10) as threads:
        list(
            threads.map(lambda answer: _delete(pair, json.loads(answer.body)), [a for a in answers if a.status == 201])
        )
    assert _left(pair) == []


def _bomb() -> bytes:
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, "PNG")
    return out.getvalue()


HOSTILE = {
    "too large": (bytes(MAX_BYTES + 1), 413, "upload-too-large"),
    "cut off": (b"\xff\xd8\xff\xe0" + bytes(100), 422, "bad-image"),
    "html": (b"<!doctype html><html></html>", 422, "unsupported-format"),
    "bomb": (_bomb(), 422, "image-limit"),
    "empty": (b"", 400, "bad-upload"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies(pair: PellucidServer, name: str) -> None:
    body, status, slug = HOSTILE[name]
    for _ in range(4):
        answer = pair.ask(UPLOADS, method="POST", body=body)
        assert (answer.status, _slug(answer)) == (status, slug)
    assert _left(pair) == []


def test_too_large_without_a_length(pair: PellucidServer) -> None:
    client = http.client.HTTPConnection(pair.address, timeout=DEADLINE_S)
    client.request("POST", UPLOADS, body=(bytes(50_000) for _ in range(100)), encode_chunked=True)
    answer = client.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["type"].endswith("upload-too-large")
    client.close()
    assert _left(pair) == []


def test_a_promise_of_too_much_is_refused_before_it_is_kept(pair: PellucidServer) -> None:
    answer = _raw(pair, f"Content-Length: {MAX_BYTES + 1}\r\nExpect: 100-continue\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_slow_body(pair: PellucidServer, bowl_jpg: bytes) -> None:
    """A byte at a time: the connection is closed, which ends the reading."""
    with socket.create_connection(_address(pair), timeout=DEADLINE_S) as client:
        client.sendall(_head(f"Content-Length: {len(bowl_jpg)}\r\n\r\n".encode()))
        ended = threading.Event()

        def drip() -> None:
            for value in bowl_jpg:
                if ended.wait(0.1):
                    return
                try:
                    client.sendall(bytes([value]))
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        answer = b"".join(iter(lambda: _receive(client), b""))
        ended.set()
        dripping.join()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"upload-timeout" in answer
    _until(lambda: _left(pair) == [])


def test_who_hangs_up_in_the_middle(pair: PellucidServer, bowl_jpg: bytes) -> None:
    for _ in range(20):
        with socket.create_connection(_address(pair), timeout=DEADLINE_S) as client:
            client.sendall(_head(f"Content-Length: {len(bowl_jpg)}\r\n\r\n".encode()) + bowl_jpg[:5000])
    # The last of them may not have begun yet; a reservation that stayed would hold for two minutes.
    taken: list[Answer] = []

    def take() -> bool:
        answer = _send(pair, bowl_jpg, client="127.0.0.1")
        taken.extend([answer] if answer.status == 201 else [])
        return bool(taken)

    _until(take)
    _delete(pair, json.loads(taken[0].body))
    _until(lambda: _left(pair) == [])


@pytest.mark.parametrize(
    "path",
    [
        "/_upload_/../receiving/secret",
        "/_upload_/%2e%2e/receiving/secret",
        "/_upload_/..%2freceiving%2fsecret",
        "/_upload_/..%252freceiving%252fsecret",
        "/_upload_//etc/passwd",
        "/_upload_/",
        "/_upload_",
        "/_upload_/.",
    ],
)
def test_names_that_try_to_escape(pair: PellucidServer, path: str) -> None:
    assert pair.ask(path).status in (400, 404)
    assert pair.ask(f"{UPLOADS}/{path}", method="DELETE", Authorization="Bearer x").status in (404, 405)
    assert (pair.data_dir / "receiving" / "secret").is_file()


def test_a_killed_process_leaves_nothing(start_server: StartServer, bowl_jpg: bytes) -> None:
    server = start_server(PELLUCID_WEB_PROCESSES="2", PELLUCID_WORKERS="0", PELLUCID_UPLOADS_PER_CLIENT="3")
    clients = [socket.create_connection(_address(server), timeout=DEADLINE_S) for _ in range(3)]
    for client in clients:
        client.sendall(_head(f"Content-Length: {len(bowl_jpg)}\r\n\r\n".encode()) + bowl_jpg[:5000])
    _until(lambda: len(_left(server)) == 6)  # parts and rows
    assert server.ask(UPLOADS, method="POST", body=bowl_jpg).status == 429
    before = server.pids("pellucid: web")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    server.wait_for_pids("pellucid: web", other_than=before)
    _until(lambda: _left(server) == [])
    for client in clients:
        client.close()
    told = _sent(server, bowl_jpg, client="127.0.0.1")
    assert server.ask(told["path"]).status == 200


def test_killed_again_and_again_nothing_half_stays(start_server: StartServer, bowl_jpg: bytes) -> None:
    """Whatever step an upload was at."""
    server = start_server(PELLUCID_WORKERS="0", PELLUCID_UPLOADS_PER_CLIENT="1000")
    stop = threading.Event()
    told: list[dict[str, Any]] = []

    def send(mark: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                answer = server.ask(UPLOADS, method="POST", body=_unlike(bowl_jpg, f"{mark} {number}"))
            except (OSError, http.client.HTTPException):
                continue
            if answer.status == 201:
                told.append(json.loads(answer.body))

    threads = [threading.Thread(target=send, args=(mark,)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        count = len(told)
        _until(lambda count=count: len(told) > count + 5)
        pids = server.pids("pellucid: web")
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        server.wait_for_pids("pellucid: web", other_than=pids)
    stop.set()
    for thread in threads:
        thread.join()
    for each in told:
        assert server.ask(f"{each['path']}?w=50").status == 200, "what was answered is there"
    database = sqlite3.connect(server.database)
    done = [str(name) for (name,) in database.execute("SELECT name FROM uploads WHERE digest != ''")]
    database.close()
    assert {each["name"] for each in told} <= set(done)
    assert all((server.data_dir / "uploads" / name).is_file() for name in done), "no row without a file"
    _until(lambda: not list((server.data_dir / "receiving").glob("*.part")))


def test_they_expire(start_server: StartServer, bowl_jpg: bytes) -> None:
    server = start_server(
        PELLUCID_WEB_PROCESSES="2",
        PELLUCID_WORKERS="0",
        PELLUCID_UPLOADS_KEEP_S="4",
        PELLUCID_ORIGIN_FRESH_MIN_S="3600",
    )
    told = _sent(server, bowl_jpg)
    shown = server.ask(told["path"])
    assert (shown.status, shown.headers["cache-control"]) == (200, "public, max-age=4, s-maxage=4")
    _until(lambda: server.ask(told["path"]).status == 404)
    _until(lambda: _left(server) == [])
    assert [server.ask(told["path"]).status for _ in range(20)] == [404] * 20
    assert list((server.data_dir / "store" / "bytes").iterdir()) == []


def test_a_wrong_database_is_one_sentence(tmp_path: Path) -> None:
    for url, said in (("mysql://x/y", "SQLite or PostgreSQL"), ("postgresql://x:p@ss@h/y", "percent-encoded")):
        done = subprocess.run(
            [sys.executable, "-m", "pellucid", "serve"],
            env={**os.environ, "PELLUCID_DATA_DIR": str(tmp_path), "PELLUCID_PORT": "0", "PELLUCID_DATABASE_URL": url},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode != 0
        assert said in done.stderr + done.stdout
        assert "Traceback" not in done.stderr + done.stdout
        assert "p@ss" not in done.stderr + done.stdout


def _address(server: PellucidServer) -> tuple[str, int]:
    host, _, port = server.address.rpartition(":")
    return host, int(port)


def _head(rest: bytes) -> bytes:
    return f"POST {UPLOADS} HTTP/1.1\r\nHost: localhost\r\n".encode() + rest


def _raw(server: PellucidServer, rest: bytes) -> bytes:
    """The first bytes of the answer to a POST whose head ends with `rest`."""
    with socket.create_connection(_address(server), timeout=DEADLINE_S) as client:
        client.sendall(_head(rest))
        return client.recv(65536)


def _receive(client: socket.socket) -> bytes:
    try:
        return client.recv(65536)
    except ConnectionResetError:
        return b""
