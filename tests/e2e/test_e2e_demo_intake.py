"""What the demo page does with files: several at once, empty ones, too large ones, folders, what is no picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from demo_page import Carried, Demo, OpenDemo, needs_chromium, rgba
from e2e_server import PhotoOrigin, StartServer
from PIL import Image, ImageDraw
from playwright.sync_api import expect

pytestmark = needs_chromium

WAYS = ["choose", "paste", "drop"]
LIMIT = 25 * 1024 * 1024
_NOISE = bytes(range(256)) * 16
EMPTY = Carried("empty.jpg", b"")
HUGE = Carried("huge.jpg", b"\xff\xd8\xff" + bytes(LIMIT))
NOTES = Carried("notes.txt", b"no picture at all", "text/plain")
FILM = Carried("film.mp4", _NOISE, "video/mp4")


def _png(colour: str, size: tuple[int, int] = (300, 200)) -> bytes:
    """A disc before a wall."""
    picture = Image.new("RGB", size, (196, 200, 204))
    ImageDraw.Draw(picture).ellipse((size[0] // 3, size[1] // 5, 2 * size[0] // 3, 4 * size[1] // 5), colour)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def _give(demo: Demo, way: str, *files: Carried) -> None:
    {"choose": demo.choose, "paste": demo.paste, "drop": demo.drop}[way](*files)


def _uploads(demo: Demo) -> int:
    return sum(url.endswith("/-/uploads") for url in demo.asked)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (EMPTY, "The file is empty: there is not a byte in it. Choose another one."),
        (NOTES, "There is no picture in what you gave. Choose a JPEG"),
        (FILM, "There is no picture in what you gave. Choose a JPEG"),
        (Carried("noise.png", _NOISE, "image/png"), "This is no picture that can be read here. Choose a JPEG"),
        (Carried("cut.jpg", b"\xff\xd8\xff\xe0" + _NOISE), "The picture is damaged and cannot be read."),
    ],
    ids=["empty", "text", "film", "noise", "headless"],
)
def test_a_file_that_is_no_use(demo: Demo, way: str, file: Carried, sentence: str) -> None:
    _give(demo, way, file)
    demo.expect_alert(sentence)
    expect(demo.page.locator("#work")).to_be_hidden()
    demo.sample()
    expect(demo.page.get_by_role("alert").first).to_be_hidden()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("way", ["upload", "URL"])
def test_half_a_file_is_shown_and_said_to_be_damaged(demo: Demo, origin: PhotoOrigin, kind: str, way: str) -> None:
    """As far as it goes; it is no cutout, and nothing of it is downloaded."""
    noise = np.random.default_rng(7).integers(0, 256, (400, 600, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, kind)
    half = out.getvalue()[: len(out.getvalue()) // 2]
    if way == "upload":
        demo.choose(Carried(f"half.{kind.lower()}", half, f"image/{kind.lower()}"))
    else:
        origin.files[f"/half.{kind.lower()}"] = half
        demo.fetch(f"http://{origin.host}/half.{kind.lower()}")
    demo.expect_state(
        "failed", "The file is damaged or was cut short, so it is shown as far as it goes and not cut out."
    )
    expect(demo.page.locator("#before")).to_be_visible()
    expect(demo.page.locator("#download")).to_be_hidden()
    expect(demo.page.locator("#split")).to_be_disabled()


def test_a_file_that_is_too_large(demo: Demo) -> None:
    demo.choose(HUGE)
    demo.expect_alert("The file is too large. Choose one of up to 25 MB, or give the URL of the picture.")
    assert _uploads(demo) == 0, "the limit is known before anything is sent"


def test_the_limit_is_that_of_origins_where_that_is_lower(open_demo: OpenDemo, start_server: StartServer) -> None:
    demo = open_demo(start_server(PELLUCID_ORIGIN_MAX_BYTES="204800", PELLUCID_WORKERS="0"))
    expect(demo.page.locator("#drop-note")).to_contain_text("Up to 200 kB")
    demo.choose(Carried("large.jpg", b"\xff\xd8\xff" + bytes(250_000)))
    demo.expect_alert("Choose one of up to 200 kB")


@pytest.mark.parametrize("way", WAYS)
def test_three_pictures_at_once_are_cut_out_one_after_another(demo: Demo, way: str) -> None:
    files = [Carried(f"{name}.png", _png(name), "image/png") for name in ("firebrick", "seagreen", "navy")]
    _give(demo, way, *files)
    tray = demo.page.locator("#tray button")
    expect(demo.page.locator("#done")).to_have_text("3 pictures, one at a time: choose the next one below.")
    assert tray.all_inner_texts() == ["firebrick.png", "seagreen.png", "navy.png"]
    demo.wait()
    expect(tray.nth(0)).to_have_attribute("aria-current", "true")
    assert _uploads(demo) == 1, "the others wait"
    tray.nth(2).click()
    demo.wait()
    expect(tray.nth(2)).to_have_attribute("aria-current", "true")
    expect(tray.nth(0)).not_to_have_attribute("aria-current", "true")
    red, green, blue, alpha = rgba(demo.shown)[100, 150]
    assert (alpha, blue > red, blue > green) == (255, True, True)
    tray.nth(0).click()
    demo.wait()
    assert _uploads(demo) == 2, "what was sent is not sent again"
    name, _ = demo.download()
    assert name == "firebrick-cutout.webp"
    demo.page.get_by_role("button", name="Delete my picture").click()
    expect(tray).to_have_count(2)
    tray.nth(0).click()
    demo.wait()
    demo.sample()
    expect(demo.page.locator("#tray")).to_be_hidden()


@pytest.mark.parametrize("way", WAYS)
def test_files_that_are_no_use_are_left_out_and_named(demo: Demo, way: str) -> None:
    _give(demo, way, NOTES, Carried("a.png", _png("firebrick"), "image/png"), EMPTY, FILM, NOTES)
    expect(demo.page.locator("#done")).to_have_text(
        "Left out: notes.txt (no picture), empty.jpg (empty), film.mp4 (no picture) and 1 more."
    )
    expect(demo.page.locator("#tray")).to_be_hidden()
    demo.wait()
    _give(demo, way, NOTES, EMPTY)
    demo.expect_alert("None of these files can be used. Left out: notes.txt (no picture), empty.jpg (empty).")


def test_more_than_may_be_offered_at_once(demo: Demo) -> None:
    demo.choose(*[Carried(f"{at}.png", _png("navy", (30, 20 + at)), "image/png") for at in range(27)])
    expect(demo.page.locator("#tray button")).to_have_count(24)
    expect(demo.page.locator("#done")).to_contain_text("24 pictures, one at a time")
    expect(demo.page.locator("#done")).to_contain_text("24.png (more than 24 at a time), ")


def test_a_folder_is_no_picture(demo: Demo, tmp_path: Path) -> None:
    """Dropped as a file manager drops it."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(_png("navy"))
    browser = demo.page.context.new_cdp_session(demo.page)
    data = {"items": [], "files": [str(tmp_path / "photos")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 200, "data": data})
    demo.expect_alert("That is a folder. Open it, and drop the pictures in it.")
    assert _uploads(demo) == 0


def test_a_reload_keeps_the_name(demo: Demo) -> None:
    demo.choose(Carried("tea pot.png", _png("navy"), "image/png"))
    demo.wait()
    demo.page.reload()
    demo.wait()
    assert demo.download()[0] == "tea pot-cutout.webp"
