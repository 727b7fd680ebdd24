"""Real processes, the real model, a real HTTP origin on loopback."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

from pellucid.demo.samples import SAMPLES_FOLDER
from pellucid.queue.queue import Queue
from pellucid.settings.load import load_settings
from pellucid.wiring.storage import open_database, open_queue

DEADLINE_S = 120.0
"""For what takes a second on a quiet machine: another process of the same run, and others, may keep it busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


def sample_photo(name: str, size: tuple[int, int]) -> bytes:
    """A sample photograph of the package at a size of ours, as PNG."""
    out = io.BytesIO()
    ImageOps.fit(Image.open(SAMPLES_FOLDER / name), size, Image.Resampling.LANCZOS).save(out, "PNG")
    return out.getvalue()


def as_jpeg(png: bytes, quality: int = 92) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(out, "JPEG", quality=quality)
    return out.getvalue()


def endless_svg() -> bytes:
    """A picture of 1 MB that keeps a renderer busy for minutes."""
    rectangle = '<rect width="3000" height="3000" filter="url(#f)"/>'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="3000" height="3000"><filter id="f">'
        '<feTurbulence numOctaves="200" baseFrequency="0.9"/></filter>' + rectangle * 6000 + "</svg>"
    ).encode()


def free_port() -> int:
    """A port that nobody listens on, for servers that must know theirs before they start."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class PhotoOrigin:
    """An HTTP server on loopback that counts who asks for what."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.hits: Counter[str] = Counter()
        self.delay_s = 0.0
        self.headers: dict[str, dict[str, str]] = {}
        """The headers of the last request for each path."""
        self.cache_control: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.held: dict[str, threading.Event] = {}
        """Answers that go out, with the bytes of when they were asked for, once their event is set."""
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                origin.hits[self.path] += 1
                origin.headers[self.path] = dict(self.headers.items())
                if self.path in origin.redirects:
                    self.send_response(302)
                    self.send_header("Location", origin.redirects[self.path])
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                time.sleep(origin.delay_s)
                body = origin.files.get(self.path)
                if self.path in origin.held:
                    origin.held[self.path].wait(DEADLINE_S)
                if body is None:
                    self.send_error(404)
                    return
                etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
                unchanged = self.headers.get("If-None-Match") == etag
                self.send_response(304 if unchanged else 200)
                if self.path in origin.cache_control:
                    self.send_header("Cache-Control", origin.cache_control[self.path])
                if unchanged:
                    self.end_headers()
                    return
                self.send_header("Content-Length", str(len(body)))
                self.send_header("ETag", etag)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that hangs up, or tries TLS first

        self._server = Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def put(self, path: str, body: bytes) -> str:
        """Serve `body` under `path`; returns the path at Pellucid.

        The path is appended: mattes belong to bytes, and every test wants a picture that nobody has cut yet.
        """
        self.files[path] = body + path.encode()
        return f"/{self.host}{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@asynccontextmanager
async def queue_of(data_dir: Path, **variables: str) -> AsyncGenerator[Queue]:
    """The queue of a server, as one more process of it would open it."""
    settings = load_settings(flags={}, environ={"PELLUCID_DATA_DIR": str(data_dir), **variables})
    async with open_database(settings) as database, open_queue(settings, database) as queue:
        yield queue


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def state(self) -> str:
        return self.headers.get("pellucid-cutout", "").partition(";")[0]

    @property
    def image(self) -> Image.Image:
        return Image.open(io.BytesIO(self.body))

    @property
    def rgba(self) -> npt.NDArray[np.uint8]:
        return np.asarray(self.image.convert("RGBA"))


@dataclass
class PellucidServer:
    """One `pellucid serve`, its address and its process tree."""

    process: subprocess.Popen[str]
    address: str
    data_dir: Path
    output: list[str] = field(default_factory=list[str])

    @property
    def database(self) -> Path:
        """The file of its database."""
        return self.data_dir / "pellucid.sqlite"

    def ask(
        self, path: str, *, method: str = "GET", timeout_s: float = DEADLINE_S, body: bytes = b"", **headers: str
    ) -> Answer:
        """One request. Header names with `_` for `-`; no Accept unless given."""
        client = http.client.HTTPConnection(self.address, timeout=timeout_s)
        try:
            client.putrequest(method, path, skip_accept_encoding=True, skip_host="Host" in headers)
            for name, value in headers.items():
                client.putheader(name.replace("_", "-"), value)
            if body:
                client.putheader("Content-Length", str(len(body)))
            client.endheaders(body or None)
            answer = client.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            client.close()

    def wait_for(self, path: str, state: str, **headers: str) -> Answer:
        """Ask until the cutout is in `state`."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            answer = self.ask(path, **headers)
            if answer.state == state:
                return answer
            assert time.monotonic() < deadline, f"{path} is still {answer.headers.get('pellucid-cutout')}"
            assert answer.status == 200
            time.sleep(0.05)

    def pids(self, title: str) -> list[int]:
        """Ids of this server's processes whose title starts with `title`."""
        parents = {pid: _parent(pid) for pid in _all_pids()}
        ours: list[int] = []
        for pid in parents:
            up: int | None = pid
            while up is not None and up != self.process.pid:
                up = parents.get(up)
            if up == self.process.pid and _title(pid).startswith(title):
                ours.append(pid)
        return ours

    def wait_for_pids(self, title: str, *, other_than: list[int]) -> list[int]:
        """Wait until processes called `title` run that are not those named."""
        deadline = time.monotonic() + DEADLINE_S
        while not (found := [pid for pid in self.pids(title) if pid not in other_than]):
            assert time.monotonic() < deadline, f"no new process {title!r}"
            time.sleep(0.02)
        return found


def _all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _parent(pid: int) -> int | None:
    try:
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None


def wait_until(condition: Callable[[], object]) -> None:
    """Until it holds, with the deadline of all that is waited for."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_until_dead(pids: list[int]) -> None:
    """Until none of `pids` runs; a zombie is dead (who reaps orphans is not ours to say)."""
    deadline = time.monotonic() + DEADLINE_S
    while alive := [pid for pid in pids if _state(pid) not in (None, "Z", "X")]:
        assert time.monotonic() < deadline, f"processes are left: {alive}"
        time.sleep(0.05)


def _state(pid: int) -> str | None:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return None


def _title(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


StartServer = Callable[..., PellucidServer]


_COMPILE = """
from pellucid.settings.load import load_settings
from pellucid.wiring.engines import open_engine, resolve_recipe
settings = load_settings(flags={})
open_engine(settings, resolve_recipe(settings))
"""
"""What a matte worker does before it asks for jobs."""

_compiled: Path | None = None
"""The default model compiled for this CPU, once `compiled_model` ran."""


@pytest.fixture(scope="session", autouse=True)
def compiled_model(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile the default model once for all servers: each would need 2.5 s and write 136 MB into its data folder.

    Where pytest has several processes they share it, and whichever comes first compiles.
    """
    global _compiled  # noqa: PLW0603 - `running_server` is called where no fixture is at hand
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled-model"
    with Path(f"{made}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            data_dir = tmp_path_factory.mktemp("compiling")
            environ = _environ(PELLUCID_DATA_DIR=str(data_dir))
            subprocess.run([sys.executable, "-c", _COMPILE], env=environ, check=True, timeout=5 * DEADLINE_S)
            (data_dir / "compiled").rename(made)
    _compiled = made


def _environ(**settings: str) -> dict[str, str]:
    """This process's variables, its settings of Pellucid replaced by those named; the models are where they are."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PELLUCID_")},
        **{name: value for name, value in os.environ.items() if name == "PELLUCID_MODELS_DIR"},
        **settings,
    }


def _link_compiled_model(data_dir: Path) -> None:
    """As if a server had run there before. What the runtime reads is never written again, so links do."""
    if _compiled is None or (data_dir / "compiled").exists():
        return
    (data_dir / "compiled").mkdir(parents=True)
    for blob in _compiled.iterdir():
        (data_dir / "compiled" / blob.name).hardlink_to(blob)


@contextmanager
def running_server(data_dir: Path, *, port: int = 0, ulimit: str = "true", **settings: str) -> Iterator[PellucidServer]:
    """`pellucid serve` on a free port of loopback, allowed to fetch from there, after the shell's command `ulimit`."""
    _link_compiled_model(data_dir)
    usual = {
        "PELLUCID_DATA_DIR": str(data_dir),
        "PELLUCID_PORT": str(port),
        "PELLUCID_ORIGIN_ALLOW_NETWORKS": "127.0.0.0/8",
        "PELLUCID_ORIGIN_ALLOW_PORTS": "*",
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        ["bash", "-c", f'{ulimit}; exec "$0" -m pellucid serve', sys.executable],
        env=_environ(**usual | settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    output: list[str] = []
    up = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            if "Ctrl-C stops" in line:
                up.set()
        up.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert up.wait(DEADLINE_S)
        banner = re.search(r"on http://(\S+)", "".join(output))
        assert banner, "".join(output)
        yield PellucidServer(process=process, address=banner[1], data_dir=data_dir, output=output)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        reader.join(5)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="session")
def origin() -> Iterator[PhotoOrigin]:
    """The origin that all tests share; each uses paths of its own."""
    origin = PhotoOrigin()
    yield origin
    origin.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PellucidServer]:
    """The server that most tests share: all of them are one client, and send more pictures than one may by default."""
    with running_server(tmp_path_factory.mktemp("data"), PELLUCID_UPLOADS_PER_CLIENT="1000") as server:
        yield server


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Start servers of one's own, with settings of one's own; they are stopped at the end."""
    with ExitStack() as stack:

        def start(data_dir: Path | None = None, **settings: str) -> PellucidServer:
            return stack.enter_context(running_server(data_dir or tmp_path / "data", **settings))

        yield start


@pytest.fixture(scope="session")
def dog_png() -> bytes:
    """An animal: a dog."""
    return sample_photo("dog.jpg", (512, 512))


@pytest.fixture(scope="session")
def bowl_jpg() -> bytes:
    """A product: a bowl."""
    return as_jpeg(sample_photo("bowl.jpg", (600, 400)))


@pytest.fixture(scope="session")
def otter_jpg() -> bytes:
    """A picture of another size: an otter."""
    return as_jpeg(sample_photo("otter.jpg", (640, 427)))
