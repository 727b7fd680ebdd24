"""Origins as strangers choose them, against a real server: names that hang, crowds of hosts, circles."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from e2e_server import DEADLINE_S, PhotoOrigin, StartServer, endless_svg, free_port, running_server


@pytest.fixture
def silent_name_server() -> Iterator[str]:
    """A name server that takes every question and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


def test_names_that_hang_stop_no_other_origin(
    start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes, silent_name_server: str
) -> None:
    server = start_server(PELLUCID_WORKERS="0", PELLUCID_ORIGIN_NAMESERVERS=silent_name_server)
    port = origin.host.rpartition(":")[2]
    with ThreadPoolExecutor(100) as pool:
        hanging = [pool.submit(server.ask, f"/h{number}.hang.test/a.jpg?w=40") for number in range(100)]
        time.sleep(0.5)
        slowest_s = 0.0
        for number in range(5):
            origin.put(f"/beside-{number}.jpg", otter_jpg)
            began = time.monotonic()
            answer = server.ask(f"/http://beside-{number}.localhost:{port}/beside-{number}.jpg?w=40")
            slowest_s = max(slowest_s, time.monotonic() - began)
            assert answer.status == 200
        assert not any(each.done() for each in hanging), "all of them hang meanwhile"
        assert slowest_s < 2
        assert {each.result().status for each in hanging} == {504}
    began = time.monotonic()
    assert server.ask("/h1.hang.test/b.jpg?w=40").status == 504
    assert time.monotonic() - began < 2, "the name is left alone for a while"


def test_a_crowd_of_hosts_leaves_few_descriptors(
    start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    server = start_server(PELLUCID_WORKERS="0")
    origin.put("/crowd.jpg", otter_jpg)
    port = origin.host.rpartition(":")[2]
    (web,) = server.pids("pellucid: web")
    before = _sockets(web)
    with ThreadPoolExecutor(30) as pool:
        paths = [f"/http://crowd-{number}.localhost:{port}/crowd.jpg?w=40" for number in range(300)]
        assert {answer.status for answer in pool.map(server.ask, paths)} == {200}
    assert _sockets(web) - before < 64 + 40  # what is kept, and what of our own is not closed yet


def test_urls_of_the_server_in_urls_of_the_server(
    start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    port = free_port()
    own = f"127.0.0.1:{port}"
    server = start_server(
        PELLUCID_PORT=str(port),
        PELLUCID_WORKERS="0",
        PELLUCID_ALIASES=f"_self_=http://{own}/,_far_=http://{origin.host}/",
    )
    origin.put("/circle.jpg", otter_jpg)
    origin.redirects["/to-self.jpg"] = f"http://{own}/http://{origin.host}/circle.jpg?w=41"
    nested = f"/http://{own}" * 10 + f"/http://{origin.host}/circle.jpg?w=40"
    status_url = quote(f"http://{own}/-/status/http://{origin.host}/circle.jpg?bg_remove=1", safe="")
    for path in (
        nested,
        "/_self_" * 10 + "/_far_/circle.jpg?w=42",
        f"/http://{origin.host}/to-self.jpg?w=43",
        f"/{status_url}?w=44&ci_url_encoded=1",
        f"/-/status/http://{own}/http://{origin.host}/circle.jpg?w=45&bg_remove=1",
    ):
        began = time.monotonic()
        answer = server.ask(path)
        assert (answer.status, answer.headers["content-type"]) == (508, "application/problem+json"), path
        assert answer.headers["cache-control"] == "no-store"
        assert b"leads back to this server" in answer.body
        assert time.monotonic() - began < 5
    assert origin.hits["/circle.jpg"] == 0
    # One request took all slots: now a hundred leave some.
    with ThreadPoolExecutor(50) as pool:
        circles = [pool.submit(server.ask, nested.replace("w=40", f"w={width}")) for width in range(100, 200)]
        assert server.ask(f"/http://{origin.host}/circle.jpg?w=50").status == 200
        assert {each.result().status for each in circles} == {508}
    name = origin.headers["/circle.jpg"]["CDN-Loop"]
    assert origin.headers["/circle.jpg"]["Via"] == f"1.1 {name}"
    path = origin.put("/circle-2.jpg", otter_jpg)
    assert server.ask(f"{path}?w=50", CDN_Loop=f"edge, {name}").status == 508
    assert server.ask(f"{path}?w=50", CDN_Loop="edge").status == 200
    assert origin.headers["/circle-2.jpg"]["CDN-Loop"] == f"edge, {name}"


def test_private_and_no_store_hold_downstream(
    start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes, tmp_path: Path
) -> None:
    server = start_server(PELLUCID_CDN_TARGETED="true")
    for said, heard in (("private, max-age=99", "private, max-age=2592000"), ("no-store", "no-store")):
        name = f"/{said[:2]}-capped.jpg"
        path = origin.put(name, otter_jpg)
        origin.cache_control[name] = said
        for url in (f"{path}?w=50", f"{path}?w=60&bg_remove=1"):
            answer = server.wait_for(url, "ready" if "bg_remove" in url else "")
            again = server.ask(url)  # from memory
            unchanged = server.ask(url, If_None_Match=answer.headers["etag"])
            assert (again.status, unchanged.status) == (200, 304)
            for each in (answer, again, unchanged):
                assert each.headers["cache-control"] == heard
                assert "cdn-cache-control" not in each.headers
    assert server.process.poll() is None
    server.process.terminate()
    server.process.wait()
    for setting, heard in (("respect", "no-store"), ("ignore", "public, max-age=2592000, s-maxage=31536000")):
        with running_server(tmp_path / "data", PELLUCID_WORKERS="0", PELLUCID_ORIGIN_CACHE_CONTROL=setting) as server:
            answer = server.ask(f"/{origin.host}/no-capped.jpg?w=70")
            assert answer.headers["cache-control"] == heard
    assert origin.hits["/no-capped.jpg"] == 1, "what it said is remembered"


def test_the_cdn_hears_of_bytes_that_changed_by_themselves(
    start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes, bowl_jpg: bytes
) -> None:
    purged: list[str] = []

    class Cdn(BaseHTTPRequestHandler):
        def do_PURGE(self) -> None:
            purged.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    cdn = ThreadingHTTPServer(("127.0.0.1", 0), Cdn)
    thread = threading.Thread(target=cdn.serve_forever, daemon=True)
    thread.start()
    try:
        server = start_server(
            PELLUCID_WORKERS="0",
            PELLUCID_WEB_PROCESSES="2",
            PELLUCID_ORIGIN_FRESH_MIN_S="0",
            PELLUCID_ORIGIN_FRESH_DEFAULT_S="1",
            PELLUCID_CDN_PURGE_URL=f"http://127.0.0.1:{cdn.server_port}/{{tag}}",
            PELLUCID_CDN_PURGE_METHOD="PURGE",
        )
        path = origin.put("/changes.jpg", otter_jpg)
        before = server.ask(f"{path}?w=50")
        time.sleep(1.5)
        assert server.ask(f"{path}?w=50").headers["etag"] == before.headers["etag"]
        assert purged == []
        origin.put("/changes.jpg", bowl_jpg)
        deadline = time.monotonic() + DEADLINE_S
        while not purged:
            assert time.monotonic() < deadline
            server.ask(f"{path}?w=50")
            time.sleep(0.1)
        assert set(purged) == {f"/{before.headers['cache-tag']}"}
        # Whichever process answers now, the CDN gets the new picture.
        assert len({server.ask(f"{path}?w=50").headers["etag"] for _ in range(8)} - {before.headers["etag"]}) == 1
        assert before.headers["etag"] not in {server.ask(f"{path}?w=50").headers["etag"] for _ in range(8)}
    finally:
        cdn.shutdown()
        cdn.server_close()


def test_fetched_bodies_that_wait_for_rendering_are_not_in_memory(
    start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    """24 origins of 20 MB beside a busy renderer."""
    server = start_server(
        PELLUCID_WORKERS="0",
        PELLUCID_RENDER_PROCESSES="1",
        PELLUCID_ORIGIN_MAX_BYTES=str(24 << 20),
        PELLUCID_ORIGIN_MEMORY_BYTES=str(48 << 20),
    )
    (web,) = server.pids("pellucid: web")
    before = _resident_bytes(web)
    origin.files["/busy.svg"] = endless_svg()
    # Of the same bytes only the first would be probed.
    paths = [origin.put(f"/large-{number}.jpg", otter_jpg + bytes(20 << 20) + bytes([number])) for number in range(24)]
    with ThreadPoolExecutor(25) as pool:
        busy = pool.submit(server.ask, f"/{origin.host}/busy.svg?w=9")
        while not origin.hits["/busy.svg"]:
            time.sleep(0.01)
        asked = [pool.submit(server.ask, f"{path}?w=40") for path in paths]
        peak = before
        while not all(each.done() for each in asked):
            peak = max(peak, _resident_bytes(web))
            time.sleep(0.01)
        assert {each.result().status for each in asked} == {200}
        busy.result()
    # Its memory, the one body beyond it, and what is on its way to the renderer.
    assert peak - before < 250 << 20


def _resident_bytes(pid: int) -> int:
    status = (Path("/proc") / str(pid) / "status").read_text()
    return 1024 * int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])


def _sockets(pid: int) -> int:
    found = 0
    for each in (Path("/proc") / str(pid) / "fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(each.readlink()).startswith("socket:")
    return found
