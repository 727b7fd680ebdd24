"""Pages of documents over HTTP: each its own image, its own cutout, its own removal."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from contract_world import RECIPE, ask, photo, put_matte, running, settings_for
from PIL import Image
from starlette.types import ASGIApp

from pdf_files import CARD, Page, document
from pellucid.settings.model import SettingsTree
from pellucid.spec import DEFAULT_TOKEN
from pellucid.store import keys
from pellucid.wiring.storage import open_database, open_queue

BLACK = Page(box="0 0 144 72", content=b"0 g 0 0 144 72 re f")
DOCUMENT = document([CARD, BLACK, CARD])


@pytest.fixture
def settings(tmp_path: Path) -> SettingsTree:
    settings = settings_for(tmp_path, credits={"per_month": 10_000}, open=True)
    folder = tmp_path / "pictures"
    (folder / "a.pdf").write_bytes(DOCUMENT)
    (folder / "a.jpg").write_bytes(photo(1))
    frames = [Image.new("RGB", size, colour) for size, colour in (((60, 40), "red"), ((40, 80), "blue"))]
    frames[0].save(folder / "a.tif", save_all=True, append_images=frames[1:])
    return settings


@pytest.fixture
async def app(settings: SettingsTree) -> AsyncGenerator[ASGIApp]:
    async with running(settings) as app:
        yield app


async def _shown(app: ASGIApp, url: str) -> Image.Image:
    answer = await ask(app, "GET", url)
    assert answer.status == 200, answer.body
    return Image.open(io.BytesIO(answer.body))


async def test_each_page_is_an_image_of_its_own(app: ASGIApp) -> None:
    first = await _shown(app, "/_p_/a.pdf?w=300")
    assert (first.format, first.size) == ("JPEG", (300, 200))
    assert (await _shown(app, "/_p_/a.pdf?w=300&doc_page=1")).tobytes() == first.tobytes()
    second = await _shown(app, "/_p_/a.pdf?w=300&doc_page=2")
    assert second.size == (300, 150)
    assert second.getpixel((150, 75)) == (0, 0, 0)
    assert (await _shown(app, "/_p_/a.pdf?w=300&doc_page=2")).tobytes() == second.tobytes()
    assert (await _shown(app, "/_p_/a.pdf?doc_page=3")).size == (150, 100)


async def test_pages_of_a_tiff(app: ASGIApp) -> None:
    assert (await _shown(app, "/_p_/a.tif")).size == (60, 40)
    second = await _shown(app, "/_p_/a.tif?doc_page=2")
    assert second.size == (40, 80)
    assert second.getpixel((20, 40)) == (0, 0, 254)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/_p_/a.pdf?doc_page=4", "the document has 3 pages"),
        ("/_p_/a.tif?doc_page=3", "the document has 2 pages"),
        ("/_p_/a.jpg?doc_page=2", "JPEG files have no pages"),
        ("/_p_/a.pdf?doc_page=0", "an integer from 1"),
        ("/_p_/a.pdf?doc_page=x", "an integer from 1"),
    ],
)
async def test_a_page_that_is_not_there(app: ASGIApp, url: str, words: str) -> None:
    answer = await ask(app, "GET", url)
    assert answer.status == 400
    assert words in answer.body.decode()


async def test_the_first_page_of_anything_is_there(app: ASGIApp) -> None:
    assert (await _shown(app, "/_p_/a.jpg?doc_page=1")).size == (60, 40)


async def test_each_page_is_a_removal_of_its_own(app: ASGIApp, settings: SettingsTree) -> None:
    digest = keys.digest(DOCUMENT)
    for page in (2, 1, 2):
        answer = await ask(app, "GET", f"/_p_/a.pdf?bg_remove=1&doc_page={page}")
        assert answer.headers["pellucid-cutout"].startswith("pending")
    async with open_database(settings) as database, open_queue(settings, database) as queue:
        assert (await queue.balance(DEFAULT_TOKEN)).held == 2 * 200
        assert await queue.pending_keys() == {keys.matte_name(digest, page, RECIPE.id) for page in (0, 1)}


async def test_the_cutout_of_a_page_is_shown_and_paid_once(app: ASGIApp, settings: SettingsTree) -> None:
    await put_matte(settings, DOCUMENT, size=(300, 150), page=2)
    url = "/_p_/a.pdf?bg_remove=1&force_format=png"
    for _ in range(2):
        answer = await ask(app, "GET", f"{url}&doc_page=2")
        assert answer.headers["pellucid-cutout"].startswith("ready")
        cut = Image.open(io.BytesIO(answer.body))
        assert (cut.size, cut.getpixel((150, 75)), cut.getpixel((3, 3))[3]) == ((300, 150), (0, 0, 0, 255), 0)
    assert (await ask(app, "GET", url)).headers["pellucid-cutout"].startswith("pending")
    status = await ask(app, "GET", "/-/status/_p_/a.pdf?bg_remove=1&doc_page=2")
    assert b'"ready"' in status.body
    async with open_database(settings) as database, open_queue(settings, database) as queue:
        balance = await queue.balance(DEFAULT_TOKEN)
        assert (balance.charged, balance.held) == (200, 200)


async def test_documents_are_not_sent_as_they_are(app: ASGIApp) -> None:
    answer = await ask(app, "GET", "/_p_/a.pdf?func=proxy")
    assert answer.status == 400
    assert b"may hold scripts" in answer.body
