"""Pages that use a client of Cloudimage, in a Chromium to which Pellucid is `*.cloudimg.io`.

Clients write `https://TOKEN.cloudimg.io/...` and nothing else, so there has to be TLS: `tls_front` takes it off and
hands on the bytes as they come. Chromium is told where that host is and not to look at its certificate.
"""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import ssl
import subprocess
import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from e2e_server import DEADLINE_S
from npm_packages import Packages, give_up
from PIL import Image
from playwright.sync_api import Page, Request, Response

_BLOCK_BYTES = 1 << 16

_SHOWN = """() => {
    const shown = [...document.images].map(image => ({
        url: image.currentSrc, natural: [image.naturalWidth, image.naturalHeight], tried: image.complete }));
    for (const element of document.querySelectorAll("*")) {
        const url = /^url\\("(.*)"\\)$/.exec(getComputedStyle(element).backgroundImage);
        if (url) shown.push({ url: url[1], natural: null, tried: true });
    }
    return shown;
}"""


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate that nobody vouches for, for `*.cloudimg.io`, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        give_up("chromium", "no openssl here to make a certificate, so Chromium cannot be sent to loopback by https")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", "/CN=cloudimg.io", "-addext", "subjectAltName=DNS:*.cloudimg.io"),
        *("-keyout", str(key), "-out", str(certificate)),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S)
    return certificate, key


@dataclass
class TlsFront:
    """A port that speaks TLS, in front of a server that does not. Nothing is changed on the way."""

    port: int
    heads: deque[bytes] = field(default_factory=deque[bytes])
    """Of the requests that went through, as they came."""

    def requests(self) -> list[str]:
        """The URLs of the requests so far, put together from what the server was sent: scheme, Host, request target."""
        urls: list[str] = []
        for head in list(self.heads):
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ")
            assert method == "GET", first
            (host,) = [line[5:].strip() for line in lines if line.lower().startswith("host:")]
            urls.append(f"https://{host}{target}")
        return urls


@contextmanager
def tls_front(address: str, certificate: Path, key: Path) -> Generator[TlsFront]:
    """TLS on a free port, handed on to `address`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    heads: deque[bytes] = deque()
    host, _, port = address.rpartition(":")
    started: list[TlsFront] = []
    up = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, watched: bool) -> None:
        unread = b""
        try:
            with suppress(OSError):  # either side hangs up
                while block := await reader.read(_BLOCK_BYTES):
                    if watched:  # requests of a page have no bodies: an empty line is the end of one
                        *whole, unread = (unread + block).split(b"\r\n\r\n")
                        heads.extend(whole)
                    writer.write(block)
                    await writer.drain()
            writer.close()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            pipe(reader, inner_writer, watched=True), pipe(inner_reader, writer, watched=False), return_exceptions=True
        )

    async def serve() -> None:
        server = await asyncio.start_server(connect, "127.0.0.1", 0, ssl=context)
        started.append(TlsFront(server.sockets[0].getsockname()[1], heads))
        up.set()
        await stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.05)  # what was aborted is closed by the loop's next rounds

    def run() -> None:
        with closing(loop):
            try:
                loop.run_until_complete(serve())
            finally:
                up.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        assert up.wait(DEADLINE_S)
        assert started, "the TLS front did not start"
        yield started[0]
    finally:
        if started:
            loop.call_soon_threadsafe(stop.set)
        thread.join(DEADLINE_S)


class Site:
    """The web server of a site that uses Cloudimage: pages of a test, and the packages that they use, as single files
    below `/npm/`, and CommonJS modules with all they need as `/bundle/one+other`, which defines `require`.
    """

    def __init__(self, packages: Packages) -> None:
        self.pages: dict[str, bytes] = {}
        self._packages = packages
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one segment: two would wait for each other's acknowledgement, 40 ms a file

            def do_GET(self) -> None:
                status, headers, body = site._answer(self.path)
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://site.localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        if path in self.pages:
            return 200, {"Content-Type": "text/html; charset=utf-8"}, self.pages[path]
        javascript = {"Content-Type": "text/javascript; charset=utf-8"}
        if path.startswith("/bundle/"):
            return 200, javascript, self._bundle(path.removeprefix("/bundle/"))
        found = self._packages.find(path.removeprefix("/npm/"))
        if found is None:
            return 404, {}, b""
        name, body = found
        # What it imports is relative to where it is.
        return (200, javascript, body) if path == f"/npm/{name}" else (302, {"Location": f"/npm/{name}"}, b"")

    @cache  # noqa: B019 - it lives as long as the tests
    def _bundle(self, entries: str) -> bytes:
        script = (Path(__file__).parent / "commonjs.js").read_text()
        return (
            f"{script}window.require = makeRequire({json.dumps(self._packages.bundle(entries.split('+')))});".encode()
        )


@dataclass(frozen=True)
class Shown:
    """One picture of a page. `natural` is its size in CSS pixels as the page sees it, None for a background; `pixels`
    the size of the file.
    """

    url: str
    natural: tuple[int, int] | None
    pixels: tuple[int, int]
    headers: dict[str, str]
    data: bytes

    @property
    def image(self) -> Image.Image:
        return Image.open(io.BytesIO(self.data)).convert("RGBA")


class ClientPage:
    """A page that is open, and everything it asked for."""

    def __init__(self, page: Page, front: TlsFront, site: Site) -> None:
        self.page = page
        self.site = site
        self._front = front
        self._before = len(front.heads)
        self._pending: set[Request] = set()
        self._answers: dict[str, Response] = {}
        self._failed: dict[str, str] = {}
        self._expected: set[str] = set()
        self.errors: list[str] = []
        page.on("request", lambda request: self._pending.add(request))  # noqa: PLW0108 - it wants a Python function
        page.on("response", self._note)
        page.on("requestfinished", lambda request: self._pending.discard(request))  # noqa: PLW0108
        page.on("requestfailed", self._note_failure)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, answer: Response) -> None:
        self._answers[answer.url] = answer

    def _note_failure(self, request: Request) -> None:
        self._pending.discard(request)
        self._failed[request.url] = str(request.failure)

    def open(self, body: str, imports: dict[str, str] | None = None) -> None:
        """Open a page with `body`; `imports` says where modules are (an import map)."""
        path = f"/{len(self.site.pages)}.html"
        head = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><style>body { margin: 0 }</style>'
        mapped = f'<script type="importmap">{json.dumps({"imports": imports})}</script>' if imports else ""
        self.site.pages[path] = f"{head}{mapped}<body>{body}".encode()
        self.page.goto(f"{self.site.address}{path}")

    def run(self, script: str, argument: Any = None) -> Any:
        """The value of a function of the page's."""
        return self.page.evaluate(script, argument)

    def show(self, **attributes: str | None) -> None:
        """One more picture, with `attributes` as a template would write them."""
        self.run(
            """attributes => {
                const image = new Image();
                for (const [name, value] of Object.entries(attributes)) image.setAttribute(name, value);
                document.body.append(image);
            }""",
            {name: value for name, value in attributes.items() if value is not None},
        )

    def wait(self, images: int = 0) -> list[Shown]:
        """Until all pictures, and at least so many `images`, were loaded or could not be; then what is shown.

        Nothing may have failed: no request, no answer of 400 or more, no script. And the server was asked for what the
        page shows, to the letter, and for nothing else.
        """
        deadline = time.monotonic() + DEADLINE_S
        while not self._is_settled(images):
            assert time.monotonic() < deadline, f"still waiting for {self._pending or self.run(_SHOWN)}"
            self.page.wait_for_timeout(20)
        refused = [
            f"{answer.url}: {answer.status} {answer.text()[:300]}"
            for answer in self._answers.values()
            if answer.status >= 400
        ]
        failed = [f"{url}: {why} {self._ask(url)}" for url, why in self._failed.items()]
        problems = (*refused, *failed, *self.errors)
        assert not problems, "\n".join(problems)
        shown = [self._shown(each) for each in self.run(_SHOWN)]
        self._expected |= {each.url for each in shown}
        assert set(self.requested()) == self._expected
        return shown

    def _is_settled(self, images: int) -> bool:
        shown = self.run(_SHOWN)
        return (
            not self._pending
            and sum(each["natural"] is not None for each in shown) >= images
            and all(each["tried"] and (each["url"] in self._answers or each["url"] in self._failed) for each in shown)
        ) or bool(self.errors)

    def _ask(self, url: str) -> str:
        """What there is at `url`: pages, and so their tests, are not told what was answered in place of a picture."""
        return self.run(
            """url => fetch(url).then(
                async answer => `(${answer.status} ${(await answer.text()).slice(0, 400)})`, error => `(${error})`)""",
            url,
        )

    def requested(self) -> list[str]:
        """The URLs that the server was asked for by this page, in order."""
        return self._front.requests()[self._before :]

    def _shown(self, each: dict[str, Any]) -> Shown:
        answer = self._answers[each["url"]]
        data = answer.body()
        natural = each["natural"] and (each["natural"][0], each["natural"][1])
        return Shown(each["url"], natural, Image.open(io.BytesIO(data)).size, answer.headers, data)
