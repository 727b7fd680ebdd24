"""How many cached pictures a second does one web process on one core answer?

    .venv/bin/python bench/hot_path.py [--seconds 10] [--connections 32]

Starts Pellucid (one web process pinned to core 0) and `wrk` (Debian package, core 1) on loopback, asks for a rendition
of about 20 kB: 200s, 304s, then 200s again while two matte workers and two render processes are kept busy on both
cores. A bare uvicorn application that answers the same bytes is measured in the same run, for the ratio.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pellucid.demo.samples import SAMPLE_PATHS

_PORT, _BARE_PORT = 8491, 8492

_BARE = """
import sys, uvicorn
body = open(sys.argv[1], "rb").read()
headers = [(b"content-type", b"image/jpeg"), (b"content-length", str(len(body)).encode())]
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False, lifespan="off", server_header=False)
"""

_LUA = """
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d\\n", summary.requests * 1e6 / summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """Requests a second, latencies in ms, errors."""

    rate: int
    median_ms: float
    p99_ms: float
    errors: int


def measure(url: str, *, seconds: int, connections: int, headers: dict[str, str] | None = None) -> Load:
    """One run of wrk on core 1."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_LUA)
        script.flush()
        lines = [part for name, value in (headers or {}).items() for part in ("-H", f"{name}: {value}")]
        command = [
            "taskset",
            "-c",
            "1",
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "-s",
            script.name,
            *lines,
            url,
        ]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", output)
    if found is None:
        sys.exit(f"wrk said nothing useful:\n{output}")
    rate, median_us, p99_us, errors = map(int, found.groups())
    return Load(rate, median_us / 1000, p99_us / 1000, errors)


@contextmanager
def server(folder: Path) -> Iterator[int]:
    """Pellucid with two matte workers and two render processes; yields the web process's id."""
    environ = os.environ | {
        "PELLUCID_DATA_DIR": str(folder),
        "PELLUCID_PORT": str(_PORT),
        "PELLUCID_WORKERS": "2",
        "PELLUCID_RENDER_PROCESSES": "2",
        "PELLUCID_LOG_LEVEL": "error",
        "PELLUCID_QUEUE_DEPTH": "10000",
    }
    command = [str(Path(sys.executable).parent / "pellucid"), "serve"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as process:
        try:
            web = _wait_for_web(process.pid)
            subprocess.run(["taskset", "-a", "-p", "-c", "0", str(web)], check=True, stdout=subprocess.DEVNULL)
            yield web
        finally:
            process.terminate()
            process.wait()


def _wait_for_web(parent: int) -> int:
    for _ in range(600):
        time.sleep(0.1)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{_PORT}/-/ready") as answer:
                if answer.status == 200:
                    break
        except OSError:
            continue
    listing = subprocess.run(
        ["pgrep", "-P", str(parent), "-f", "pellucid: web"], capture_output=True, text=True, check=True
    )
    return int(listing.stdout.split()[0])


@contextmanager
def bare(body: Path) -> Iterator[None]:
    """The same bytes from a bare uvicorn application on core 0."""
    command = ["taskset", "-c", "0", sys.executable, "-c", _BARE, str(body), str(_BARE_PORT)]
    with subprocess.Popen(command) as process:
        try:
            time.sleep(2)
            yield
        finally:
            process.terminate()


@contextmanager
def saturated() -> Iterator[None]:
    """Four clients that ask for new sizes of new cutouts all the time."""
    stop = threading.Event()

    def ask(number: int) -> None:
        width = 200 + number * 1000
        while not stop.is_set():
            width += 1
            tier = ("fast", "standard", "best")[width % 3]
            query = f"w={width % 1500 + 50}&bg_remove=1&bg_quality={tier}&q={width % 90 + 5}"
            url = f"http://127.0.0.1:{_PORT}{SAMPLE_PATHS[number]}?{query}"
            try:
                urllib.request.urlopen(url).read()
            except OSError:
                time.sleep(0.05)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(3)
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    run = {"seconds": options.seconds, "connections": options.connections}
    with tempfile.TemporaryDirectory() as folder, server(Path(folder) / "data"):
        url = f"http://127.0.0.1:{_PORT}{SAMPLE_PATHS[0]}?w=360"
        with urllib.request.urlopen(url) as answer:
            body, etag = answer.read(), answer.headers["etag"]
        copy = Path(folder) / "body"
        copy.write_bytes(body)
        rows = {}
        with bare(copy):
            rows["bare uvicorn, 200"] = measure(f"http://127.0.0.1:{_BARE_PORT}/", **run)
        rows["Pellucid, 200"] = measure(url, **run)
        rows["Pellucid, 304"] = measure(url, headers={"If-None-Match": etag}, **run)
        with saturated():
            rows["Pellucid, 200, workers busy"] = measure(url, **run)
    print(f"{len(body)} bytes, {options.connections} connections, {options.seconds} s each\n")
    print("| | requests/s | of bare | median, ms | p99, ms | errors |\n|---|---|---|---|---|---|")
    for name, load in rows.items():
        share = load.rate / rows["bare uvicorn, 200"].rate
        print(f"| {name} | {load.rate:,} | {share:.2f} | {load.median_ms:.2f} | {load.p99_ms:.2f} | {load.errors} |")


if __name__ == "__main__":
    main()
