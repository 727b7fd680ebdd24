"""The usage page in a real browser: keys, ranges, numbers, the chart, CSV, the keyboard, dark, a phone."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from e2e_server import DEADLINE_S, PellucidServer, running_server
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pellucid.customers.customer import hash_key, make_key
from pellucid.settings.model import SettingsTree
from pellucid.wiring.storage import open_database
from usage_rows import Charge, many, write_charges, write_hold

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED = "chromium" in os.environ.get("TEST_REQUIRES", "").split(",")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not REQUIRED, reason="no Chromium here: `apt-get install chromium`, then these run as well"
)

ADMIN_KEY, SHOP_KEY = "the-operators-key", make_key()
TODAY = datetime.now(UTC).date()
HOSTILE = '<img src="x" onerror="document.title=1">'
TOKENS = ["shop", *(f"shop-{number}" for number in range(2, 9))]
_REFUSED = "the server responded with a status of 40"
_WIDTHS = "() => [document.documentElement.scrollWidth, window.innerWidth]"
_BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"
_COLUMNS = (
    '() => new Set([...document.querySelectorAll("#chart rect[class^=c]")].map(bar => bar.getAttribute("x"))).size'
)


def _write(connection: sa.Connection) -> None:
    rows = [
        *many(Charge(day=TODAY, token="shop"), 40),
        Charge(day=TODAY, token="shop", tier="best", credits=400, host=HOSTILE),
        *(Charge(day=TODAY, token=token, tier="fast", credits=100 + place) for place, token in enumerate(TOKENS[1:])),
        *many(Charge(day=date(2026, 3, 10), token="shop", host="=1+1"), 5),
        *many(Charge(day=date(2026, 3, 12), token="shop-2", host="cdn.example"), 2),
    ]
    write_charges(connection, rows)
    write_hold(connection, "shop", credits=600)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PellucidServer]:
    """A server whose ledger was written before it started."""
    data_dir = tmp_path_factory.mktemp("usage")

    async def fill() -> None:
        settings = SettingsTree.model_validate({"data_dir": data_dir})
        async with open_database(settings) as database:
            await database.run(_write)

    asyncio.run(fill())
    tokens = f'{{"shop": {{"key_hash": "{hash_key(SHOP_KEY)}", "credits_per_month": 10000}}, "idle": {{}}}}'
    with running_server(
        data_dir, PELLUCID_WEB_ADMIN_KEY=ADMIN_KEY, PELLUCID_TOKENS=tokens, PELLUCID_WORKERS="0"
    ) as server:
        yield server


@pytest.fixture(scope="module")
def browser(server: PellucidServer) -> Iterator[Browser]:
    # After `server`: Playwright's loop runs from here on, and `asyncio.run` would not.
    expect.set_options(timeout=DEADLINE_S * 1000)  # 5 s are little beside other work
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def _opened(browser: Browser, server: PellucidServer, key: str = "", **how: Any) -> Iterator[Page]:
    """The page, entered with `key`. Nothing may go wrong in it, and nobody else be asked."""
    context = browser.new_context(accept_downloads=True, **how)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: None if said.type != "error" or _REFUSED in said.text else wrong.append(said.text))
    page.on("request", lambda request: None if server.address in request.url else wrong.append(request.url))
    page.on("request", lambda request: wrong.append(request.url) if key and key in request.url else None)
    page.goto(f"http://{server.address}/-/usage")
    if key:
        page.fill("#key", key)
        page.keyboard.press("Enter")
        expect(page.locator("#report")).to_be_visible()
    yield page
    assert wrong == []
    context.close()


def test_a_wrong_key_is_said_and_the_right_one_lets_in(browser: Browser, server: PellucidServer) -> None:
    with _opened(browser, server) as page:
        expect(page.locator("#key")).to_be_focused()
        page.keyboard.type("not-the-key")
        page.keyboard.press("Enter")
        expect(page.locator("#key-error")).to_contain_text("neither the operator's key nor a customer's")
        expect(page.locator("#report")).to_be_hidden()
        page.keyboard.type(ADMIN_KEY)
        page.keyboard.press("Enter")
        expect(page.locator("#report")).to_be_visible()
        page.reload()
        expect(page.locator("#report")).to_be_visible()
        assert page.evaluate("() => localStorage.length + document.cookie.length") == 0
        page.click("#leave")
        expect(page.locator("#enter")).to_be_visible()
        page.reload()
        expect(page.locator("#enter")).to_be_visible()


def test_the_operator_sees_this_month(browser: Browser, server: PellucidServer) -> None:
    fast = sum(100 + place for place in range(len(TOKENS) - 1))
    with _opened(browser, server, ADMIN_KEY) as page:
        expect(page.locator("#sum-credits")).to_have_text(f"{8000 + 400 + fast:,}")
        expect(page.locator("#sum-removals")).to_have_text(str(41 + len(TOKENS) - 1))
        assert page.locator(".balance").count() == len(TOKENS) + 1, "idle stands there, too"
        shop = page.locator(".balance", has=page.get_by_text("shop", exact=True))
        expect(shop).to_contain_text("8,400 of 10,000")
        expect(shop).to_contain_text("1,000 left · 600 held")
        widths = shop.locator(".meter div").evaluate_all("all => all.map(part => part.style.width)")
        assert widths == ["84%", "6%"]
        assert page.locator("#by-tier tbody th").all_inner_texts() == ["standard", "fast", "best"]
        assert page.locator("#by-token tbody th").first.inner_text() == "shop"
        expect(page.locator("#by-host")).to_contain_text(HOSTILE)
        assert page.title() == "Usage - Pellucid"
        assert page.locator("#by-host img").count() == 0
        assert page.locator("#legend li").all_inner_texts() == ["fast", "standard", "best"]
        page.check("#stack input[value=token]")
        legend = page.locator("#legend li").all_inner_texts()
        assert (legend[0], legend[-1], len(legend)) == ("shop", "others", 6)


def test_a_range_of_ones_own_its_chart_and_its_table(browser: Browser, server: PellucidServer) -> None:
    with _opened(browser, server, ADMIN_KEY) as page:
        page.check("#range input[value=custom]")
        page.fill("#from", "2026-03-09")
        page.fill("#to", "2026-03-13")
        page.click("#custom button")
        expect(page.locator("#span")).to_have_text("9 March 2026 to 13 March 2026 (UTC)")
        expect(page.locator("#sum-credits")).to_have_text("1,400")
        assert page.locator("#days tbody tr").all_inner_texts() == [
            "13 Mar\t0\t0",
            "12 Mar\t2\t400",
            "11 Mar\t0\t0",
            "10 Mar\t5\t1,000",
            "9 Mar\t0\t0",
        ]
        assert page.evaluate(_COLUMNS) == 2
        chart = page.get_by_role("img", name="Credits per day, by tier")
        assert "1,000, fell on 10 March 2026" in (chart.locator("desc").text_content() or "")
        chart.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#day")).to_contain_text("Tue 10 Mar: 1,000")
        page.keyboard.press("End")
        expect(page.locator("#day")).to_contain_text("Fri 13 Mar: 0")
        page.fill("#to", "2026-03-01")
        page.keyboard.press("Enter")
        expect(page.locator("#range-error")).to_contain_text("from")
        expect(page.locator("#sum-credits")).to_have_text("1,400")
        page.check("#range input[value='30']")
        expect(page.locator("#range-error")).to_be_hidden()
        expect(page.locator("#days tbody tr")).to_have_count(30)
        page.check("#range input[value=last]")
        last_month = TODAY.replace(day=1) - timedelta(days=1)
        if (last_month.year, last_month.month) == (2026, 3):
            expect(page.locator("#days tbody tr")).to_have_count(last_month.day)
        else:
            expect(page.locator("#nothing")).to_be_visible()
            expect(page.locator("#days")).to_be_hidden()


def test_csv_is_that_of_the_range(browser: Browser, server: PellucidServer) -> None:
    with _opened(browser, server, ADMIN_KEY) as page:
        page.check("#range input[value=custom]")
        page.fill("#from", "2026-03-01")
        page.fill("#to", "2026-03-31")
        page.click("#custom button")
        expect(page.locator("#sum-credits")).to_have_text("1,400")
        with page.expect_download() as caught:
            page.click("#download")
        assert caught.value.suggested_filename == "usage-2026-03-01-to-2026-03-31.csv"
        text = Path(caught.value.path()).read_bytes().decode()
        assert list(csv.reader(io.StringIO(text, newline=""))) == [
            ["day", "token", "operation", "tier", "host", "removals", "credits"],
            ["2026-03-10", "shop", "bg_remove", "standard", "'=1+1", "5", "1000"],
            ["2026-03-12", "shop-2", "bg_remove", "standard", "cdn.example", "2", "400"],
        ]


def test_a_customer_sees_its_own(browser: Browser, server: PellucidServer) -> None:
    with _opened(browser, server, SHOP_KEY) as page:
        expect(page.locator("#who-name")).to_have_text("shop")
        expect(page.locator("#sum-credits")).to_have_text("8,400")
        assert page.locator(".balance").count() == 1
        expect(page.locator("#token-card")).to_be_hidden()
        expect(page.locator("#stack")).to_be_hidden()
        assert "shop-2" not in page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_a_phone_and_follows_the_readers_colours(
    browser: Browser, server: PellucidServer, scheme: str, width: int
) -> None:
    with _opened(browser, server, ADMIN_KEY, color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
        inner, outer = page.evaluate(_WIDTHS)
        assert inner <= outer, "nothing sticks out to the side"
        red = int(page.evaluate(_BACKGROUND).removeprefix("rgb(").partition(",")[0])
        assert (red < 60) == (scheme == "dark")
        expect(page.locator("#chart svg")).to_be_visible()
