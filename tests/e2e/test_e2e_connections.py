"""What comes in is bounded: connections, heads of requests, answers that nobody takes. Others notice nothing."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from e2e_server import DEADLINE_S, PellucidServer, PhotoOrigin, StartServer, running_server, wait_until
from PIL import Image
from raw_clients import Connect, crowd, get, is_open, read_all, read_answer, wait_until_closed

_NEIGHBOUR = "127.0.0.2"
"""Another client: only 127.0.0.1 is a trusted proxy."""

_HEAD_S = 2.0


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PellucidServer]:
    """A server whose limits are soon reached."""
    with running_server(
        tmp_path_factory.mktemp("bounded"),
        PELLUCID_WORKERS="0",
        PELLUCID_WEB_CONNECTIONS="300",
        PELLUCID_WEB_CONNECTIONS_PER_CLIENT="50",
        PELLUCID_WEB_HEAD_TIMEOUT_S=f"{_HEAD_S}",
        PELLUCID_WEB_IDLE_TIMEOUT_S="2",
        PELLUCID_WEB_STALL_TIMEOUT_S="3",
        PELLUCID_WEB_UNSENT_BYTES_PER_CLIENT="12000000",
        PELLUCID_WEB_EVENT_STREAMS_PER_CLIENT="2",
        PELLUCID_WEB_EVENT_PICTURES_PER_CLIENT="150",
        PELLUCID_ORIGIN_FAILURE_S="3600",
    ) as server:
        yield server


@pytest.fixture(scope="module")
def large(origin: PhotoOrigin, bounded: PellucidServer) -> str:
    """A picture of some 6 MB, rendered already."""
    noise = np.random.default_rng(1).integers(0, 256, (1250, 1600, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "PNG")
    path = origin.put("/large.png", out.getvalue()) + "?w=1600"
    assert len(bounded.ask(path).body) > 5_000_000
    return path


def _slowest_ms(server: PellucidServer, path: str) -> float:
    """The slowest of some answers to a well-behaved client, each on a connection of its own."""
    took: list[float] = []
    for _ in range(30):
        began = time.monotonic()
        assert server.ask(path).status == 200
        took.append(1000 * (time.monotonic() - began))
    return max(took)


# Descriptors


def test_the_soft_limit_of_files_is_raised(start_server: StartServer) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    server = start_server(PELLUCID_WORKERS="0", ulimit="ulimit -Sn 1024")
    for pid in server.pids("pellucid:"):
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (min(hard, 65_536), hard)


@pytest.mark.parametrize(
    ("limit", "settings", "sentence"),
    [
        (700, {}, "raise the hard limit"),
        (1500, {"PELLUCID_WEB_CONNECTIONS": "1400"}, "set it to 732 or less"),
    ],
)
def test_too_few_files_are_said_in_a_sentence(
    tmp_path: Path, limit: int, settings: dict[str, str], sentence: str
) -> None:
    ended = subprocess.run(
        ["bash", "-c", f"ulimit -n {limit}; exec {sys.executable} -m pellucid serve"],
        env={**os.environ, "PELLUCID_DATA_DIR": str(tmp_path), "PELLUCID_PORT": "0", **settings},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode != 0
    assert sentence in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


def test_few_files_mean_fewer_connections_and_a_line_in_the_log(start_server: StartServer) -> None:
    server = start_server(PELLUCID_WORKERS="0", ulimit="ulimit -n 1024")
    assert any("few open files" in line and '"connections": 256' in line for line in server.output)
    with crowd(server, 700, source="127.0.0.1"):
        assert server.ask("/-/ready").status in (200, 503)
        assert server.ask("/-/ready").headers["content-type"] == "application/json"
        [web] = server.pids("pellucid: web")
        assert len(os.listdir(f"/proc/{web}/fd")) < 256 + 100  # noqa: PTH208


# Heads


@pytest.mark.serial
def test_a_silent_connection_is_closed(bounded: PellucidServer, connect: Connect) -> None:
    assert wait_until_closed(connect(bounded), within_s=_HEAD_S + 3) > _HEAD_S - 0.5


@pytest.mark.serial
def test_a_head_byte_by_byte_is_timed_from_its_beginning(bounded: PellucidServer, connect: Connect) -> None:
    sock = connect(bounded)
    began = time.monotonic()
    with contextlib.suppress(OSError):
        for byte in get("/-/health", "X-Slow: " + "x" * 1000):
            sock.send(bytes([byte]))
            time.sleep(0.1)
            if time.monotonic() - began > _HEAD_S + 2:
                break
    assert time.monotonic() - began < _HEAD_S + 2
    with contextlib.suppress(ConnectionResetError):
        assert read_all(sock).startswith(b"HTTP/1.1 408")


def test_a_second_head_is_timed_from_its_first_byte(bounded: PellucidServer, connect: Connect) -> None:
    sock = connect(bounded)
    sock.send(get("/-/health"))
    assert read_answer(sock) == 200
    time.sleep(1)
    sock.send(b"GET ")
    assert read_all(sock).startswith(b"HTTP/1.1 408")


@pytest.mark.serial
def test_a_kept_connection_ends(bounded: PellucidServer, connect: Connect) -> None:
    sock = connect(bounded)
    sock.send(get("/-/health"))
    assert 1 < wait_until_closed(sock, within_s=6) < 5


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (get("/-/health", "X-Long: " + "x" * 70_000), 431),
        (get("/-/health", *(f"X-{n}: x" for n in range(5000))), 431),
        (b"GET /-/health HTTP/1.1\r\nX-Endless: " + b"x" * 700_000, 431),
        (get("/" + "x" * 40_000), 414),
        (b"GET /" + b"x" * 700_000, 414),
        (b"NONSENSE\r\n\r\n", 400),
    ],
    ids=["header", "headers", "endless-header", "url", "endless-url", "nonsense"],
)
def test_a_head_is_bounded(bounded: PellucidServer, connect: Connect, sent: bytes, status: int) -> None:
    sock = connect(bounded)
    sock.sendall(sent)
    answer = read_all(sock)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"connection: close" in answer
    assert b"application/problem+json" in answer


def test_a_url_of_usual_length_is_taken(bounded: PellucidServer) -> None:
    # 15 kB: not refused for its length, but because these name no picture.
    assert bounded.ask("/-/events?" + "&".join(f"url={'x' * 150}" for _ in range(100))).status == 404


# Ahead of their time


def test_requests_sent_ahead_are_bounded(bounded: PellucidServer, connect: Connect) -> None:
    sock = connect(bounded)
    sock.sendall(2000 * get("/-/health"))
    answers = read_all(sock).split(b"HTTP/1.1 200")[1:]
    assert 1 < len(answers) < 40
    assert [b"connection: close" in each for each in answers] == [False] * (len(answers) - 1) + [True]


@pytest.mark.serial
def test_a_body_that_nobody_reads_ends_the_connection(bounded: PellucidServer, connect: Connect) -> None:
    sock = connect(bounded)
    sock.send(get("/-/health", "Content-Length: 1000000000"))
    began = time.monotonic()
    with contextlib.suppress(OSError):
        while time.monotonic() - began < 5:
            sock.send(b"x" * 65_536)
    assert time.monotonic() - began < 5
    sock = connect(bounded)
    sock.send(get("/-/health", "Content-Length: 1000000000"))
    answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer


def test_a_protocol_that_we_do_not_speak_is_answered_in_ours(bounded: PellucidServer, connect: Connect) -> None:
    sock = connect(bounded)
    sock.send(get("/-/health", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"))
    answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer


# Many


def test_a_neighbour_with_a_thousand_sockets_is_not_noticed(
    bounded: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes, connect: Connect
) -> None:
    path = origin.put("/neighbour.jpg", otter_jpg) + "?w=100"
    bounded.ask(path)
    polite = connect(bounded, source="127.0.0.3")
    with crowd(bounded, 1000, source=_NEIGHBOUR, says=b"GET / HTTP/1.1\r\n") as socks:
        assert _slowest_ms(bounded, path) < 500
        assert sum(is_open(sock) for sock in socks) <= 50
        polite.send(get(path))
        assert polite.recv(100).startswith(b"HTTP/1.1 200"), "another's connection is not closed for it"


def test_when_all_places_are_taken_the_silent_go_first(
    bounded: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    """Sockets of a trusted address, which has no bound of its own, and of many others."""
    path = origin.put("/all-places.jpg", otter_jpg) + "?w=100"
    bounded.ask(path)
    with crowd(bounded, 1000, source="127.0.0.1") as socks:
        assert _slowest_ms(bounded, path) < 500
        assert sum(is_open(sock) for sock in socks) <= 300
    with contextlib.ExitStack() as stack:
        for last in range(20, 40):
            stack.enter_context(crowd(bounded, 50, source=f"127.0.0.{last}", says=b"GET / HTTP/1.1\r\n"))
        assert _slowest_ms(bounded, path) < 500


def test_a_client_beyond_its_share_is_told_so(bounded: PellucidServer, origin: PhotoOrigin, connect: Connect) -> None:
    """Its connections are all being answered, so none is closed for the next."""
    path = origin.put("/share.jpg", b"")
    origin.held["/share.jpg"] = threading.Event()
    try:
        with crowd(bounded, 50, source=_NEIGHBOUR, says=get(path)):
            time.sleep(0.5)
            assert read_all(connect(bounded, source=_NEIGHBOUR)).startswith(b"HTTP/1.1 503")
            assert bounded.ask("/-/health").status == 200
    finally:
        origin.held["/share.jpg"].set()


# Answers that are not taken


def test_an_answer_of_which_nothing_is_taken_is_dropped(bounded: PellucidServer, connect: Connect, large: str) -> None:
    sock = connect(bounded, source=_NEIGHBOUR, receive_bytes=4096)
    sock.send(get(large))
    time.sleep(6)
    sock.settimeout(10)
    received = 0
    with pytest.raises(ConnectionResetError):
        while part := sock.recv(1 << 16):
            received += len(part)
    assert received < 2_000_000


def test_an_answer_that_is_taken_slowly_arrives(bounded: PellucidServer, connect: Connect, large: str) -> None:
    sock = connect(bounded, source="127.0.0.4", receive_bytes=65_536)
    sock.send(get(large, "Connection: close"))
    received = 0
    pause_s = 6 / 90  # 65 kB at a time: about twice the time that nothing may be taken in
    while part := sock.recv(1 << 16):
        received += len(part)
        time.sleep(pause_s)
    assert received > 5_000_000


def test_answers_in_memory_are_bounded_by_client(bounded: PellucidServer, connect: Connect, large: str) -> None:
    socks = [connect(bounded, source="127.0.0.5", receive_bytes=4096) for _ in range(10)]
    for sock in socks:
        sock.send(get(large))
    time.sleep(1)
    whole = 0
    for sock in socks:
        sock.settimeout(5)
        with contextlib.suppress(OSError):
            whole += len(read_all(sock)) > 5_000_000 or sock.fileno() < 0
    assert whole <= 3, "12 MB hold two of them"


# Streams


def test_streams_and_pictures_are_bounded_by_the_client_behind_the_proxy(
    bounded: PellucidServer, connect: Connect, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    path = origin.put("/streams.jpg", otter_jpg)
    assert bounded.ask(f"{path}?w=100&bg_remove=1").state == "pending"

    def stream(client: str, first: int, pictures: int) -> bytes:
        urls = "&".join("url=" + quote(f"{path}?bg_remove=1&w={first + n}", safe="") for n in range(pictures))
        sock = connect(bounded)
        sock.send(get(f"/-/events?{urls}", f"X-Forwarded-For: {client}"))
        return sock.recv(12)[9:]

    assert [stream("192.0.2.1", n, 1) for n in (1, 2, 3)] == [b"200", b"200", b"503"]
    assert [stream("192.0.2.2", n, 1) for n in (1, 2, 3)] == [b"200", b"200", b"503"]
    assert stream("2001:db8::1", 1, 100) == b"200"
    assert stream("2001:db8::2", 1, 100) == b"503", "the same /64, and 200 pictures"
    assert stream("2001:db8::3", 1, 50) == b"200"


def test_a_client_may_not_make_its_address_up(
    bounded: PellucidServer, connect: Connect, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    """Who is no trusted proxy counts as who it is, whatever it says."""
    path = origin.put("/made-up.jpg", otter_jpg)
    assert bounded.ask(f"{path}?w=100&bg_remove=1").state == "pending"
    statuses: list[bytes] = []
    for n in range(3):
        sock = connect(bounded, source="127.0.0.9")
        sock.send(get(f"/-/events{path}?bg_remove=1&w={n + 1}", f"X-Forwarded-For: 192.0.2.{n}"))
        statuses.append(sock.recv(12)[9:])
    assert statuses == [b"200", b"200", b"503"]


# Bodies that nobody asked for


def test_a_body_with_a_stream_of_events_has_an_end(
    bounded: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes, connect: Connect
) -> None:
    path = origin.put("/poured.jpg", otter_jpg)
    sock = connect(bounded, source="127.0.0.5")
    sock.send(get(f"/-/events{path}?bg_remove=1", "Content-Length: 1000000000"))
    assert sock.recv(12)[9:] == b"200"
    poured = 0
    with contextlib.suppress(OSError):
        while poured < 200_000_000:
            poured += sock.send(bytes(65_536))
    assert poured < 50_000_000


def test_a_line_in_pieces_counts_once(bounded: PellucidServer, connect: Connect) -> None:
    sock = connect(bounded)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = get("/-/health", "Cookie: " + "x" * 40_000)
    for start in range(0, len(head), 1448):
        sock.send(head[start : start + 1448])
        time.sleep(0.002)
    assert read_answer(sock) == 200


@pytest.mark.serial
def test_heads_sent_ahead_are_bounded_together(
    bounded: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes, connect: Connect
) -> None:
    path = origin.put("/ahead.jpg", otter_jpg)
    origin.held["/ahead.jpg"] = threading.Event()
    sock = connect(bounded)
    sock.sendall(get(f"{path}?w=10") + 16 * get("/-/health", "Cookie: " + "x" * 30_000))
    wait_until(lambda: origin.hits["/ahead.jpg"])
    time.sleep(0.5)
    origin.held["/ahead.jpg"].set()
    answers = read_all(sock).split(b"HTTP/1.1 200")[1:]
    assert 2 <= len(answers) <= 4
    assert b"connection: close" in answers[-1]
