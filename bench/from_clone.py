"""How long from `git clone` to the first cutout of a picture of one's own?

    python3 bench/from_clone.py [--port 8477]

Clones this repository into a temporary folder, with a fresh HOME (no pip cache, no weights), says `make run`, sends a
photograph to `/-/uploads` as soon as the server is ready, and asks for its cutout until it is there. Needs git, make,
Python 3.11 or later and the package registries; nothing of this repository's environment.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

_MODEL_BYTES = 165_000_000
"""Of the package with the default model's weights."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8477)
    port: int = parser.parse_args().port
    base = f"http://127.0.0.1:{port}"
    if _is_ready(base):
        raise SystemExit(f"something answers on port {port} already; name another with --port")
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        clone, home = Path(folder) / "pellucid", Path(folder) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "-q", str(Path(__file__).parents[1]), str(clone)], check=True)
        say("cloned")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PELLUCID_", "XDG_"))}
        run = subprocess.Popen(
            ["make", "run", f"PORT={port}"],
            cwd=clone,
            env=environ | {"HOME": str(home)},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while not (clone / ".venv" / ".installed").exists():
                _check(run)
            say("installed")
            while not list((home / ".cache" / "pellucid" / "models").glob("*.onnx")):
                _check(run)
            say(f"model there ({_MODEL_BYTES / 1e6:.0f} MB to download: {_MODEL_BYTES / 20e6:.0f} s at 20 MB/s)")
            while not _is_ready(base):
                _check(run)
            say("server ready, worker with its model")
            photo = (clone / "src" / "pellucid" / "demo" / "photos" / "dog.jpg").read_bytes()
            with urllib.request.urlopen(urllib.request.Request(f"{base}/-/uploads", photo, method="POST")) as answer:
                path = json.load(answer)["path"]
            say("own picture sent")
            while True:
                with urllib.request.urlopen(f"{base}{path}?w=400&bg_remove=1") as answer:
                    if answer.headers["Pellucid-Cutout"] == "ready":
                        break
                _check(run)
            say("its cutout")
        finally:
            os.killpg(run.pid, signal.SIGTERM)
            run.wait()


def _check(run: subprocess.Popen[bytes]) -> None:
    if run.poll() is not None:
        raise SystemExit(f"`make run` ended with {run.returncode}")
    time.sleep(0.1)


def _is_ready(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/-/ready") as answer:
            return answer.status == 200
    except OSError:
        return False


if __name__ == "__main__":
    main()
