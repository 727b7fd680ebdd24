"""Hostile and huge pictures beside a well-behaved client, against a real server."""

from __future__ import annotations

import io
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from e2e_server import Answer, PellucidServer, PhotoOrigin, StartServer
from PIL import Image

pytestmark = pytest.mark.e2e

DEADLINE_S = 60
ONE = {"PELLUCID_RENDER_PROCESSES": "1", "PELLUCID_WORKERS": "0"}

SLOW_SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="1200" height="1200">'
    b'<filter id="f" x="0" y="0" width="1" height="1">'
    + b'<feTurbulence baseFrequency=".2" numOctaves="9"/><feMorphology radius="40"/>' * 60
    + b'</filter><rect filter="url(#f)" width="1200" height="1200"/></svg>'
)
"""Small, and a minute of work at any size that is worth looking at."""


def photo(width: int, height: int, *, seed: int, quality: int = 85) -> bytes:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (height // 20, width // 20, 3), dtype=np.uint8))
    file = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=quality)
    return file.getvalue()


def flat(format_: str, side: int, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side), 3 if mode in ("P", "L") else (200, 30, 90)).save(file, format_, **options)
    return file.getvalue()


def resident_bytes(pid: int) -> int:
    try:
        return int((Path("/proc") / str(pid) / "statm").read_text().split()[1]) * 4096
    except (OSError, IndexError):
        return 0


class Peaks:
    """The most that processes of one title have had in memory since the start."""

    def __init__(self, server: PellucidServer, title: str) -> None:
        self._server = server
        self._title = title
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.bytes = 0

    def __enter__(self) -> Peaks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        pids = self._server.pids(self._title)
        looks = 0
        while not self._over.wait(0.01):
            looks += 1
            if looks % 50 == 0:
                pids = self._server.pids(self._title)
            self.bytes = max([self.bytes, *map(resident_bytes, pids)])


def test_bytes_that_are_gone_from_the_store_stop_nobody(start_server: StartServer, origin: PhotoOrigin) -> None:
    """The store lost the bytes, the origin changed meanwhile, and three widths are asked for at once: each held a place
    and waited for another one to probe the new bytes in, for ever.
    """
    server = start_server(**ONE)
    path = origin.put("/lost/photo.jpg", photo(800, 600, seed=1))
    assert server.ask(f"{path}?w=100").status == 200
    for stored in (server.data_dir / "store" / "bytes").rglob("*"):
        if stored.is_file():
            stored.unlink()
    origin.put("/lost/photo.jpg", photo(800, 600, seed=2))
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda width: server.ask(f"{path}?w={width}", timeout_s=30), range(200, 206)))
    assert {answer.status for answer in answers} <= {200, 502}
    assert server.ask("/_samples_/bowl.jpg?w=123", timeout_s=10).status == 200
    assert server.ask(f"{path}?w=300", timeout_s=10).status == 200
    ready = server.ask("/-/ready").body
    assert b'"render":"ok"' in ready.replace(b" ", b"")


def test_a_slow_origin_of_lost_bytes_holds_up_no_other_picture(start_server: StartServer, origin: PhotoOrigin) -> None:
    server = start_server(**ONE)
    paths = [origin.put(f"/slow/{each}.jpg", photo(400, 300, seed=10 + each)) for each in range(4)]
    assert all(server.ask(f"{path}?w=100").status == 200 for path in paths)
    for stored in (server.data_dir / "store" / "bytes").rglob("*"):
        if stored.is_file():
            stored.write_bytes(b"damaged")
    held = threading.Event()
    for each in range(4):
        origin.held[f"/slow/{each}.jpg"] = held
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(server.ask, f"{path}?w=200") for path in paths]
        time.sleep(0.5)
        answer = server.ask("/_samples_/bowl.jpg?w=124")
        assert not any(each.done() for each in waiting)
        held.set()
        assert {each.result().status for each in waiting} == {200}
    assert answer.status == 200


def test_a_huge_rendition_holds_up_and_spoils_nothing_but_itself(
    start_server: StartServer, origin: PhotoOrigin
) -> None:
    """It times out; every other size of its picture, and every other picture, goes on meanwhile and afterwards."""
    server = start_server(**ONE, PELLUCID_RENDER_TIMEOUT_S="2", PELLUCID_IMAGE_MAX_ENLARGED_PIXELS="50000000")
    path = origin.put("/huge/photo.jpg", photo(1200, 800, seed=3))
    other = origin.put("/huge/other.jpg", photo(1200, 800, seed=4))
    assert server.ask(f"{path}?w=50").status == 200
    with ThreadPoolExecutor(2) as pool:
        huge = [pool.submit(server.ask, f"{path}?w={width}&h=5800&force_format=webp") for width in (8600, 8500)]
        time.sleep(0.2)
        rounds = 0
        while not all(each.done() for each in huge):
            rounds += 1
            assert server.ask(f"{path}?w={100 + rounds}").status == 200
            assert server.ask(f"{other}?w={100 + rounds}").status == 200
    assert {each.result().status for each in huge} == {500}
    assert rounds > 2
    assert server.ask(f"{path}?w=601").status == 200
    heavy = server.pids("pellucid: render")
    assert server.ask(f"{path}?w=8600&h=5800&force_format=webp").status == 500  # remembered
    assert server.pids("pellucid: render") == heavy


def test_enlarging_has_a_limit_of_its_own(server: PellucidServer, origin: PhotoOrigin) -> None:
    path = origin.put("/enlarged/photo.jpg", photo(1200, 800, seed=5))
    answer = server.ask(f"{path}?w=8600&h=5800")
    assert answer.status == 400
    assert b"16000000 pixels" in answer.body
    assert server.ask(f"{path}?w=4000").status == 200


def test_a_picture_that_is_slow_at_any_size_is_left_alone(start_server: StartServer, origin: PhotoOrigin) -> None:
    """It is taken for light at first; others wait for it for seconds at most, and its further sizes cost nothing."""
    server = start_server(**ONE, PELLUCID_RENDER_TIMEOUT_S="15")
    origin.files["/svg/slow.svg"] = SLOW_SVG
    path = f"/{origin.host}/svg/slow.svg"
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.ask, f"{path}?w=1000")
        time.sleep(0.3)
        assert server.ask("/_samples_/bowl.jpg?w=125").status == 200
        assert not slow.done()
        assert b'"render":"ok"' in server.ask("/-/ready").body.replace(b" ", b"")
        assert slow.result().status == 500
    running = server.pids("pellucid: render")
    assert server.ask(f"{path}?w=900").status == 500
    assert server.pids("pellucid: render") == running


def test_few_bytes_take_little_memory(start_server: StartServer, origin: PhotoOrigin) -> None:
    """100 megapixels of one colour took 1.1 to 1.9 GB in a render process and up to 2.3 in a worker."""
    server = start_server(PELLUCID_RENDER_PROCESSES="1", PELLUCID_WORKERS="1", PELLUCID_ORIGIN_CONNECT_TIMEOUT_S="30")
    pictures = {
        "reducible.jp2": flat("JPEG2000", 10_000, "L"),
        "flat.bmp": rle_bmp(10_000),
        "flat.avif": claiming_avif(),
    }
    worker = server.pids("pellucid: matte worker")[0]
    loaded = resident_bytes(worker)
    with Peaks(server, "pellucid: render") as render, Peaks(server, "pellucid: matte worker") as matte:
        for name, data in pictures.items():
            path = origin.put(f"/few/{name}", data)
            answers = [server.ask(f"{path}?w=400"), server.ask(f"{path}?w=400&bg_remove=1")]
            assert {answer.status for answer in answers} <= {200, 422}, name
            if answers[1].status == 200:
                wait_until_settled(server, f"{path}?w=400&bg_remove=1")
    assert render.bytes < 1 << 30
    assert matte.bytes < loaded + (1 << 30)
    assert server.ask("/_samples_/bowl.jpg?w=126").status == 200
    assert worker in server.pids("pellucid: matte worker")


def wait_until_settled(server: PellucidServer, path: str) -> Answer:
    deadline = time.monotonic() + DEADLINE_S
    while (answer := server.ask(path)).state in ("pending", "busy"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return answer


def rle_bmp(side: int) -> bytes:
    """Runs of one colour: 100 million pixels in 0.8 MB."""
    row = b"".join(bytes([min(255, side - at), 5]) for at in range(0, side, 255)) + b"\0\0"
    pixels = row * side + b"\0\1"
    palette = bytes(1024)
    offset = 14 + 40 + len(palette)
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(pixels), 2835, 2835, 256, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + head + palette + pixels


def claiming_avif() -> bytes:
    """A small AVIF whose header says 10,000 x 10,000."""
    data = bytearray(flat("AVIF", 64, speed=10))
    at = data.index(b"ispe") + 8
    struct.pack_into(">II", data, at, 10_000, 10_000)
    return bytes(data)
