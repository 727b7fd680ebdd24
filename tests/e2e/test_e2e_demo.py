"""The demo page in a real browser, before a real server with the real model."""

from __future__ import annotations

import io
import json
import os
import re
import signal
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from demo_page import (
    DESKTOP,
    PHONE,
    Carried,
    Demo,
    OpenDemo,
    held_workers,
    hold_uploads,
    let_go,
    needs_chromium,
    rgba,
)
from e2e_server import PellucidServer, PhotoOrigin, StartServer
from PIL import Image
from playwright.sync_api import expect

pytestmark = needs_chromium

BUDGET_BYTES = 110_000
SENT_BYTES = 40_000


def test_a_sample_turns_into_its_cutout(demo: Demo) -> None:
    loads: list[str] = []
    demo.page.on("framenavigated", lambda frame: loads.append(frame.url))
    demo.sample()
    assert loads == []
    assert re.fullmatch(r"(Cut out|Ready) in \d+\.\d+ s", demo.words)
    assert re.fullmatch(r"\d+ %", demo.details["Confidence"])
    assert "Charged" not in demo.details, "without customers and limits credits mean nothing"
    alpha = rgba(demo.shown)[..., 3]
    assert alpha.min() < 20
    assert alpha.max() > 235
    assert {urlsplit(url).netloc for url in demo.asked if not url.startswith(("blob:", "data:"))} == {
        demo.server.address
    }


def test_a_chosen_picture_is_there_at_once_and_its_cutout_by_itself(demo: Demo, bowl_jpg: bytes) -> None:
    held = hold_uploads(demo)
    demo.give(bowl_jpg + b"chosen")
    original = demo.page.locator("#before")
    expect(original).to_be_visible()
    assert (original.get_attribute("src") or "").startswith("blob:")
    assert original.evaluate("image => image.naturalWidth") == 600
    expect(demo.page.locator("#words")).to_contain_text("Sending the picture")
    let_go(demo, held)
    demo.wait()
    assert demo.words.startswith("Cut out in ")
    assert any("/-/events/_upload_/" in url for url in demo.asked)
    assert demo.details["Kept for"] == "24 hours"
    assert "/_upload_/" in demo.url
    assert rgba(demo.shown).shape == (400, 600, 4)


def test_one_deletes_ones_picture(demo: Demo, bowl_jpg: bytes) -> None:
    demo.give(bowl_jpg + b"deleted")
    demo.wait()
    path = urlsplit(demo.url).path
    assert demo.server.ask(path).status == 200
    demo.page.get_by_role("button", name="Delete my picture").click()
    expect(demo.page.locator("#done")).to_have_text("Your picture is deleted.")
    expect(demo.page.locator("#work")).to_be_hidden()
    assert demo.server.ask(path).status == 404
    demo.sample()
    expect(demo.page.get_by_role("button", name="Delete my picture")).to_be_hidden()


def test_pictures_and_urls_are_pasted(demo: Demo, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    demo.paste(bowl_jpg + b"pasted")
    demo.wait_for_url("/_upload_/")
    before = demo.url
    demo.paste(text_plain="no URL at all")
    assert demo.url == before
    origin.put("/pasted.jpg", bowl_jpg)
    demo.paste(text_plain=f" http://{origin.host}/pasted.jpg\n")
    demo.wait_for_url("/pasted.jpg")


def test_pictures_and_links_are_dropped(demo: Demo, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    assert not demo.drop(text_plain="no picture at all")
    expect(demo.page.locator("#work")).to_be_hidden()
    assert demo.drop(bowl_jpg + b"dropped")
    demo.wait_for_url("/_upload_/")
    origin.put("/dropped.jpg", bowl_jpg)
    assert demo.drop(**{"text_uri-list": f"# a picture\nhttp://{origin.host}/dropped.jpg"})
    demo.wait_for_url("/dropped.jpg")


@pytest.mark.parametrize(
    ("typed", "fetched", "encoded"),
    [
        ("/by-url.jpg", "/by-url.jpg", False),
        ("/by-url.jpg?v=2&size=l", "/by-url.jpg?v=2&size=l", True),
        ("/hats & bags/grün.jpg", "/hats%20&%20bags/gr%C3%BCn.jpg", False),
        ("/find?name=grüne tasche#top", "/find?name=gr%C3%BCne%20tasche", True),
    ],
)
def test_a_picture_is_given_by_its_url(
    demo: Demo, origin: PhotoOrigin, bowl_jpg: bytes, typed: str, fetched: str, encoded: bool
) -> None:
    origin.put(fetched, bowl_jpg)
    demo.fetch(f"http://{origin.host}{typed}")
    demo.wait()
    assert ("ci_url_encoded=1" in demo.url) == encoded
    assert demo.fetched(demo.url) == demo.shown
    stem = {"/hats & bags/grün.jpg": "grün", "/find?name=grüne tasche#top": "find"}.get(typed, "by-url")
    assert demo.copied("curl line") == f"curl -o '{stem}-cutout.webp' '{demo.url}'"


def test_a_reload_keeps_the_picture(demo: Demo, bowl_jpg: bytes) -> None:
    with held_workers(demo.server):
        demo.give(bowl_jpg + b"reloaded")
        demo.expect_state("pending", "Cutting out")
        demo.page.reload()
        demo.expect_state("pending", "Cutting out")
    demo.wait()
    path = urlsplit(demo.url).path
    demo.page.get_by_role("button", name="Delete my picture").click()
    expect(demo.page.locator("#done")).to_have_text("Your picture is deleted.")
    assert demo.server.ask(path).status == 404
    demo.sample()
    demo.page.get_by_role("link", name="Pellucid").click()
    expect(demo.page.get_by_role("heading", level=1)).to_be_in_viewport()
    expect(demo.page.locator("#work")).to_be_hidden()


def test_a_second_picture_is_the_only_one(demo: Demo, bowl_jpg: bytes, otter_jpg: bytes) -> None:
    demo.page.evaluate(
        """() => { window.shown = new Set(); const image = document.getElementById("cutout");
        image.addEventListener("load", () => shown.add(image.naturalWidth)); }"""
    )
    with held_workers(demo.server):
        demo.give(bowl_jpg + b"the first")
        demo.expect_state("pending", "Cutting out")
        with demo.page.expect_request("**/-/events/**") as first:
            demo.give(bowl_jpg + b"the former")
        demo.give(otter_jpg + b"the second")
        demo.expect_state("pending", "number 3")
    demo.wait()
    demo.server.wait_for(urlsplit(first.value.url).path.removeprefix("/-/events") + "?bg_remove=1", "ready")
    assert rgba(demo.shown).shape[1] == 640
    assert demo.page.evaluate("() => [...shown]") == [640]


@pytest.mark.parametrize(
    ("size", "scale"), [((1, 1), "800 %"), ((40, 3000), None), ((3000, 40), None)], ids=["dot", "tower", "strip"]
)
def test_odd_sizes_have_room(demo: Demo, bowl_jpg: bytes, size: tuple[int, int], scale: str | None) -> None:
    """Neither a huge pixel nor a line that cannot be grasped."""
    out = io.BytesIO()
    Image.open(io.BytesIO(bowl_jpg)).resize(size).save(out, "PNG")
    demo.give(out.getvalue(), "odd.png", "image/png")
    expect(demo.page.locator("#state")).to_have_attribute("data-state", re.compile("^(ready|no-subject)$"))
    box = demo.page.locator("#stage").bounding_box()
    assert box
    assert box["width"] > 200
    assert box["height"] > 200
    if scale:
        expect(demo.page.locator("#zoom")).to_have_text(scale)


def test_alpha_that_was_there_stays(demo: Demo, bowl_jpg: bytes) -> None:
    picture = Image.open(io.BytesIO(bowl_jpg)).convert("RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, 300, 400))
    out = io.BytesIO()
    picture.save(out, "PNG")
    demo.give(out.getvalue(), "half.png", "image/png")
    demo.wait()
    alpha = rgba(demo.shown)[..., 3]
    assert alpha[:, :290].max() == 0
    assert alpha[:, 310:].max() > 235


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
    assert re.fullmatch(rf"curl -o '\w+-cutout\.webp' '{re.escape(url)}'", fast.copied("curl line"))


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
        ("http://{origin}/page.html", "This is no picture that can be read here. Choose a JPEG"),
        ("ftp://example.com/a.jpg", "This is no URL of a picture. It needs a host and a path"),
        ("javascript:alert(1)", "This is no URL of a picture"),
        ("data:image/png;base64,iVBORw0KGgo=", "This is no URL of a picture"),
        ("file:///etc/passwd", "This is no URL of a picture"),
        ("purse", "This is no URL of a picture"),
        ("", "This is no URL of a picture"),
    ],
)
def test_a_url_that_cannot_be_had(demo: Demo, origin: PhotoOrigin, address: str, sentence: str) -> None:
    origin.files["/text.jpg"] = b"no picture at all"
    origin.files["/page.html"] = b"<!doctype html><title>A page</title><p>No picture"
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


def test_limits_and_a_full_queue(open_demo: OpenDemo, start_server: StartServer, bowl_jpg: bytes) -> None:
    server = start_server(
        PELLUCID_UPLOADS_MAX_BYTES="204800",
        PELLUCID_UPLOADS_PER_CLIENT="1",
        PELLUCID_WORKERS="0",
        PELLUCID_QUEUE_DEPTH="1",
    )
    demo = open_demo(server)
    expect(demo.page.locator("#drop-note")).to_contain_text("Up to 200 kB")
    demo.give(bowl_jpg + bytes(300_000))
    alert = demo.page.get_by_role("alert")
    expect(alert).to_contain_text("The file is too large. Choose one of up to 200 kB, or give the URL")
    demo.give(bowl_jpg)
    expect(demo.page.locator("#words")).to_contain_text("Cutting out")
    expect(alert).to_be_hidden()
    expect(demo.page.locator("#clock")).to_have_text(re.compile(r"\d+\.\d s"))
    demo.give(bowl_jpg + b"another")
    expect(alert).to_contain_text("You have sent as many pictures as this server keeps for one visitor.")
    demo.page.locator("#samples button").first.click()
    expect(demo.page.locator("#words")).to_contain_text("The server has too much to do. This page asks again by itself")


def test_a_picture_without_a_subject(demo: Demo) -> None:
    out = io.BytesIO()
    Image.new("RGB", (320, 240), (128, 130, 132)).save(out, "PNG")
    demo.give(out.getvalue(), "grey.png", "image/png")
    demo.expect_state("no-subject", "No subject was found")
    expect(demo.page.locator("#split")).to_be_disabled()
    expect(demo.page.locator("#before")).to_be_visible()
    assert "Charged" not in demo.details


def test_credits_that_are_spent(open_demo: OpenDemo, start_server: StartServer, bowl_jpg: bytes) -> None:
    demo = open_demo(start_server(PELLUCID_CREDITS_PER_MONTH="300", PELLUCID_OPEN="true"))
    with held_workers(demo.server):
        demo.give(bowl_jpg)
        demo.expect_state("pending", "Cutting out")
        expect(demo.page.locator("#details")).to_contain_text("Costs200 credits")
    demo.wait()
    assert demo.details["Charged"] == "200 credits"
    assert demo.details["Credits"] == "100 left this month"
    demo.give(bowl_jpg + b"another")
    demo.expect_state("no-credits", "There are not enough credits, so the original is shown.")
    assert re.search(r"There will be new ones on 1 [A-Z][a-z]+$", demo.words)
    expect(demo.page.locator("#split")).to_be_disabled()
    assert demo.details["Costs"] == "200 credits"
    demo.page.get_by_label("Quality").select_option("fast")
    demo.wait_for_url("bg_quality=fast")
    assert demo.details["Charged"] == "100 credits"
    assert demo.details["Credits"] == "0 left this month"


def test_a_picture_that_changes_at_its_url(
    open_demo: OpenDemo, start_server: StartServer, origin: PhotoOrigin, bowl_jpg: bytes, otter_jpg: bytes
) -> None:
    server = start_server(PELLUCID_WEB_ADMIN_KEY="a key for tests", PELLUCID_ORIGIN_FRESH_MIN_S="3600")
    demo = open_demo(server)
    origin.put("/changed.jpg", bowl_jpg)
    url = f"http://{origin.host}/changed.jpg"
    demo.fetch(url)
    demo.wait()
    earlier = demo.shown
    with held_workers(server):
        origin.put("/changed.jpg", otter_jpg)
        body = json.dumps({"urls": [f"/{url}"]}).encode()
        told = server.ask("/-/invalidate", method="POST", body=body, Authorization="Bearer a key for tests")
        assert told.status == 200
        demo.fetch(url)
        demo.expect_state("stale", "An earlier cutout; a new one is being made")
        assert demo.shown == earlier
    demo.wait()
    assert demo.words.startswith("Cut out in ")
    assert rgba(demo.shown).shape[1] == 640


def test_a_cutout_that_fails(open_demo: OpenDemo, start_server: StartServer, bowl_jpg: bytes) -> None:
    """Jobs that may take 10 ms: no model is that fast."""
    demo = open_demo(start_server(PELLUCID_QUEUE_JOB_TIMEOUT_S="0.01", PELLUCID_QUEUE_MAX_ATTEMPTS="1"))
    demo.give(bowl_jpg)
    demo.expect_state("failed", "The cutout failed, however often it was tried. Try again in 5 minutes, or try another")
    expect(demo.page.locator("#before")).to_be_visible()
    demo.page.get_by_role("button", name="Try again").click()
    demo.expect_state("failed", "The cutout failed")


def test_no_room_for_uploads(open_demo: OpenDemo, start_server: StartServer, bowl_jpg: bytes) -> None:
    demo = open_demo(start_server(PELLUCID_UPLOADS_TOTAL_BYTES="100000"))
    demo.give(bowl_jpg)
    demo.wait()
    demo.give(bowl_jpg + b"another")
    demo.expect_alert("This server can take no picture now. Try again in 1 hour, or give the URL of a picture.")
    demo.sample()


def test_the_server_goes_and_comes_back(
    open_demo: OpenDemo, start_server: StartServer, tmp_path: Path, bowl_jpg: bytes
) -> None:
    """Gone while the page waits for a cutout, and while it wants to send a picture; back with a lower limit."""
    server = start_server(tmp_path / "data", PELLUCID_WORKERS="0")
    port = int(server.address.rpartition(":")[2])
    demo = open_demo(server)
    demo.give(bowl_jpg)
    demo.expect_state("pending", "Cutting out")
    stop(server)
    demo.expect_state("lost", "The server does not answer. This page asks again by itself")
    expect(demo.page.locator("#before")).to_be_visible()
    server = start_server(tmp_path / "data", port=port)
    demo.wait()
    assert demo.words.startswith("Cut out in ")
    assert demo.fetched(demo.url) == demo.shown
    stop(server)
    demo.give(bowl_jpg + b"another")
    demo.expect_alert("The server cannot be reached. Check your connection, then try again.")
    server = start_server(tmp_path / "data", port=port, PELLUCID_UPLOADS_MAX_BYTES="50000", PELLUCID_WORKERS="0")
    demo.page.get_by_role("button", name="Try again").click()
    demo.expect_alert("The file is too large. Choose a smaller one, or give the URL of the picture.")
    stop(server)
    start_server(tmp_path / "data", port=port)
    demo.page.get_by_role("button", name="Try again").click()
    demo.wait()
    expect(demo.page.get_by_role("alert")).to_be_hidden()


def stop(server: PellucidServer) -> None:
    """All of its processes at once."""
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("stateWords('pending', {position: 1, eta_s: 4})", "Cutting out, about 4 seconds"),
        ("stateWords('pending', {position: 3, eta_s: 130})", "Waiting: number 3 in the queue, about 2 minutes"),
        ("stateWords('no-credits')", "the original is shown. Ask whoever runs this server"),
        ("stateWords('no-credits', {reason: 'origin-not-listed'}, {key: null})", "This server cuts out pictures of"),
        ("stateWords('no-credits', {reason: 'origin-not-listed'}, {key: 'optional'})", "Enter yours above"),
        ("stateWords('failed', {reason: 'damaged', retry_in_s: 60})", "The file is damaged or was cut short, so it"),
        ("stateWords('failed', {reason: 'undecodable'})", "The picture cannot be read to its end"),
        ("stateWords('failed', {reason: 'too-large'})", "more pixels than this server cuts out. Make it smaller"),
        ("stateWords('failed', {reason: 'recipe-not-here'})", "Choose another quality, or try again later"),
        ("stateWords('failed', {reason: 'some-thing', retry_in_s: 300})", "(some thing). Try again in 5 minutes"),
        ("creditRows('pending', {price: 1400})[0].join()", "Costs,1,400 credits"),
        ("creditRows('ready', {price: 200, charged: 200, remaining: 9800})[1].join()", "Credits,9,800 left this month"),
        ("problemOf(503, '<html>', '30').sentence", "The server has too much to do. Try again in 30 seconds."),
        ("problemOf(502, '<html>', null).sentence", "The server cannot be reached."),
        ('problemOf(500, \'{"type":"a:strange"}\', null).sentence', "The server has a fault. Try again in a minute."),
        ('problemOf(418, \'{"type":"a:b","detail":"A teapot."}\', null).sentence', "A teapot."),
        ("duration(1)", "1 second"),
        ("duration(89)", "89 seconds"),
        ("duration(3599)", "1 hour"),
        ("duration(86399)", "24 hours"),
        ("duration(172800)", "2 days"),
    ],
)
def test_words_for_what_is_hard_to_bring_about(demo: Demo, call: str, words: str) -> None:
    said = demo.page.evaluate(f"() => import('/-/pages/demo/words.js').then(words => words.{call})")
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


@pytest.mark.parametrize("width", [360, PHONE[0], 700, 1000])
def test_every_control_of_an_upload_is_within_the_screen(open_demo: OpenDemo, bowl_jpg: bytes, width: int) -> None:
    demo = open_demo(size=(width, PHONE[1]))
    demo.choose(*[Carried(f"a picture with quite a long name {at}.jpg", bowl_jpg + bytes([at])) for at in range(3)])
    demo.wait()
    sides = """() => [...document.querySelectorAll("main :is(a, button, select, input:not(.unseen), img, code)")]
        .filter(each => each.checkVisibility() && !each.closest("#tray, #stage"))
        .map(each => [each.id || each.textContent, each.getBoundingClientRect()])
        .filter(([, box]) => box.left < 0 || box.right > innerWidth).map(([name]) => name)"""
    assert demo.page.evaluate(sides) == []
    assert demo.page.evaluate("() => document.documentElement.scrollWidth - innerWidth") == 0


def test_light_and_dark(open_demo: OpenDemo) -> None:
    brightness = [
        rgba(open_demo(color_scheme=scheme).page.screenshot())[..., :3].mean() for scheme in ("light", "dark")
    ]
    assert brightness[0] > 200
    assert brightness[1] < 70


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_less_motion_where_that_is_wished(open_demo: OpenDemo, bowl_jpg: bytes, motion: str) -> None:
    demo = open_demo(reduced_motion=motion)
    held = hold_uploads(demo)
    demo.give(bowl_jpg + motion.encode())
    expect(demo.page.locator("#words")).to_contain_text("Sending the picture")
    moving = demo.page.evaluate("() => document.getAnimations().length")
    assert (moving == 0) == (motion == "reduce")
    demo.page.evaluate(
        """() => { window.seen = []; const split = document.getElementById("split");
        new MutationObserver(() => seen.push(Number(split.value))).observe(split, { attributes: true }); }"""
    )
    let_go(demo, held)
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
    server = start_server(tmp_path / "no-page", PELLUCID_WEB_DEMO="false", PELLUCID_WORKERS="0")
    answer = server.ask("/", Accept="text/html")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert server.ask("/-/pages/demo/page.js").status == 404


def test_the_page_is_small(demo: Demo) -> None:
    demo.page.wait_for_load_state("networkidle")
    paths = {urlsplit(url).path for url in demo.asked}
    own = [path for path in paths if path == "/" or path.startswith("/-/pages/")]
    assert len(own) == 17
    plain = [demo.server.ask(path, Accept="text/html") for path in own]
    zipped = [demo.server.ask(path, Accept="text/html", Accept_Encoding="gzip") for path in own]
    assert all(answer.headers["content-encoding"] == "gzip" for answer in zipped)
    assert 10_000 < sum(len(answer.body) for answer in zipped) < SENT_BYTES
    assert sum(len(answer.body) for answer in plain) < BUDGET_BYTES


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
    expect(demo.page.locator("#note")).to_contain_text("Your browser puts this backdrop")
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
    assert {"Pellucid", "Usage", "Docs", "Source", "file", "url", "Fetch", *demo.samples} <= set(reached)
    assert all(reached.values()), reached
    demo.page.locator("#samples button").first.focus()
    demo.page.keyboard.press("Enter")
    demo.wait()
    demo.page.locator("header a").first.focus()
    reached = walk()
    assert {"stage", "split", "zoom-in", "zoom-edge", "download", "colour", "own", "width", "format", "tier"} <= set(
        reached
    )
    assert {"code-url", "code-html", "code-curl", "Copy the URL", "Copy the curl line"} <= set(reached)
    assert all(reached.values()), reached


_CONTROLS = re.compile(r"- (button|link|textbox|slider|radio|combobox|checkbox|region|group|img)\b(.*)")


def test_a_screen_reader_is_told_names_and_states(fast: Demo) -> None:
    fast.choose_backdrop("blur")
    fast.wait()
    tree = fast.page.locator("body").aria_snapshot()
    found = [each.groups() for each in _CONTROLS.finditer(tree)]
    assert len(found) > 30
    assert [each for each in found if not each[1].startswith(' "')] == []
    for line in (
        'slider "Divider between original and cutout": "50"',
        'radio "Blur" [checked]',
        'button "Zoom out" [disabled]',
        'option "Standard" [selected]',
        'textbox "HTML"',
        'img "The picture without its background"',
    ):
        assert f"- {line}" in tree
    assert fast.page.get_attribute("#own", "aria-current") == "false"


def test_a_screen_reader_is_told_each_state_once(demo: Demo, origin: PhotoOrigin, bowl_jpg: bytes) -> None:
    demo.page.evaluate(
        """() => { window.heard = [];
        for (const live of document.querySelectorAll("[role=status], [role=alert], output")) {
            if (live.ariaLive === "off") continue;
            const hear = () => live.textContent && heard.push(live.textContent);
            new MutationObserver(hear).observe(live, { childList: true, characterData: true, subtree: true });
        } }"""
    )
    with held_workers(demo.server):
        demo.server.ask(origin.put("/before-heard.jpg", bowl_jpg) + "?bg_remove=1&bg_quality=best")
        demo.give(bowl_jpg + b"heard")
        demo.expect_state("pending", "number 2")
    demo.wait()
    expect(demo.page.locator("#spoken")).to_have_text(demo.words)
    heard = demo.page.evaluate("() => heard")
    assert [words.split()[0] for words in heard] == ["Sending", "Waiting:", "Cut"]
    demo.choose_backdrop("f3c9c0")
    demo.wait_for_url("bg_color=f3c9c0")
    demo.page.get_by_role("button", name="Zoom in").click()
    expect(demo.page.locator("#spoken")).to_have_text(demo.page.inner_text("#zoom"))
    assert len(demo.page.evaluate("() => heard")) == 5
