"""How long until the cutout is there? Asks a fresh server for pictures that nobody has cut, one at a time.

    .venv/bin/python bench/first_cutout.py [--photos DIR...] [--count 40] [--megapixels 1]

For each picture: the first answer (the interim), then the same URL every 50 ms until `Pellucid-Cutout: ready`, then
another width and another colour. The server is started here, on loopback, with a data directory of its own. Without
--photos the pictures are crops of the sample photographs, each of another place, size and mirror; all are brought
to the wished number of pixels.
"""

from __future__ import annotations

import argparse
import http.client
import io
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image, ImageOps

from pellucid.demo.samples import SAMPLES, SAMPLES_FOLDER


def made_photos(count: int, megapixels: float) -> Iterator[bytes]:
    draw = random.Random(1)  # the same pictures at every run
    for number in range(count):
        image = Image.open(SAMPLES_FOLDER / SAMPLES[number % len(SAMPLES)]).convert("RGB")
        keep = draw.uniform(0.75, 1.0)
        width, height = int(image.width * keep), int(image.height * keep)
        left, top = draw.randint(0, image.width - width), draw.randint(0, image.height - height)
        image = image.crop((left, top, left + width, top + height))
        yield as_jpeg(ImageOps.mirror(image) if number % 2 else image, megapixels)


def found_photos(folders: list[Path], count: int, megapixels: float) -> Iterator[bytes]:
    files = [
        file
        for folder in folders
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in (".jpg", ".jpeg", ".png")
    ]
    for file in files[:count]:
        yield as_jpeg(Image.open(file).convert("RGB"), megapixels)


def as_jpeg(image: Image.Image, megapixels: float) -> bytes:
    scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
    out = io.BytesIO()
    image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS).save(
        out, "JPEG", quality=90
    )
    return out.getvalue()


@contextmanager
def origin_of(files: dict[str, bytes]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = files.get(self.path, b"")
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@contextmanager
def pellucid(data_dir: Path) -> Iterator[tuple[str, str]]:
    """A running server: its address, and its line about the model."""
    environ = os.environ | {
        "PELLUCID_DATA_DIR": str(data_dir),
        "PELLUCID_PORT": "0",
        "PELLUCID_ORIGIN_ALLOW_NETWORKS": "127.0.0.0/8",
        "PELLUCID_ORIGIN_ALLOW_PORTS": "*",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "pellucid", "serve"], env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        banner = ""
        for line in process.stdout:
            banner += line
            if "Ctrl-C" in line:
                break
        address = re.search(r"on http://(\S+)", banner)
        model = re.search(r"model +(.+)", banner)
        if address is None or model is None:
            sys.exit("the server did not start")
        try:
            yield address[1], model[1]
        finally:
            process.terminate()


def ask(address: str, path: str) -> tuple[float, str]:
    """Milliseconds, and the state of the cutout."""
    started = time.perf_counter()
    client = http.client.HTTPConnection(address, timeout=60)
    client.request("GET", path)
    answer = client.getresponse()
    answer.read()
    client.close()
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status}")
    return (time.perf_counter() - started) * 1000, (answer.headers["Pellucid-Cutout"] or "").partition(";")[0]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path, nargs="+")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--megapixels", type=float, default=1.0)
    options = parser.parse_args()
    photos = (
        found_photos(options.photos, options.count, options.megapixels)
        if options.photos
        else made_photos(options.count, options.megapixels)
    )
    files = {f"/{number}.jpg": body for number, body in enumerate(photos)}
    times: dict[str, list[float]] = {"interim": [], "cutout there": [], "other width": [], "other colour": []}
    with (
        tempfile.TemporaryDirectory() as data_dir,
        origin_of(files) as host,
        pellucid(Path(data_dir)) as (address, model),
    ):
        for path in files:
            url = f"/{host}{path}?w=400&bg_remove=1"
            started = time.perf_counter()
            ms, state = ask(address, url)
            times["interim"].append(ms)
            while state not in ("ready", "no-subject"):
                time.sleep(0.05)
                _, state = ask(address, url)
            times["cutout there"].append((time.perf_counter() - started) * 1000)
            times["other width"].append(ask(address, url.replace("400", "640"))[0])
            times["other colour"].append(ask(address, f"{url}&bg_color=456")[0])
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}; {model}")
    print(f"{len(files)} pictures of {options.megapixels:g} MP, one at a time, w=400; milliseconds\n")
    print("| | median | 95th percentile | largest |\n|---|---|---|---|")
    for name, values in times.items():
        ordered = sorted(values)
        p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)) - 1)]
        print(f"| {name} | {statistics.median(ordered):.0f} | {p95:.0f} | {ordered[-1]:.0f} |")


if __name__ == "__main__":
    main()
