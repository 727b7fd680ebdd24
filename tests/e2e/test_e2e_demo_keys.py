"""The demo page of a server with customers: nothing is broken without a key, everything works with one."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from demo_page import DESKTOP, PHONE, Carried, Demo, OpenDemo, held_workers, needs_chromium
from e2e_server import PellucidServer, PhotoOrigin, StartServer, running_server
from playwright.sync_api import expect

from pellucid.customers.customer import hash_key, make_key

pytestmark = needs_chromium

ADMIN_KEY, SHOP_KEY = "the-operators-key", make_key()
_TOKENS = {"shop": {"key_hash": hash_key(SHOP_KEY), "hosts": ["localhost"], "credits_per_month": 100_000}}
_BROKEN = """() => [...document.images].filter(
    image => image.src && image.checkVisibility() && image.complete && !image.naturalWidth).map(image => image.src)"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PellucidServer]:
    """A server with a customer, who has a key, a host name and a limit."""
    data_dir = tmp_path_factory.mktemp("shop")
    with running_server(data_dir, PELLUCID_TOKENS=json.dumps(_TOKENS), PELLUCID_WEB_ADMIN_KEY=ADMIN_KEY) as server:
        yield server


def _enter(demo: Demo, key: str) -> None:
    demo.page.get_by_label("Key", exact=True).fill(key)
    demo.page.keyboard.press("Enter")


def _refused(demo: Demo) -> list[str]:
    return [answer.url for answer in demo.answered if answer.status == 401]


def _broken(demo: Demo) -> list[str]:
    demo.page.wait_for_load_state("networkidle")
    return demo.page.evaluate(_BROKEN)


def test_without_a_key_the_page_asks_for_one_and_shows_nothing_broken(
    open_demo: OpenDemo, shop: PellucidServer
) -> None:
    demo = open_demo(shop)
    expect(demo.page.get_by_text("This server cuts out pictures for its customers.")).to_be_visible()
    assert _broken(demo) == []
    assert _refused(demo) == [], "nothing is asked for that is refused"
    assert demo.page.locator("img:visible").count() == 1, "the mark"
    for control in ("Choose a picture", "URL of a picture", "Or try one of these"):
        expect(demo.page.get_by_text(control)).to_be_hidden()
    demo.paste(b"a picture")
    demo.expect_alert("Enter a customer's key first: without one, this server takes no pictures.")
    demo.paste(text_plain="https://example.com/a.jpg")
    assert len(demo.asked) == len([url for url in demo.asked if "example.com" not in url])


@pytest.mark.parametrize("key", ["pel_nobodys", ADMIN_KEY, "with a space", "grün", ""])
def test_a_key_that_opens_nothing_is_said(open_demo: OpenDemo, shop: PellucidServer, key: str) -> None:
    demo = open_demo(shop)
    _enter(demo, key)
    expect(demo.page.locator("#key-error")).to_contain_text(re.compile("no customer's key|without spaces"))
    expect(demo.page.get_by_label("Key", exact=True)).to_be_focused()
    expect(demo.page.get_by_text("Choose a picture")).to_be_hidden()
    assert _broken(demo) == []
    _enter(demo, SHOP_KEY)
    expect(demo.page.get_by_text("Choose a picture")).to_be_visible()
    expect(demo.page.locator("#key-error")).to_be_hidden()


def test_with_a_key_everything_is_asked_in_its_name(
    open_demo: OpenDemo, shop: PellucidServer, origin: PhotoOrigin, bowl_jpg: bytes
) -> None:
    demo = open_demo(shop)
    _enter(demo, SHOP_KEY)
    expect(demo.page.locator("#samples img").first).to_be_visible()
    demo.page.wait_for_function("() => [...document.querySelectorAll('#samples img')].every(each => each.naturalWidth)")
    with held_workers(shop):
        demo.give(bowl_jpg + b"with a key")
        demo.expect_state("pending", "Cutting out")
    demo.wait()
    assert demo.words.startswith("Cut out in "), "the events were heard with the key, too"
    assert any("/-/events/_upload_/" in url for url in demo.asked)
    assert demo.details["Charged"] == "200 credits"
    assert re.fullmatch(r"[\d,]+ left this month", demo.details["Credits"])
    name, data = demo.download()
    assert name == "bowl-cutout.webp"
    curl = demo.copied("curl line")
    assert curl == f"curl -H \"Authorization: Bearer $KEY\" -o 'bowl-cutout.webp' '{demo.url}'"
    path = "{0.path}?{0.query}".format(urlsplit(demo.url))
    assert shop.ask(path).status == 401
    assert shop.ask(path, Authorization=f"Bearer {SHOP_KEY}").body == data
    expect(demo.page.locator("#code-note")).to_contain_text("an <img> cannot send")
    demo.page.get_by_role("button", name="Delete my picture").click()
    expect(demo.page.locator("#done")).to_have_text("Your picture is deleted.")
    origin.put("/keyed.jpg", bowl_jpg)
    demo.fetch(f"http://{origin.host}/keyed.jpg")
    demo.wait()
    demo.page.reload()
    demo.wait()
    assert _refused(demo) == []
    assert _broken(demo) == []
    assert not [url for url in demo.asked if SHOP_KEY in url]
    assert demo.page.evaluate("() => localStorage.length + document.cookie.length") == 0
    demo.page.get_by_role("button", name="Forget the key").click()
    expect(demo.page.get_by_label("Key", exact=True)).to_be_focused()
    expect(demo.page.locator("#work")).to_be_hidden()
    demo.page.reload()
    expect(demo.page.get_by_label("Key", exact=True)).to_be_visible()
    assert _broken(demo) == []


def test_one_key_opens_demo_and_usage(open_demo: OpenDemo, shop: PellucidServer) -> None:
    demo = open_demo(shop)
    _enter(demo, SHOP_KEY)
    expect(demo.page.get_by_text("Choose a picture")).to_be_visible()
    demo.page.get_by_role("link", name="Usage").click()
    expect(demo.page.locator("#who-name")).to_have_text("shop")
    demo.page.get_by_role("link", name="Docs").click()
    expect(demo.page.get_by_role("heading", level=1)).to_have_text("Pellucid")
    demo.page.get_by_role("link", name="Try it", exact=True).click()
    expect(demo.page.get_by_text("Choose a picture")).to_be_visible()


def test_at_a_customers_host_the_page_works_without_a_key_and_for_all_pictures_with_one(
    open_demo: OpenDemo, shop: PellucidServer, bowl_jpg: bytes
) -> None:
    demo = open_demo(shop, host="localhost")
    expect(demo.page.locator("#key-form")).to_be_hidden()
    demo.sample()
    assert demo.details["Charged"] == "200 credits"
    assert demo.copied("curl line").startswith("curl -o '")
    demo.give(bowl_jpg + b"a stranger's")
    demo.expect_state("no-credits", "Without a key, this server cuts out pictures of certain sites only")
    demo.page.get_by_role("button", name="Enter a customer’s key").click()
    expect(demo.page.get_by_text("This is a customer's address.")).to_be_visible()
    _enter(demo, "pel_nobodys")
    expect(demo.page.locator("#key-error")).to_contain_text("no customer's key")
    _enter(demo, SHOP_KEY)
    demo.wait()
    assert _broken(demo) == []


def test_a_key_that_is_taken_back(
    open_demo: OpenDemo, start_server: StartServer, bowl_jpg: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data_dir = tmp_path_factory.mktemp("taken-back")
    server = start_server(data_dir, PELLUCID_TOKENS=json.dumps(_TOKENS), PELLUCID_WORKERS="0")
    demo = open_demo(server)
    _enter(demo, SHOP_KEY)
    expect(demo.page.get_by_text("Choose a picture")).to_be_visible()
    server.process.terminate()
    server.process.wait()
    other = {"shop": {"key_hash": hash_key(make_key())}}
    port = int(server.address.rpartition(":")[2])
    start_server(data_dir, port=port, PELLUCID_TOKENS=json.dumps(other), PELLUCID_WORKERS="0")
    demo.give(bowl_jpg)
    expect(demo.page.locator("#key-error")).to_have_text("That key opens nothing here any more. Enter another one.")
    expect(demo.page.locator("#work")).to_be_hidden()


def test_without_customers_nothing_is_said_of_keys(demo: Demo) -> None:
    demo.sample()
    for name in ("Enter a customer’s key", "Forget the key", "Use this key"):
        expect(demo.page.get_by_role("button", name=name)).to_be_hidden()
    expect(demo.page.locator("#details")).not_to_contain_text("redits")


def test_what_serve_prints_is_answered(shop: PellucidServer) -> None:
    printed = [line for line in shop.output if line.strip().startswith(("curl ", "http://")) and "_samples_" in line]
    assert len(printed) == 3
    for line in printed:
        words = shlex.split(line)
        headers = dict(word.split(": ", 1) for word in words if ": " in word)
        url = urlsplit(words[-1])
        assert url.netloc == shop.address
        assert shop.ask(f"{url.path}?{url.query}").status == 401
        answer = shop.ask(f"{url.path}?{url.query}", Authorization=headers["Authorization"].replace("$KEY", SHOP_KEY))
        assert answer.status == 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE, (360, 740)], ids=["desktop", "phone", "small phone"])
def test_the_gate_and_the_manual_have_no_serious_barrier_and_fit(
    open_demo: OpenDemo, shop: PellucidServer, scheme: str, size: tuple[int, int]
) -> None:
    demo = open_demo(shop, size=size, color_scheme=scheme, reduced_motion="reduce")

    def check() -> None:
        found = Axe().run(demo.page).response["violations"]
        assert [
            (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")
        ] == []
        assert demo.page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0

    _enter(demo, "pel_nobodys")
    expect(demo.page.locator("#key-error")).not_to_be_empty()
    check()
    _enter(demo, SHOP_KEY)
    expect(demo.page.get_by_text("Choose a picture")).to_be_visible()
    check()
    demo.choose(*[Carried(name, b"\xff\xd8\xff" + name.encode()) for name in ("one.jpg", "two.jpg", "three.jpg")])
    demo.expect_alert("The picture is damaged")
    check()
    for path in ("/-/usage", "/-/docs", "/-/docs/states", "/-/docs/settings", "/-/docs/benchmarks", "/-/docs/LICENSE"):
        demo.page.goto(f"http://{shop.address}{path}")
        demo.page.wait_for_load_state("networkidle")
        check()
