"""SIGTERM: nobody who has asked goes without an answer, nobody new has to wait, and it does not take long."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import threading
import time
from collections import Counter
from urllib.parse import quote

import pytest
from e2e_server import DEADLINE_S, PellucidServer, PhotoOrigin, StartServer
from raw_clients import Connect, get, read_all, wait_until_closed

pytestmark = pytest.mark.serial


def _stop(server: PellucidServer) -> float:
    """SIGTERM and wait; returns how long that took."""
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(DEADLINE_S)
    return time.monotonic() - began


class Regular(threading.Thread):
    """Asks for one picture over and over on a connection that it keeps, until it is told that it was the last time."""

    def __init__(self, server: PellucidServer, path: str) -> None:
        super().__init__(daemon=True)
        self._client = http.client.HTTPConnection(server.address, timeout=DEADLINE_S)
        self._path = path
        self.outcome = ""
        self.start()

    def run(self) -> None:
        try:
            while True:
                self._client.request("GET", self._path)
                answer = self._client.getresponse()
                answer.read()
                if answer.getheader("connection") == "close":
                    self.outcome = f"{answer.status} and told"
                    return
        except Exception as error:
            self.outcome = repr(error)
        finally:
            self._client.close()


def test_everybody_is_answered_or_refused_and_the_end_is_soon(
    start_server: StartServer, connect: Connect, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    server = start_server(PELLUCID_WORKERS="0")
    path = origin.put("/stop.jpg", otter_jpg)
    assert server.ask(f"{path}?w=100").status == 200
    assert server.ask(f"{path}?w=100&bg_remove=1").state == "pending"
    slow = origin.put("/stop-slow.jpg", otter_jpg)
    origin.held["/stop-slow.jpg"] = threading.Event()

    stream = connect(server)
    stream.send(get(f"/-/events?url={quote(path + '?w=100&bg_remove=1', safe='')}"))
    assert stream.recv(1 << 16).startswith(b"HTTP/1.1 200")
    kept = connect(server)
    kept.send(get(f"{path}?w=100"))
    assert kept.recv(100).startswith(b"HTTP/1.1 200")
    waiting = connect(server)
    waiting.send(get(f"{path}?w=110&bg_remove=1&bg_pending=wait"))
    fetching = connect(server)
    fetching.send(get(f"{slow}?w=100"))
    silent = connect(server)  # its request is still on its way
    regulars = [Regular(server, f"{path}?w=100") for _ in range(20)]
    time.sleep(0.5)

    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    late: Counter[str] = Counter()
    while time.monotonic() - began < 1.5:
        asked = time.monotonic()
        try:
            answer = server.ask(f"{path}?w=100", timeout_s=5)
            late[f"{answer.status}"] += 1
            told = answer.headers.get("connection") == "close"
            assert told or asked - began < 0.5, "the signal has arrived by then"
        except ConnectionRefusedError:
            late["refused"] += 1
        except OSError as error:
            late[repr(error)] += 1
        assert time.monotonic() - asked < 1
        if late.total() == 1:
            silent.send(get(f"{path}?w=100"))
        if late.total() == 5:
            origin.held["/stop-slow.jpg"].set()
        time.sleep(0.01)
    server.process.wait(DEADLINE_S)
    took_s = time.monotonic() - began

    assert took_s < 5, "an idle server does not take the whole of its limit"
    assert late.keys() <= {"200", "503", "refused"}
    assert late["refused"] > 20
    events = read_all(stream)
    assert b"retry:" in events
    assert events.endswith(b"0\r\n\r\n"), "the stream ends as HTTP says"
    held = read_all(waiting)
    assert held.startswith(b"HTTP/1.1 200")
    assert b"pellucid-cutout: pending" in held
    assert b"connection: close" in held
    fetched = read_all(fetching)
    assert fetched.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in fetched
    assert read_all(silent).startswith(b"HTTP/1.1 200")
    assert wait_until_closed(kept, within_s=1) < 1
    for regular in regulars:
        regular.join(DEADLINE_S)
    assert {regular.outcome for regular in regulars} == {"200 and told"}
    assert server.process.returncode == 0
    assert "Traceback" not in "".join(server.output)


def test_what_is_accepted_by_nobody_is_answered(start_server: StartServer, connect: Connect) -> None:
    """Connections that wait in the kernel while the web process is held up: they are neither reset nor left hanging."""
    server = start_server(PELLUCID_WORKERS="0")
    web = server.pids("pellucid: web")
    os.kill(web[0], signal.SIGSTOP)
    waiting = [connect(server) for _ in range(50)]
    for sock in waiting:
        sock.send(get("/-/health"))
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    answers = {read_all(sock)[:12] for sock in waiting}
    assert answers == {b"HTTP/1.1 503"}
    assert time.monotonic() - began < 3
    os.kill(web[0], signal.SIGCONT)
    server.process.wait(DEADLINE_S)


def test_a_second_signal_stops_harder(
    start_server: StartServer, connect: Connect, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    server = start_server(PELLUCID_WORKERS="0")
    path = origin.put("/stop-hard.jpg", otter_jpg)
    origin.held["/stop-hard.jpg"] = threading.Event()
    fetching = connect(server)
    fetching.send(get(f"{path}?w=100"))
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(1.5)
    assert server.process.poll() is None, "what is in flight is waited for"
    assert _stop(server) < 4
    origin.held["/stop-hard.jpg"].set()
    fetching.close()


def test_a_stop_while_starting_ends_at_once(start_server: StartServer) -> None:
    server = start_server()
    for pid in server.pids("pellucid: matte worker"):
        os.kill(pid, signal.SIGKILL)  # the next one loads the model now
    for pid in server.pids("pellucid: web"):
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.3)
    assert _stop(server) < 4


def test_who_was_refused_and_goes_on_talking_is_not_waited_for(start_server: StartServer, connect: Connect) -> None:
    server = start_server(PELLUCID_WORKERS="0")
    refused = [connect(server) for _ in range(3)]
    for sock in refused:
        sock.send(b"NONSENSE\r\n\r\n")
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    while server.process.poll() is None and time.monotonic() - began < 20:
        for sock in refused:
            with contextlib.suppress(OSError):
                sock.send(b"x")
        time.sleep(0.1)
    assert time.monotonic() - began < 6
