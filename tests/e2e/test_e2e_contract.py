"""The asynchronous contract, by HTTP: states, lifetimes, validators, formats, and pixels."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from e2e_server import DEADLINE_S, PellucidServer, PhotoOrigin, StartServer
from PIL import Image

LONG = "public, max-age=2592000, s-maxage=31536000"
SHORT = "public, max-age=5, s-maxage=5"
CORS = {
    "access-control-allow-origin": "*",
    "timing-allow-origin": "*",
    "cross-origin-resource-policy": "cross-origin",
    "x-content-type-options": "nosniff",
}


def test_worked_examples(server: PellucidServer, origin: PhotoOrigin, dog_png: bytes, bowl_jpg: bytes) -> None:
    dog, purse = origin.put("/dog.png", dog_png), origin.put("/purse.jpg", bowl_jpg)

    plain = server.ask(f"{dog}?w=400")
    assert (plain.status, plain.image.format, plain.image.size) == (200, "PNG", (400, 400))
    assert plain.headers["cache-control"] == LONG
    assert "pellucid-cutout" not in plain.headers

    first = server.ask(f"{dog}?w=400&bg_remove=1")
    assert (first.status, first.state, first.headers["cache-control"]) == (200, "pending", SHORT)
    assert first.headers["pellucid-cutout"].startswith("pending;position=1;eta=")
    assert first.body == plain.body, "the interim is the original at the wished size"

    cut = server.wait_for(f"{dog}?w=400&bg_remove=1", "ready")
    assert cut.headers["cache-control"] == LONG
    assert cut.headers["etag"] != first.headers["etag"]
    assert (cut.image.format, cut.image.mode, cut.image.size) == ("PNG", "RGBA", (400, 400))
    alpha = cut.rgba[:, :, 3]
    assert alpha[180:234, 117:234].min() > 240, "the dog stays"
    assert alpha[:20, :20].max() < 30, "the corner goes"

    assert server.ask(f"{purse}?w=400").image.format == "JPEG"
    first = server.ask(f"{purse}?w=400&bg_remove=1&bg_color=456")
    assert (first.state, first.image.format, first.image.size) == ("pending", "JPEG", (400, 267))
    solid = server.wait_for(f"{purse}?w=400&bg_remove=1&bg_color=456", "ready")
    assert (solid.image.format, solid.headers["cache-control"]) == ("JPEG", LONG)
    assert first.headers["vary"] == solid.headers["vary"] == "Accept", "for some the cutout is AVIF or WebP"
    corner = np.asarray(solid.image.convert("RGB"))[:8, :8].reshape(-1, 3)
    assert np.abs(corner.astype(int) - (0x44, 0x55, 0x66)).max() <= 3, "JPEG is lossy"
    exact = server.ask(f"{purse}?w=400&bg_remove=1&bg_color=456&force_format=png")
    assert exact.state == "ready", "another format of a cut picture is there at once"
    assert "vary" not in exact.headers, "forced: nothing to negotiate"
    assert tuple(exact.rgba[0, 0]) == (0x44, 0x55, 0x66, 255)
    assert exact.rgba[:, :, 3].min() == 255

    for answer in (plain, first, cut, solid, exact):
        assert answer.headers.items() >= CORS.items()
        assert "last-modified" not in answer.headers


def test_spellings_of_one_wish_share_one_rendition(server: PellucidServer, origin: PhotoOrigin, dog_png: bytes) -> None:
    path = origin.put("/spellings.png", dog_png)
    encoded = f"/http%3A%2F%2F{origin.host.replace(':', '%3A')}%2Fspellings.png"
    answers = [
        server.ask(url)
        for url in (
            f"{path}?w=300",
            f"/http:/{path}?w=300",
            f"/http:/{path[1:]}?w=300",
            f"/v7{path}?width=300",
            f"/v7/http:/{path}?width=300.2",
            f"{encoded}?w=300&ci_url_encoded=1",
        )
    ]
    assert {answer.status for answer in answers} == {200}
    assert len({answer.headers["etag"] for answer in answers}) == 1


def test_other_sizes_and_colours_of_a_cut_picture_are_ready_at_once(
    server: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    path = origin.put("/otter.jpg", otter_jpg)
    server.wait_for(f"{path}?w=200&bg_remove=1", "ready")
    hits = origin.hits["/otter.jpg"]
    for query in ("w=320", "h=100", "w=100&h=100", "w=300&h=300&func=bound", "bg_color=red", "w=50&bg_color=00ff0080"):
        answer = server.ask(f"{path}?bg_remove=1&{query}", Accept="image/webp")
        assert (answer.state, answer.status) == ("ready", 200), query
    assert origin.hits["/otter.jpg"] == hits


def test_each_tier_has_a_matte_of_its_own(server: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    url = origin.put("/tiers.jpg", bowl_jpg) + "?w=300&bg_remove=1&force_format=png"
    usual = server.wait_for(url, "ready")
    named = server.ask(f"{url}&bg_quality=standard")
    assert (named.state, named.headers["etag"]) == ("ready", usual.headers["etag"]), "the default, said aloud"
    assert server.ask(f"{url}&bg_quality=fast").state == "pending"
    fast = server.wait_for(f"{url}&bg_quality=fast", "ready")
    best = server.wait_for(f"{url}&bg_quality=best", "ready")
    assert len({usual.headers["etag"], fast.headers["etag"], best.headers["etag"]}) == 3
    bad = server.ask(f"{url}&bg_quality=superb")
    assert bad.status == 400
    assert b"fast, standard, best" in bad.body


def test_conditional_requests(server: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes) -> None:
    url = origin.put("/conditional.jpg", otter_jpg) + "?w=220&bg_remove=1"
    pending = server.ask(url)
    ready = server.wait_for(url, "ready")

    same = server.ask(url, If_None_Match=ready.headers["etag"])
    assert (same.status, same.body) == (304, b"")
    for name in ("cache-control", "etag", "vary", "pellucid-cutout"):
        assert same.headers[name] == ready.headers[name], name
    assert "last-modified" not in same.headers

    changed = server.ask(url, If_None_Match=pending.headers["etag"])
    assert changed.status == 200, "who holds the interim gets the cutout"
    ignored = server.ask(url, If_Modified_Since="Fri, 31 Dec 2100 00:00:00 GMT")
    assert ignored.status == 200


def test_head_does_what_get_does(server: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes) -> None:
    url = origin.put("/head.jpg", otter_jpg) + "?w=230&bg_remove=1"
    head = server.ask(url, method="HEAD")
    assert (head.status, head.state, head.body) == (200, "pending", b"")
    server.wait_for(url, "ready")  # the job of the HEAD runs: nobody else asked
    head, get = server.ask(url, method="HEAD"), server.ask(url)
    for name in ("etag", "content-length", "content-type", "cache-control", "pellucid-cutout", "vary"):
        assert head.headers[name] == get.headers[name], name
    assert head.body == b""
    assert int(get.headers["content-length"]) == len(get.body)


def test_format_of_a_transparent_jpeg_follows_accept(
    server: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes
) -> None:
    url = origin.put("/accept.jpg", bowl_jpg) + "?w=240&bg_remove=1"
    interim = server.ask(url, Accept="image/webp,*/*")
    assert (interim.image.format, interim.headers["vary"], interim.state) == ("JPEG", "Accept", "pending")
    webp = server.wait_for(url, "ready", Accept="image/avif,image/webp,*/*;q=0.8")
    png = server.ask(url, Accept="*/*")
    assert (webp.image.format, webp.headers["content-type"], webp.headers["vary"]) == ("WEBP", "image/webp", "Accept")
    assert (png.image.format, png.headers["content-type"], png.headers["vary"]) == ("PNG", "image/png", "Accept")
    assert webp.rgba[0, 0, 3] < 30
    original = server.ask(f"{url}&force_format=original")
    assert (original.image.format, "vary" in original.headers) == ("JPEG", False)
    white = np.asarray(original.image.convert("RGB"))[0, 0]
    assert white.min() > 250, "JPEG without a colour gets white"


def test_unknown_parameters_are_named_and_make_no_rendition(
    server: PellucidServer, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    path = origin.put("/unknown.jpg", otter_jpg)
    plain, odd = server.ask(f"{path}?w=111"), server.ask(f"{path}?w=111&xy=3&nonsense=%0d%0aX:1")
    assert odd.headers["etag"] == plain.headers["etag"]
    assert odd.headers["pellucid-ignored"] == '"xy", "nonsense"'


def test_nothing_recognisable_keeps_the_original_for_long(server: PellucidServer, origin: PhotoOrigin) -> None:
    out = io.BytesIO()
    Image.new("RGB", (300, 200), (120, 130, 140)).save(out, "PNG")
    url = origin.put("/flat.png", out.getvalue()) + "?w=150&bg_remove=1"
    answer = server.wait_for(url, "no-subject")
    assert answer.headers["cache-control"] == LONG
    assert answer.rgba[:, :, 3].min() == 255
    assert tuple(answer.rgba[50, 50, :3]) == (120, 130, 140)


def test_a_full_queue_answers_busy_and_serves_all_the_same(
    start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes, bowl_jpg: bytes
) -> None:
    server = start_server(PELLUCID_WORKERS="0", PELLUCID_QUEUE_DEPTH="1")
    first = server.ask(origin.put("/busy1.jpg", otter_jpg) + "?w=100&bg_remove=1")
    assert first.state == "pending"
    busy = server.ask(origin.put("/busy2.jpg", bowl_jpg) + "?w=100&bg_remove=1")
    assert (busy.status, busy.headers["pellucid-cutout"], busy.image.size) == (200, "busy", (100, 67))
    life = int(busy.headers["cache-control"].rpartition("=")[2])
    assert 5 <= life <= 30


@pytest.mark.parametrize("path", ["/-/health", "/-/ready"])
def test_own_routes(server: PellucidServer, path: str) -> None:
    answer = server.ask(path)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")


def test_ready_needs_a_worker(start_server: StartServer) -> None:
    answer = start_server(PELLUCID_WORKERS="0").ask("/-/ready")
    assert answer.status == 503
    assert b"no worker has loaded the model" in answer.body


def test_what_is_lost_or_damaged_on_disk_is_made_again(
    start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    server = start_server()
    path = origin.put("/damage.jpg", otter_jpg)
    server.wait_for(f"{path}?w=90&bg_remove=1", "ready")
    store = server.data_dir / "store"
    for folder in ("mattes", "bytes", "renditions"):
        for file in (store / folder).rglob("*"):
            if file.is_file():
                os.truncate(file, file.stat().st_size // 2)
    damaged = server.ask(f"{path}?w=91&bg_remove=1")
    assert (damaged.status, damaged.state) == (200, "pending")
    server.wait_for(f"{path}?w=91&bg_remove=1", "ready")
    for folder in ("mattes", "bytes", "renditions", "origins"):
        shutil.rmtree(store / folder)
    server.wait_for(f"{path}?w=92&bg_remove=1", "ready")


def test_a_small_cache_keeps_the_origins_of_owed_jobs(
    start_server: StartServer, origin: PhotoOrigin, otter_jpg: bytes
) -> None:
    """More origins than the cache holds are wished at once. None that is owed may be evicted before its job is done;
    when they fill the cache no more are owed.
    """
    server = start_server(PELLUCID_WORKERS="0", PELLUCID_CACHE_MAX_BYTES=str(4 * len(otter_jpg)))
    urls = [
        origin.put(f"/pinned-{number}.jpg", otter_jpg) + "?w=90&bg_remove=1&bg_quality=fast" for number in range(12)
    ]
    for _ in range(2):
        states = [server.ask(url).state for url in urls]
        assert set(states) == {"pending", "busy"}
    assert 4 <= states.count("pending") < len(urls)
    hits = origin.hits.copy()
    mattes = server.data_dir / "store" / "mattes"
    environ = os.environ | {"PELLUCID_DATA_DIR": str(server.data_dir)}
    with subprocess.Popen([sys.executable, "-m", "pellucid", "work"], env=environ) as worker:
        try:
            deadline = time.monotonic() + DEADLINE_S
            while len(list(mattes.glob("*"))) < states.count("pending"):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert origin.hits == hits, "every matte was made from the bytes that were kept"
            while len(list(mattes.glob("*"))) < len(urls):
                assert time.monotonic() < deadline
                for url in urls:
                    server.ask(url)
        finally:
            worker.send_signal(signal.SIGTERM)
