"""The demo page in a real browser, before a real server with the real model."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
from axe_playwright_python.sync_playwright import Axe
from e2e_server import PellucidServer, PhotoOrigin, StartServer
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, Route, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED = "chromium" in os.environ.get("TEST_REQUIRES", "").split(",")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not REQUIRED, reason="no Chromium here: `apt-get install chromium`, then these run as well"
)

BUDGET_BYTES = 60_000
DEADLINE_MS = 60_000
DESKTOP, PHONE = (1280, 800), (390, 844)

_CARRIER = """([name, type, text]) => {
    const carrier = new DataTransfer();
    const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
    carrier.items.add(new File([bytes], name, { type }));
    return carrier;
}"""


@dataclass
class Demo:
    """The page, open in a tab of its own."""

    page: Page
    server: PellucidServer
    asked: list[str] = field(default_factory=list[str])
    """URLs that were asked for."""

    def open(self) -> Demo:
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"http://{self.server.address}/")
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

    def sample(self, name: str = "Coffee") -> None:
        self.page.get_by_role("button", name=name, exact=True).click()
        self.wait()

    def give(self, data: bytes, name: str = "cup.jpg", media_type: str = "image/jpeg") -> None:
        self.page.set_input_files("#file", FilePayload(name=name, mimeType=media_type, buffer=data))

    def carrier(self, data: bytes) -> object:
        """A DataTransfer of the page with one picture."""
        return self.page.evaluate_handle(_CARRIER, ["cup.jpg", "image/jpeg", base64.b64encode(data).decode()])

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
        """The bytes that the page shows as the cutout."""
        assert self.page.get_attribute("#download", "href") == self.page.get_attribute("#cutout", "src")
        with self.page.expect_download() as waiting:
            self.page.get_by_role("link", name="Download").click()
        return Path(waiting.value.path()).read_bytes()

    def fetched(self, url: str) -> bytes:
        """What a client without a browser's `Accept` gets."""
        parts = urlsplit(url)
        answer = self.server.ask(f"{parts.path}?{parts.query}", Accept="*/*")
        assert answer.status == 200
        assert answer.state == "ready"
        return answer.body

    def copied(self, name: str) -> str:
        self.page.get_by_role("button", name=f"Copy the {name}").click()
        expect(self.page.locator("#copied")).to_have_text("Copied")
        return self.page.evaluate("() => navigator.clipboard.readText()")

    def pixels(self) -> npt.NDArray[np.int16]:
        """The stage as it looks."""
        return rgba(self.page.locator("#stage").screenshot())[..., :3]


def rgba(data: bytes) -> npt.NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")).astype(np.int16)


def hold_uploads(demo: Demo) -> list[Route]:
    """Uploads from now on, held until they are told to go on."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    demo.page.route("**/-/uploads", hold)
    return held


OpenDemo = Callable[..., Demo]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_demo(browser: Browser, server: PellucidServer) -> Iterator[OpenDemo]:
    """Open the page; errors of its scripts, and what its policy forbids, fail the test."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_demo(at: PellucidServer = server, *, size: tuple[int, int] = DESKTOP, **options: object) -> Demo:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)  # pyright: ignore[reportArgumentType]
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=f"http://{at.address}")
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Security Policy" in message.text else None)
        return Demo(page, at).open()

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


def test_a_sample_turns_into_its_cutout(demo: Demo) -> None:
    loads: list[str] = []
    demo.page.on("framenavigated", lambda frame: loads.append(frame.url))
    demo.sample("Cat")
    assert loads == []
    assert re.fullmatch(r"(Cut out|Ready) in \d+\.\d+ s", demo.words)
    assert re.search(r"Confidence\n\d+ %", demo.page.inner_text("#details"))
    alpha = rgba(demo.shown)[..., 3]
    assert alpha.min() < 20
    assert alpha.max() > 235
    assert {urlsplit(url).netloc for url in demo.asked if not url.startswith(("blob:", "data:"))} == {
        demo.server.address
    }


def test_a_chosen_picture_is_there_at_once_and_its_cutout_by_itself(demo: Demo, cup_jpg: bytes) -> None:
    held = hold_uploads(demo)
    demo.give(cup_jpg + b"chosen")
    original = demo.page.locator("#before")
    expect(original).to_be_visible()
    assert (original.get_attribute("src") or "").startswith("blob:")
    assert original.evaluate("image => image.naturalWidth") == 600
    expect(demo.page.locator("#words")).to_contain_text("Sending the picture")
    held[0].continue_()
    demo.wait()
    assert demo.words.startswith("Cut out in ")
    assert any("/-/events/_upload_/" in url for url in demo.asked)
    assert "Kept for\n24 hours" in demo.page.inner_text("#details")
    assert "/_upload_/" in demo.url
    assert rgba(demo.shown).shape == (400, 600, 4)


def test_one_deletes_ones_picture(demo: Demo, cup_jpg: bytes) -> None:
    demo.give(cup_jpg + b"deleted")
    demo.wait()
    path = urlsplit(demo.url).path
    assert demo.server.ask(path).status == 200
    demo.page.get_by_role("button", name="Delete my picture").click()
    expect(demo.page.locator("#done")).to_have_text("Your picture is deleted.")
    expect(demo.page.locator("#work")).to_be_hidden()
    assert demo.server.ask(path).status == 404
    demo.sample()
    expect(demo.page.get_by_role("button", name="Delete my picture")).to_be_hidden()


def test_a_picture_is_pasted(demo: Demo, cup_jpg: bytes) -> None:
    carrier = demo.carrier(cup_jpg + b"pasted")
    demo.page.evaluate(
        "clipboardData => document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }))",
        carrier,
    )
    demo.wait()
    assert "/_upload_/" in demo.url


def test_a_picture_is_dropped(demo: Demo, cup_jpg: bytes) -> None:
    carrier = demo.carrier(cup_jpg + b"dropped")
    demo.page.dispatch_event("body", "dragenter", {"dataTransfer": carrier})
    expect(demo.page.get_by_text("Drop the picture")).to_be_visible()
    demo.page.dispatch_event("body", "drop", {"dataTransfer": carrier})
    expect(demo.page.get_by_text("Drop the picture")).to_be_hidden()
    demo.wait()
    assert "/_upload_/" in demo.url


@pytest.mark.parametrize("query", ["", "?v=2&size=l"])
def test_a_picture_is_given_by_its_url(demo: Demo, origin: PhotoOrigin, cup_jpg: bytes, query: str) -> None:
    path = f"/by-url.jpg{query}"
    origin.put(path, cup_jpg)
    demo.page.get_by_label("URL of a picture").fill(f"http://{origin.host}{path}")
    demo.page.keyboard.press("Enter")
    demo.wait()
    assert ("ci_url_encoded=1" in demo.url) == bool(query)
    assert demo.fetched(demo.url) == demo.shown


def test_the_divider_follows_mouse_and_keys(fast: Demo) -> None:
    box = fast.page.locator("#stage").bounding_box()
    assert box
    assert fast.split == pytest.approx(50, abs=0.5)
    middle = box["y"] + box["height"] / 2
    fast.page.mouse.move(box["x"] + box["width"] / 2, middle)
    fast.page.mouse.down()
    fast.page.mouse.move(box["x"] + box["width"] / 4, middle, steps=5)
    fast.page.mouse.up()
    assert fast.split == pytest.approx(25, abs=1)
    divider = fast.page.locator(".divider").bounding_box()
    assert divider
    assert divider["x"] - box["x"] == pytest.approx(box["width"] / 4, abs=8)
    slider = fast.page.get_by_role("slider", name="Divider between original and cutout")
    slider.focus()
    fast.page.keyboard.press("End")
    assert fast.split == 100
    hidden = fast.pixels()
    for _ in range(3):
        fast.page.keyboard.press("ArrowLeft")
    assert fast.split == 97
    fast.page.keyboard.press("Home")
    assert fast.split == 0
    assert slider.get_attribute("aria-valuetext") == "0 % original, 100 % cutout"
    assert np.abs(fast.pixels() - hidden).mean() > 10


def test_zoom_to_the_pixel_and_back(fast: Demo) -> None:
    fitting = fast.page.inner_text("#zoom")
    fast.page.get_by_role("button", name="Zoom to the edge").click()
    expect(fast.page.locator("#zoom")).to_have_text("400 %")
    assert fast.page.evaluate("() => getComputedStyle(document.getElementById('cutout')).imageRendering") == "pixelated"
    look = "() => document.querySelector('.view').style.transform"
    before = fast.page.evaluate(look)
    box = fast.page.locator("#stage").bounding_box()
    assert box
    fast.page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.3)
    fast.page.mouse.down()
    fast.page.mouse.move(box["x"] + box["width"] * 0.8 - 50, box["y"] + box["height"] * 0.3 - 40, steps=4)
    fast.page.mouse.up()
    moved = fast.page.evaluate(look)
    assert moved != before
    assert fast.split == pytest.approx(50, abs=0.5)
    fast.page.locator("#stage").focus()
    fast.page.keyboard.press("ArrowRight")
    assert fast.page.evaluate(look) != moved
    fast.page.mouse.wheel(0, -200)
    assert fast.page.inner_text("#zoom") != "400 %"
    fast.page.keyboard.press("0")
    expect(fast.page.locator("#zoom")).to_have_text(fitting)


@pytest.mark.parametrize(("value", "colour"), [("f3c9c0", (0xF3, 0xC9, 0xC0)), ("1c1d20", (0x1C, 0x1D, 0x20))])
def test_a_swatch_is_the_colour_of_the_url(fast: Demo, value: str, colour: tuple[int, int, int]) -> None:
    fast.choose_backdrop(value)
    fast.wait_for_url(f"bg_color={value}")
    picture = rgba(fast.fetched(fast.url))
    assert tuple(picture[2, -3, :3]) == pytest.approx(colour, abs=3)
    assert fast.fetched(fast.url) == fast.shown
    fast.choose_backdrop("clear")
    fast.page.wait_for_function("() => !document.getElementById('code-url').textContent.includes('bg_color')")
    fast.wait()
    assert rgba(fast.shown)[2, -3, 3] == 0


def test_a_colour_is_picked(fast: Demo) -> None:
    fast.page.locator("#colour").fill("#3366cc")
    fast.wait_for_url("bg_color=3366cc")
    assert fast.fetched(fast.url) == fast.shown
    assert tuple(rgba(fast.shown)[2, -3, :3]) == pytest.approx((0x33, 0x66, 0xCC), abs=3)


def test_ones_own_backdrop_and_the_blurred_original(fast: Demo) -> None:
    fast.page.evaluate("() => document.getElementById('split').value = 0")
    fast.page.locator("#split").focus()
    fast.page.keyboard.press("Home")
    note = fast.page.get_by_text("Your browser puts this backdrop behind the cutout.")
    expect(note).to_be_hidden()
    green = io.BytesIO()
    Image.new("RGB", (40, 40), (10, 200, 30)).save(green, "PNG")
    fast.page.set_input_files("#own", FilePayload(name="green.png", mimeType="image/png", buffer=green.getvalue()))
    expect(note).to_be_visible()
    fast.wait()
    assert "bg_color" not in fast.url
    assert tuple(fast.pixels()[-60, -30]) == pytest.approx((10, 200, 30), abs=4)
    with fast.page.expect_download() as waiting:
        fast.page.get_by_role("link", name="Download").click()
    composite = rgba(Path(waiting.value.path()).read_bytes())
    assert composite.shape == (400, 600, 4)
    assert tuple(composite[3, -3, :3]) == pytest.approx((10, 200, 30), abs=2)
    fast.choose_backdrop("blur")
    expect(fast.page.locator("#backdrop")).to_have_attribute("src", fast.page.get_attribute("#before", "src") or "")
    assert "blur" in fast.page.evaluate("() => getComputedStyle(document.getElementById('backdrop')).filter")
    assert tuple(fast.pixels()[-60, -30]) != pytest.approx((10, 200, 30), abs=40)
    assert fast.page.locator("#format option[value=jpeg]").is_disabled()
    assert "bg_color" not in fast.url


def test_width_format_and_quality_are_in_the_url(fast: Demo) -> None:
    fast.page.get_by_label("Width").select_option("400")
    fast.wait_for_url("w=400&")
    assert rgba(fast.shown).shape[1] == 400
    fast.page.get_by_label("Format").select_option("jpeg")
    fast.wait_for_url("force_format=jpeg")
    expect(fast.page.get_by_text("JPEG has no transparency")).to_be_visible()
    assert fast.fetched(fast.url).startswith(b"\xff\xd8")
    fast.page.get_by_label("Format").select_option("png")
    fast.wait_for_url("force_format=png")
    assert fast.fetched(fast.url).startswith(b"\x89PNG")
    fast.page.get_by_label("Quality").select_option("fast")
    fast.wait_for_url("bg_quality=fast")
    assert fast.fetched(fast.url) == fast.shown


def test_what_is_copied_is_what_is_shown(fast: Demo) -> None:
    fast.page.get_by_label("Width").select_option("400")
    fast.wait_for_url("w=400&")
    url = fast.copied("URL")
    assert url == fast.url
    assert fast.fetched(url) == fast.shown
    html = fast.copied("HTML")
    named = [each.replace("&amp;", "&") for each in re.findall(r'(?:src|srcset)="([^"]+)"', html)]
    assert named[0] == url
    candidates = [candidate.split() for candidate in named[1].split(",")]
    assert candidates[-1] == [url, "400w"]
    for address, width in candidates:
        assert Image.open(io.BytesIO(fast.fetched(address))).width == int(width[:-1])
    curl = fast.copied("curl line")
    assert curl == f"curl -o cutout.webp '{url}'"


_NOISE = bytes(range(256)) * 16


def _vast_png() -> bytes:
    out = io.BytesIO()
    Image.new("1", (12_000, 9_000)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("http://{origin}/nowhere.jpg", "There is no picture at this URL. Check its spelling"),
        ("http://10.1.2.3/a.jpg", "This server does not fetch from there. Give another URL"),
        ("http://{origin}/text.jpg", "This is no picture that can be read here. Choose a JPEG"),
        ("http://no-such-host.invalid/a.jpg", "That site cannot be reached. Check the name of the host"),
        ("ftp://example.com/a.jpg", "This is no URL of a picture. It needs a host and a path"),
        ("purse", "This is no URL of a picture"),
    ],
)
def test_a_url_that_cannot_be_had(demo: Demo, origin: PhotoOrigin, address: str, sentence: str) -> None:
    origin.files["/text.jpg"] = b"no picture at all"
    demo.page.get_by_label("URL of a picture").fill(address.format(origin=origin.host))
    demo.page.get_by_role("button", name="Fetch").click()
    expect(demo.page.get_by_role("alert")).to_contain_text(sentence)
    expect(demo.page.locator("#work")).to_be_hidden()
    demo.sample()
    expect(demo.page.get_by_role("alert")).to_be_hidden()


@pytest.mark.parametrize(
    ("data", "name", "media_type", "sentence"),
    [
        (_NOISE, "noise.png", "image/png", "This is no picture that can be read here."),
        (_NOISE, "notes.txt", "text/plain", "There is no picture in what you gave."),
        (b"\xff\xd8\xff\xe0" + _NOISE, "cut.jpg", "image/jpeg", "The picture is damaged and cannot be read."),
        (_vast_png(), "vast.png", "image/png", "The picture has more pixels than this server takes."),
    ],
)
def test_a_file_that_is_no_use(demo: Demo, data: bytes, name: str, media_type: str, sentence: str) -> None:
    demo.give(data, name, media_type)
    expect(demo.page.get_by_role("alert")).to_contain_text(sentence)


def test_the_network_fails(fast: Demo) -> None:
    fast.page.context.set_offline(True)
    fast.choose_backdrop("1c1d20")
    expect(fast.page.get_by_role("alert")).to_contain_text("The server cannot be reached. Check your connection")
    fast.page.context.set_offline(False)
    fast.choose_backdrop("ffffff")
    fast.wait_for_url("bg_color=ffffff")
    expect(fast.page.get_by_role("alert")).to_be_hidden()


def test_limits_and_a_full_queue(open_demo: OpenDemo, start_server: StartServer, cup_jpg: bytes) -> None:
    server = start_server(
        PELLUCID_UPLOADS_MAX_BYTES="204800",
        PELLUCID_UPLOADS_PER_CLIENT="1",
        PELLUCID_WORKERS="0",
        PELLUCID_QUEUE_DEPTH="1",
    )
    demo = open_demo(server)
    expect(demo.page.locator("#drop-note")).to_contain_text("Up to 200 kB")
    demo.give(cup_jpg + bytes(300_000))
    alert = demo.page.get_by_role("alert")
    expect(alert).to_contain_text("The file is too large. Choose one of up to 200 kB, or give the URL")
    demo.give(cup_jpg)
    expect(demo.page.locator("#words")).to_contain_text("Cutting out")
    expect(alert).to_be_hidden()
    expect(demo.page.locator("#clock")).to_have_text(re.compile(r"\d+\.\d s"))
    demo.give(cup_jpg + b"another")
    expect(alert).to_contain_text("You have sent as many pictures as this server keeps for one visitor.")
    demo.page.get_by_role("button", name="Rocket").click()
    expect(demo.page.locator("#words")).to_contain_text("The server has too much to do. This page asks again by itself")


def test_a_picture_without_a_subject(demo: Demo) -> None:
    out = io.BytesIO()
    Image.new("RGB", (320, 240), (128, 130, 132)).save(out, "PNG")
    demo.give(out.getvalue(), "grey.png", "image/png")
    expect(demo.page.locator("#words")).to_contain_text("No subject was found", timeout=DEADLINE_MS)
    expect(demo.page.locator("#split")).to_be_disabled()
    expect(demo.page.locator("#before")).to_be_visible()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("stateWords('pending', {position: 1, eta_s: 4})", "Cutting out, about 4 s"),
        ("stateWords('pending', {position: 3, eta_s: 130})", "Waiting: number 3 in the queue, about 2 minutes"),
        (
            "stateWords('failed', {reason: 'attempts-used-up', retry_in_s: 300})",
            "(attempts used up). Try again in 5 min",
        ),
        ("stateWords('no-credits')", "The credits are used up, so the original is shown."),
        (
            "creditWords({price: 200, charged: 200, remaining: 9800, resets_at: '2026-12-01T00:00:00Z'})",
            "200, 9,800 left",
        ),
        ("creditWords({price: 200, charged: 0, remaining: null})", "nothing"),
        ("problemOf(503, '<html>', '30').sentence({})", "The server has too much to do. Try again in 30 s."),
        ('problemOf(418, \'{"type":"a:b","detail":"A teapot."}\', null).sentence({})', "A teapot."),
    ],
)
def test_words_for_what_is_hard_to_bring_about(demo: Demo, call: str, words: str) -> None:
    said = demo.page.evaluate(f"() => import('/-/demo/words.js').then(words => words.{call})")
    assert words in said


def test_a_phone_shows_it_without_scrolling_sideways(open_demo: OpenDemo) -> None:
    demo = open_demo(size=PHONE, has_touch=True, is_mobile=True)
    wide = "() => document.documentElement.scrollWidth - innerWidth"
    assert demo.page.evaluate(wide) == 0
    demo.sample()
    assert demo.page.evaluate(wide) == 0
    box = demo.page.locator("#stage").bounding_box()
    assert box
    assert box["y"] + box["height"] < PHONE[1]
    touch = demo.page.context.new_cdp_session(demo.page)
    y = box["y"] + box["height"] / 2

    def send(kind: str, *xs: float) -> None:
        points = [{"x": box["x"] + x * box["width"], "y": y, "id": finger} for finger, x in enumerate(xs)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", 0.5)
    for x in (0.45, 0.35, 0.25):
        send("touchMove", x)
    send("touchEnd")
    assert demo.split == pytest.approx(25, abs=1.5)
    send("touchStart", 0.45, 0.55)
    for x in (0.4, 0.3, 0.2):
        send("touchMove", x, 1 - x)
    send("touchEnd")
    expect(demo.page.locator("#stage")).to_have_class(re.compile("zoomed"))


def test_light_and_dark(open_demo: OpenDemo) -> None:
    brightness = [
        rgba(open_demo(color_scheme=scheme).page.screenshot())[..., :3].mean() for scheme in ("light", "dark")
    ]
    assert brightness[0] > 200
    assert brightness[1] < 70


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_less_motion_where_that_is_wished(open_demo: OpenDemo, cup_jpg: bytes, motion: str) -> None:
    demo = open_demo(reduced_motion=motion)
    held = hold_uploads(demo)
    demo.give(cup_jpg + motion.encode())
    expect(demo.page.locator("#words")).to_contain_text("Sending the picture")
    moving = demo.page.evaluate("() => document.getAnimations().length")
    assert (moving == 0) == (motion == "reduce")
    demo.page.evaluate(
        """() => { window.seen = []; const split = document.getElementById("split");
        new MutationObserver(() => seen.push(Number(split.value))).observe(split, { attributes: true }); }"""
    )
    held[0].continue_()
    demo.wait()
    between = [value for value in demo.page.evaluate("() => seen") if 51 < value < 99]
    assert (between == []) == (motion == "reduce")


def test_uploads_turned_off_and_the_page_turned_off(
    open_demo: OpenDemo, start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server(tmp_path / "no-uploads", PELLUCID_UPLOADS_ENABLED="false")
    demo = open_demo(server)
    expect(demo.page.get_by_text("Choose a picture")).to_be_hidden()
    demo.sample()
    server = start_server(tmp_path / "no-page", PELLUCID_WEB_DEMO="false")
    answer = server.ask("/", Accept="text/html")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert server.ask("/-/demo/page.js").status == 404


def test_the_page_is_small(demo: Demo) -> None:
    demo.page.wait_for_load_state("networkidle")
    sent = 0
    paths = {urlsplit(url).path for url in demo.asked}
    for path in (path for path in paths if path == "/" or path.startswith("/-/demo/")):
        sent += len(demo.server.ask(path, Accept="text/html", Accept_Encoding="gzip").body)
    assert 10_000 < sent < BUDGET_BYTES


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_serious_barrier(open_demo: OpenDemo, scheme: str, size: tuple[int, int]) -> None:
    demo = open_demo(size=size, color_scheme=scheme, reduced_motion="reduce")

    def barriers() -> list[str]:
        found = Axe().run(demo.page).response["violations"]
        return [
            f"{each['id']}: {node['html']} ({node['failureSummary']})"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    assert barriers() == []
    demo.page.get_by_label("URL of a picture").fill("purse")
    demo.page.keyboard.press("Enter")
    expect(demo.page.get_by_role("alert")).to_be_visible()
    assert barriers() == []
    demo.sample()
    demo.choose_backdrop("blur")
    expect(demo.page.locator("#backdrop-note")).to_be_visible()
    demo.wait()
    assert barriers() == []


def test_everything_is_reached_by_keyboard(demo: Demo) -> None:
    def walk() -> dict[str, bool]:
        """What Tab reaches, and whether it shows the focus."""
        reached: dict[str, bool] = {}
        demo.page.evaluate("() => document.activeElement.blur()")
        for _ in range(60):
            demo.page.keyboard.press("Tab")
            name, outlined = demo.page.evaluate(
                """() => { const e = document.activeElement;
                const shown = e.id === "split" ? document.querySelector(".grip") : e;
                return [e === document.body ? "" : e.id || e.getAttribute("aria-label") || e.value || e.innerText,
                    [shown, e.parentElement].some(each => each && getComputedStyle(each).outlineStyle !== "none")]; }"""
            )
            if not name or name in reached:
                break
            reached[name] = outlined
        return reached

    reached = walk()
    assert {"file", "url", "Fetch", "Cat", "Coffee"} <= set(reached)
    assert all(reached.values()), reached
    demo.page.get_by_role("button", name="Coffee").focus()
    demo.page.keyboard.press("Enter")
    demo.wait()
    demo.page.locator("header a").focus()
    reached = walk()
    assert {"stage", "split", "zoom-in", "zoom-edge", "download", "colour", "own", "width", "format", "tier"} <= set(
        reached
    )
    assert {"code-url", "code-html", "code-curl", "Copy the URL", "Copy the curl line"} <= set(reached)
    assert all(reached.values()), reached
