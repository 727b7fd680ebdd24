"""nginx's cache in front of a real server, set up by the very file that docs/cdn.md shows."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from e2e_server import DEADLINE_S, Answer, PellucidServer, PhotoOrigin, running_server
from PIL import Image

CONF = Path(__file__).parents[2] / "docs" / "nginx" / "pellucid.conf"
KEY = "the-key-of-this-test"
LIFE_S = 2
"""Of a pending answer. nginx counts whole seconds: it keeps one for 2 to 3 s."""

LONG = "public, max-age=2592000, s-maxage=31536000"
CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
FIREFOX = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
OLD_BROWSER = "image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"


@dataclass
class Edge(PellucidServer):
    """nginx's address and process; `inner` is the server behind it."""

    inner: PellucidServer | None = None

    def behind(self) -> PellucidServer:
        assert self.inner is not None
        return self.inner


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    nginx, module = find_nginx()
    if nginx is None or module is None:
        sentence = "nginx with its module ngx_http_cache_purge is not installed (Debian: nginx-light, "
        sentence += "libnginx-mod-http-cache-purge), so nothing is known of Pellucid behind it"
        if "nginx" in os.environ.get("TEST_REQUIRES", "").split(","):
            pytest.fail(f"{sentence}; TEST_REQUIRES asks for it")
        pytest.skip(sentence)
    port, purge_port = free_ports(2)
    with (
        running_server(
            tmp_path_factory.mktemp("data"),
            PELLUCID_CACHE_PENDING_S=str(LIFE_S),
            PELLUCID_CACHE_STALE_S="1",
            PELLUCID_WEB_ADMIN_KEY=KEY,
            PELLUCID_CDN_PURGE_URL=f"http://127.0.0.1:{purge_port}{{url}}",
            PELLUCID_CDN_PURGE_METHOD="PURGE",
            PELLUCID_WORKERS="1",
        ) as inner,
        running_nginx(
            nginx, module, tmp_path_factory.mktemp("nginx"), port=port, purge_port=purge_port, inner=inner
        ) as edge,
    ):
        yield edge


def find_nginx() -> tuple[str | None, Path | None]:
    """The program and its module; Debian keeps the program where only root looks for programs."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if nginx is None:
        return None, None
    build = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True).stderr
    folder = re.search(r"--modules-path=(\S+)", build)
    module = Path(folder[1]) / "ngx_http_cache_purge_module.so" if folder else None
    return nginx, module if module is not None and module.exists() else None


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def running_nginx(
    nginx: str, module: Path, folder: Path, *, port: int, purge_port: int, inner: PellucidServer
) -> Iterator[Edge]:
    """nginx with the documented configuration; only its paths and addresses are filled in."""
    site = CONF.read_text()
    for documented, here in {
        "/var/cache/nginx-pellucid": f"{folder}/cache",
        "server 127.0.0.1:8400;": f"server {inner.address};",
        "listen 80;": f"listen 127.0.0.1:{port};",
        "listen 127.0.0.1:8480;": f"listen 127.0.0.1:{purge_port};",
    }.items():
        assert site.count(documented) == 1, f"{CONF.name} says {documented!r} not once"
        site = site.replace(documented, here)
    (folder / "site.conf").write_text(site)
    temporary = "\n".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    (folder / "nginx.conf").write_text(f"""
        load_module {module};
        {"user root root;" if os.geteuid() == 0 else ""}  # others may not write into the folder of a test
        worker_processes 2;
        pid {folder}/pid;
        error_log stderr;
        events {{}}
        http {{
            access_log off;
            {temporary}
            include {folder}/site.conf;
        }}
    """)
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [nginx, "-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;"],
            stdout=file,
            stderr=file,
            text=True,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not is_open(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield Edge(process=process, address=f"127.0.0.1:{port}", data_dir=folder, inner=inner)
    finally:
        process.terminate()
        process.wait(30)
    assert "exited on signal" not in log.read_text(), "a worker of nginx crashed"


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def whence(answer: Answer) -> str:
    """What nginx says of where it had the answer: its line of Cache-Status is the last."""
    return answer.headers["cache-status"]


def ask_until_kept(edge: Edge, path: str, *, method: str = "GET", **headers: str) -> Answer:
    """Ask until the answer comes from nginx's cache; a client may have one before nginx put it there."""
    deadline = time.monotonic() + DEADLINE_S
    while whence(answer := edge.ask(path, method=method, **headers)) != HIT:
        assert time.monotonic() < deadline, answer.headers
        time.sleep(0.01)
    return answer


HIT, MISS, STALE = "nginx; hit", "nginx; fwd=uri-miss", "nginx; fwd=stale"


def test_a_pending_answer_is_kept_for_its_life_and_no_longer(edge: Edge, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    for attempt in range(5):
        url = origin.put(f"/nginx/pending-{attempt}.jpg", bowl_jpg) + "?w=200&bg_remove=1&force_format=png"
        began = time.monotonic()
        first, second = edge.ask(url), ask_until_kept(edge, url)
        if time.monotonic() - began < LIFE_S:
            break
    else:
        pytest.fail(f"no two answers within {LIFE_S} s")
    assert (first.state, whence(first)) == ("pending", MISS)
    assert first.headers["cache-control"] == f"public, max-age={LIFE_S}, s-maxage={LIFE_S}"
    assert (second.state, second.body) == ("pending", first.body)

    edge.behind().wait_for(url, "ready")
    time.sleep(LIFE_S + 1)
    after = edge.ask(url)
    assert (after.state, whence(after)) == ("ready", STALE), "past its life it was asked again"
    assert after.headers["cache-control"] == LONG
    ask_until_kept(edge, url)
    time.sleep(LIFE_S + 1)
    kept = edge.ask(url)
    assert (kept.state, whence(kept), kept.body) == ("ready", HIT, after.body), "the cutout outlives a pending answer"
    assert kept.headers["cache-control"] == LONG


def test_what_has_no_subject_is_not_called_pending_for_a_year(edge: Edge, origin: PhotoOrigin) -> None:
    """Its bytes are those of the interim: a cache that only had the old answer confirmed would keep the old headers."""
    out = io.BytesIO()
    Image.new("RGB", (300, 200), (120, 130, 140)).save(out, "PNG")
    url = origin.put("/nginx/flat.png", out.getvalue()) + "?w=150&bg_remove=1"
    first = edge.ask(url)
    assert first.state == "pending"
    last = edge.wait_for(url, "no-subject")
    assert (last.headers["etag"], last.headers["cache-control"]) == (first.headers["etag"], LONG)
    assert ask_until_kept(edge, url).state == "no-subject"


def test_formats_follow_accept_and_all_browsers_of_a_kind_share_one(
    edge: Edge, origin: PhotoOrigin, bowl_jpg: bytes
) -> None:
    url = origin.put("/nginx/accept.jpg", bowl_jpg) + "?w=240&bg_remove=1"
    edge.behind().wait_for(url, "ready")
    webp, png = edge.ask(url, Accept=CHROME), edge.ask(url, Accept=OLD_BROWSER)
    assert (webp.image.format, whence(webp)) == ("WEBP", MISS)
    assert (png.image.format, whence(png)) == ("PNG", MISS)
    for accept in (CHROME, OLD_BROWSER):
        ask_until_kept(edge, url, Accept=accept)
    for accept, first in (
        (FIREFOX, webp),
        ("image/avif;q=0.1, image/webp;q=0.5", webp),
        ("image/avif, image/webp;q=0, */*", png),
        ("*/*", png),
    ):
        again = edge.ask(url, Accept=accept)
        assert (whence(again), again.body) == (HIT, first.body), accept
        assert again.body == edge.behind().ask(url, Accept=accept).body, "as the server itself reads the header"
        assert again.headers["vary"] == "Accept", "the browser's own cache needs it"
    bare = edge.ask(url)
    assert (whence(bare), bare.body) == (HIT, png.body)


def test_an_opaque_picture_has_three_variants(edge: Edge, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    url = origin.put("/nginx/opaque.jpg", bowl_jpg) + "?w=240"
    firsts = {accept: edge.ask(url, Accept=accept) for accept in (CHROME, "image/webp, image/avif;q=0.0", OLD_BROWSER)}
    assert [whence(first) for first in firsts.values()] == [MISS] * 3
    avif, webp, jpeg = firsts.values()
    assert (avif.image.format, jpeg.image.format) == ("AVIF", "JPEG")
    assert len(avif.body) < len(webp.body) <= len(jpeg.body)
    for accept, first in firsts.items():
        assert ask_until_kept(edge, url, Accept=accept).body == first.body
        assert edge.behind().ask(url, Accept=accept).body == first.body
    assert edge.ask(url, Accept=FIREFOX).body == avif.body


def test_a_head_is_no_answer_to_a_get(edge: Edge, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    url = origin.put("/nginx/head.jpg", bowl_jpg) + "?w=250&bg_remove=1&bg_color=456"
    edge.behind().wait_for(url, "ready")
    head = edge.ask(url, method="HEAD")
    assert (head.status, head.state, whence(head), head.body) == (200, "ready", MISS, b"")
    ask_until_kept(edge, url, method="HEAD")
    get = edge.ask(url)
    assert (get.status, whence(get), get.image.size) == (200, HIT, (250, 167))
    assert get.body == edge.behind().ask(url).body
    assert head.headers["content-length"] == str(len(get.body))


def test_a_304_passes(edge: Edge, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    url = origin.put("/nginx/conditional.jpg", bowl_jpg) + "?w=260&bg_remove=1"
    interim = edge.behind().ask(url)
    ready = edge.behind().wait_for(url, "ready")
    for ask in (edge.ask, partial(ask_until_kept, edge)):
        same = ask(url, If_None_Match=ready.headers["etag"])
        assert (same.status, same.body) == (304, b"")
        for name in ("cache-control", "etag", "vary", "pellucid-cutout"):
            assert same.headers[name] == ready.headers[name], name
    changed = edge.ask(url, If_None_Match=interim.headers["etag"])
    assert (changed.status, changed.body) == (200, ready.body), "who holds the interim gets the cutout"


def test_urls_arrive_as_they_were_written(edge: Edge, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    path = origin.put("/nginx/a%2Fb//c.jpg", bowl_jpg)
    encoded = quote(f"http:/{path}", safe="")
    for url in (f"{path}?w=120", f"/http:/{path}?w=120", f"/{encoded}?w=120&ci_url_encoded=1"):
        through = edge.ask(url)
        assert (through.status, whence(through)) == (200, MISS), url
        assert through.image.size == (120, 80)


def test_a_long_url_passes_and_so_does_the_answer(edge: Edge, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    url = origin.put(f"/nginx/{'long/' * 780}bowl.jpg", bowl_jpg) + "?w=130&bg_remove=1"
    answer = edge.ask(url)
    assert (answer.status, answer.state) == (200, "pending")
    assert sum(len(name) + len(value) + 4 for name, value in answer.headers.items()) < 4000, "proxy_buffer_size, mostly"


def test_events_come_while_the_stream_is_open(edge: Edge, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    picture = origin.put("/nginx/events.jpg", bowl_jpg) + "?w=270&bg_remove=1"
    others = [f"{picture}&bg_color={number:06x}&the_rest={'x' * 80}" for number in range(99)]
    query = "&".join(f"url={quote(url, safe='')}" for url in [picture, *others])
    client = http.client.HTTPConnection(edge.address, timeout=DEADLINE_S)
    try:
        client.request("GET", f"/-/events?{query}")
        stream = client.getresponse()
        assert (stream.status, stream.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
        lines = (line.decode().strip() for line in stream)
        events = (line.removeprefix("event: ") for line in lines if line.startswith("event: "))
        # Nobody asked for the picture, so the stream stays open; a buffer would hold this back for good.
        assert next(events) == "unasked"
        assert edge.ask(picture).state == "pending"
        assert "ready" in list(events)
    finally:
        client.close()


def test_who_waits_is_not_answered_from_the_cache(edge: Edge, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    url = origin.put("/nginx/waits.jpg", bowl_jpg) + "?w=280&bg_remove=1&force_format=png"
    assert edge.ask(url).state == "pending"
    waited = edge.ask(url, Prefer="wait=25")
    assert (waited.state, whence(waited)) == ("ready", "nginx; fwd=bypass")


def test_a_changed_origin_is_purged_in_every_format(
    edge: Edge, origin: PhotoOrigin, bowl_jpg: bytes, otter_jpg: bytes
) -> None:
    url = origin.put("/nginx/changing.jpg", bowl_jpg) + "?w=210&bg_remove=1"
    other = origin.put("/nginx/unchanged.jpg", bowl_jpg) + "?w=210&bg_remove=1"
    old: dict[str, Answer] = {}
    for accept in (CHROME, OLD_BROWSER):
        for each in (url, other):
            edge.behind().wait_for(each, "ready", Accept=accept)
            ask_until_kept(edge, each, Accept=accept)
        old[accept] = edge.ask(url, Accept=accept)

    origin.files["/nginx/changing.jpg"] = otter_jpg
    client = http.client.HTTPConnection(edge.behind().address, timeout=DEADLINE_S)
    try:
        client.request("POST", "/-/invalidate", json.dumps({"urls": [url]}), headers={"Authorization": f"Bearer {KEY}"})
        assert client.getresponse().status == 200
    finally:
        client.close()

    for accept, former in old.items():
        deadline = time.monotonic() + DEADLINE_S
        while True:
            new = edge.ask(url, Accept=accept)
            if new.state == "ready" and new.headers["etag"] != former.headers["etag"]:
                break
            assert time.monotonic() < deadline, f"{new.headers} for {accept}"
            time.sleep(0.05)
        assert new.image.size == (210, 140), "640 x 427; the picture before was 210 x 140, too"
        assert new.body == edge.behind().ask(url, Accept=accept).body
        assert ask_until_kept(edge, url, Accept=accept).body == new.body
        assert whence(edge.ask(other, Accept=accept)) == HIT, "a picture that was not named stays"


def test_uploads_come_through_and_clients_cannot_make_up_their_address(edge: Edge) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    assert len(out.getvalue()) > 1_500_000, "more than nginx takes by itself"
    told = []
    for made_up in ("192.0.2.1", "192.0.2.2"):
        answer = edge.ask("/-/uploads", method="POST", body=out.getvalue(), X_Forwarded_For=made_up)
        assert answer.status == 201, answer.body
        told.append(json.loads(answer.body))
    database = sqlite3.connect(edge.behind().database)
    assert len(database.execute("SELECT DISTINCT client FROM uploads").fetchall()) == 1
    database.close()
    for each in told:
        assert edge.ask(each["path"]).status == 200
        key = f"Bearer {each['delete_key']}"
        assert edge.ask(f"/-/uploads/{each['name']}", method="DELETE", Authorization=key).status == 204
        wait_for_404 = time.monotonic() + DEADLINE_S
        while edge.ask(each["path"]).status != 404:
            assert time.monotonic() < wait_for_404, "the purge did not reach nginx"
            time.sleep(0.1)
