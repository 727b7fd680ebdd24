"""The demo page as its tests use it: a page object, and the browser it is open in."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
from e2e_server import DEADLINE_S, PellucidServer
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, Response, Route, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED = "chromium" in os.environ.get("TEST_REQUIRES", "").split(",")

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and not REQUIRED, reason="no Chromium here: `apt-get install chromium`, then these run as well"
)

DEADLINE_MS = DEADLINE_S * 1000
DESKTOP, PHONE = (1280, 800), (390, 844)

_CARRIER = """([texts, files]) => {
    const carrier = new DataTransfer();
    for (const [type, text] of Object.entries(texts)) carrier.items.add(text, type);
    for (const [name, type, text] of files) {
        const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
        carrier.items.add(new File([bytes], name, { type }));
    }
    return carrier;
}"""

_OFFERS_WHAT_IT_SHOWS = """() =>
    document.getElementById("download").href === document.getElementById("cutout").src"""


@dataclass(frozen=True)
class Carried:
    """A file that is chosen, pasted or dropped."""

    name: str
    data: bytes
    media_type: str = "image/jpeg"


@dataclass
class Demo:
    """The page, open in a tab of its own."""

    page: Page
    server: PellucidServer
    asked: list[str] = field(default_factory=list[str])
    """URLs that were asked for."""
    answered: list[Response] = field(default_factory=list[Response])

    def open(self, host: str = "") -> Demo:
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("response", lambda answer: self.answered.append(answer))  # noqa: PLW0108 - it wants a Python function
        address = self.server.address
        self.page.goto(f"http://{host + ':' + address.rpartition(':')[2] if host else address}/")
        return self

    @property
    def words(self) -> str:
        return self.page.inner_text("#words")

    @property
    def url(self) -> str:
        return self.page.inner_text("#code-url")

    @property
    def split(self) -> float:
        return float(self.page.input_value("#split"))

    @property
    def samples(self) -> list[str]:
        """The names of the samples."""
        return self.page.locator("#samples button").all_inner_texts()

    def sample(self, at: int = 1) -> None:
        self.page.locator("#samples button").nth(at).click()
        self.wait()

    def give(self, data: bytes, name: str = "bowl.jpg", media_type: str = "image/jpeg") -> None:
        self.page.set_input_files("#file", FilePayload(name=name, mimeType=media_type, buffer=data))

    def choose(self, *files: Carried) -> None:
        self.page.set_input_files(
            "#file", [FilePayload(name=each.name, mimeType=each.media_type, buffer=each.data) for each in files]
        )

    def paste(self, *files: bytes | Carried, **texts: str) -> None:
        self.page.evaluate(
            """clipboardData => document.body.dispatchEvent(
                new ClipboardEvent("paste", { clipboardData, bubbles: true }))""",
            self._carrier(files, texts),
        )

    def drop(self, *files: bytes | Carried, **texts: str) -> bool:
        """Drag and drop files, and texts by media type with `_` for `/`; returns whether the page said that it takes
        them.
        """
        carried = {"dataTransfer": self._carrier(files, texts)}
        self.page.dispatch_event("body", "dragover", carried)
        invited = self.page.get_by_text("Drop the picture").is_visible()
        self.page.dispatch_event("body", "drop", carried)
        expect(self.page.get_by_text("Drop the picture")).to_be_hidden()
        return invited

    def _carrier(self, files: Iterable[bytes | Carried], texts: dict[str, str]) -> object:
        """A DataTransfer of the page."""
        carried = [each if isinstance(each, Carried) else Carried("bowl.jpg", each) for each in files]
        encoded = [(each.name, each.media_type, base64.b64encode(each.data).decode()) for each in carried]
        return self.page.evaluate_handle(
            _CARRIER, [{kind.replace("_", "/"): text for kind, text in texts.items()}, encoded]
        )

    def fetch(self, url: str) -> None:
        """Give a picture by its URL."""
        self.page.get_by_label("URL of a picture").fill(url)
        self.page.keyboard.press("Enter")

    def expect_state(self, state: str, words: str) -> None:
        expect(self.page.locator("#state")).to_have_attribute("data-state", state, timeout=DEADLINE_MS)
        expect(self.page.locator("#words")).to_contain_text(words)

    def expect_alert(self, words: str) -> None:
        expect(self.page.get_by_role("alert")).to_contain_text(words, timeout=DEADLINE_MS)

    @property
    def details(self) -> dict[str, str]:
        """The rows of the state card."""
        cells = self.page.locator("#details > *").all_inner_texts()
        return dict(zip(cells[::2], cells[1::2], strict=True))

    def wait(self) -> None:
        """Until a cutout is there and the state is said, without a reload; the divider is at rest."""
        expect(self.page.locator("#state")).to_have_attribute("data-state", "ready", timeout=DEADLINE_MS)
        expect(self.page.locator("#stage")).to_have_class(re.compile("ready"))
        expect(self.page.locator("#split")).to_be_enabled()
        self.page.wait_for_function("() => Number(document.getElementById('split').value) <= 50.5")

    def wait_for_url(self, part: str) -> None:
        """Until the picture shown is that of a URL with `part`."""
        expect(self.page.locator("#code-url")).to_contain_text(part, timeout=DEADLINE_MS)
        self.wait()

    def choose_backdrop(self, value: str) -> None:
        self.page.locator(f"label:has(input[name=backdrop][value='{value}'])").click()

    @property
    def shown(self) -> bytes:
        """The bytes that the page shows as the cutout, once it offers the same ones."""
        self.page.wait_for_function(_OFFERS_WHAT_IT_SHOWS, timeout=DEADLINE_MS)
        return self.download()[1]

    def download(self) -> tuple[str, bytes]:
        """Name and bytes of what the page has saved."""
        with self.page.expect_download(timeout=DEADLINE_MS) as waiting:
            self.page.locator("#download").click()
        return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()

    def fetched(self, url: str) -> bytes:
        """What a client without a browser's `Accept` gets."""
        parts = urlsplit(url)
        answer = self.server.ask(f"{parts.path}?{parts.query}", Accept="*/*")
        assert answer.status == 200
        assert answer.state == "ready"
        return answer.body

    def copied(self, name: str) -> str:
        self.page.get_by_role("button", name=f"Copy the {name}").click()
        expect(self.page.locator("#spoken")).to_have_text("Copied")
        return self.page.evaluate("() => navigator.clipboard.readText()")

    def pixels(self) -> npt.NDArray[np.int16]:
        """The stage as it looks."""
        return rgba(self.page.locator("#stage").screenshot())[..., :3]


def rgba(data: bytes) -> npt.NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")).astype(np.int16)


@contextmanager
def held_workers(server: PellucidServer) -> Iterator[None]:
    """No matte is made meanwhile."""
    workers = server.pids("pellucid: matte worker")
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGCONT)


def hold_uploads(demo: Demo) -> list[Route]:
    """Uploads from now on, held until they are told to go on."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    demo.page.route("**/-/uploads", hold)
    return held


def let_go(demo: Demo, held: list[Route]) -> None:
    """Let the first upload go on, once it is there."""
    deadline = time.monotonic() + DEADLINE_MS / 1000
    while not held:
        assert time.monotonic() < deadline
        demo.page.wait_for_timeout(20)
    held[0].continue_()


OpenDemo = Callable[..., Demo]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=DEADLINE_MS)  # 5 s are little beside other work
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_demo(browser: Browser, server: PellucidServer) -> Iterator[OpenDemo]:
    """Open the page; errors of its scripts, and what its policy forbids, fail the test."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_demo(
        at: PellucidServer = server, *, size: tuple[int, int] = DESKTOP, host: str = "", **options: object
    ) -> Demo:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)  # pyright: ignore[reportArgumentType]
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Security Policy" in message.text else None)
        return Demo(page, at).open(host)

    yield open_demo
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def demo(open_demo: OpenDemo) -> Demo:
    return open_demo()


@pytest.fixture
def fast(demo: Demo) -> Demo:
    """The page with a cutout of a sample."""
    demo.sample()
    return demo
