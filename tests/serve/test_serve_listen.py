"""A port that is taken: the message names the other program, and the check has a timeout."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pellucid.errors import SettingsError
from pellucid.serve.listen import listen
from pellucid.serve.running_server import find_running

pytestmark = pytest.mark.slow

PELLUCID = {"status": "ok", "name": "pellucid", "version": "9.8.7"}


def _answer(document: object, *, status: str = "200 OK", after: bytes = b"") -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body + after)


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@contextmanager
def _listener(speak: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Iterator[int]:
    """A program that listens and calls `speak` with each connection. Yields its port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client, contextlib.suppress(OSError):  # the client may close early
                    speak(client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(60)


def _send(answer: bytes) -> Callable[[socket.socket], None]:
    def speak(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(answer)

    return speak


def _drip(client: socket.socket) -> None:
    for byte in _answer(PELLUCID):
        client.sendall(bytes([byte]))
        time.sleep(0.4)


def _endless(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        client.sendall(b"x" * 65_536)


def _silent(client: socket.socket) -> None:
    client.settimeout(30)
    while client.recv(4096):
        pass


OTHERS: dict[str, Callable[[socket.socket], None]] = {
    "silent": _silent,
    "closes": lambda client: None,
    "drips": _drip,
    "endless": _endless,
    "greets": lambda client: client.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "another server": _send(_answer({"status": "ok", "version": "9.8.7"})),
    "another name": _send(_answer(PELLUCID | {"name": "opaque"})),
    "no JSON": _send(_answer(PELLUCID, after=b"}")),
    "a list": _send(_answer([PELLUCID])),
    "not found": _send(_answer(PELLUCID, status="404 Not Found")),
    "version with escapes": _send(_answer(PELLUCID | {"version": "\x1b[31m9"})),
    "long version": _send(_answer(PELLUCID | {"version": "9" * 5000})),
    "version of another type": _send(_answer(PELLUCID | {"version": 9})),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_program_is_not_taken_for_a_pellucid(kind: str) -> None:
    with _listener(OTHERS[kind]) as port:
        began = time.monotonic()
        assert find_running("127.0.0.1", port) is None
        assert time.monotonic() - began < 60, "the check of a silent program times out"


def test_a_port_of_another_program() -> None:
    with _listener(_silent) as port, pytest.raises(SettingsError) as caught:
        listen("127.0.0.1", port)
    assert str(caught.value).splitlines() == [
        f"port {port} on 127.0.0.1 is taken by another program",
        f"Stop it, or take another port: --port {port + 1}, PELLUCID_PORT={port + 1} or `make run PORT={port + 1}`",
    ]


def test_a_port_of_a_running_pellucid() -> None:
    with _listener(_send(_answer(PELLUCID))) as port, pytest.raises(SettingsError) as caught:
        listen("127.0.0.1", port)
    assert str(caught.value).splitlines() == [
        f"port {port} on 127.0.0.1 is taken: Pellucid 9.8.7 is already running on http://127.0.0.1:{port}/",
        f"Stop it, or take another port: --port {port + 1}, PELLUCID_PORT={port + 1} or `make run PORT={port + 1}`",
    ]


@pytest.mark.parametrize(
    ("there", "wanted", "found"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0", "127.0.0.1"),
        ("::1", "::1", "[::1]"),
        ("::1", "::", "[::1]"),
        ("127.0.0.1", "::", "127.0.0.1"),
    ],
)
def test_a_pellucid_is_found_where_it_listens(there: str, wanted: str, found: str) -> None:
    if ":" in there + wanted and not _has_ipv6():
        pytest.skip("there is no IPv6 here")
    with _listener(_send(_answer(PELLUCID)), there) as port:
        running = find_running(wanted, port)
    assert running is not None
    assert (running.version, running.url) == ("9.8.7", f"http://{found}:{port}/")


def test_the_proposed_port_is_valid() -> None:
    with socket.socket() as server:
        try:
            server.bind(("127.0.0.1", 65_535))
        except OSError:
            pytest.skip("port 65535 is taken")
        server.listen()
        with pytest.raises(SettingsError, match="--port 65534"):
            listen("127.0.0.1", 65_535)


def test_no_program_is_found_where_none_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert find_running("127.0.0.1", bound.getsockname()[1]) is None
    assert find_running("no-such-host.invalid", 8400) is None
