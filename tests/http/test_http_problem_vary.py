"""Problems say which of a request's headers they depend on, as pictures do."""

from __future__ import annotations

import io
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from contract_world import HEIGHT, WIDTH, ask, photo, put_matte, running, settings_for
from PIL import Image
from starlette.types import ASGIApp

ACCEPTS = ("image/avif,image/webp,*/*;q=0.8", "*/*", "")


def _without_pixels(seed: int, suffix: str) -> bytes:
    """A file that is sound by its structure, so that only rendering finds out that nothing can be shown of it."""
    data = photo(seed, suffix=suffix)
    pixels, end = {"JPEG2000": (b"\xff\x93", b"\xff\xd9"), "PNG": (b"IDAT", bytes(4) + b"IEND\xaeB`\x82")}[suffix]
    return data[: data.index(pixels) + 4] + end


@asynccontextmanager
async def _running(folder: Path, **image: object) -> AsyncGenerator[ASGIApp, None]:
    settings = settings_for(folder, image={"max_output_pixels": 10_000, **image})
    pictures = Path(settings.data_dir).parent / "pictures"
    for seed, suffix, ending in ((1, "JPEG2000", "jp2"), (2, "PNG", "png")):
        (pictures / f"broken.{ending}").write_bytes(_without_pixels(seed, suffix))
        (pictures / f"broken-asked-once.{ending}").write_bytes(_without_pixels(seed, suffix) + b"other bytes")
        (pictures / f"sound.{ending}").write_bytes(photo(seed + 10, suffix=suffix))
    ready = _without_pixels(3, "JPEG2000")
    (pictures / "broken-ready.jp2").write_bytes(ready)
    out = io.BytesIO()
    Image.new("RGBA", (WIDTH, HEIGHT), (9, 9, 9, 9)).save(out, "TIFF")
    (pictures / "alpha.tiff").write_bytes(out.getvalue())
    await put_matte(settings, ready)
    async with running(settings) as app:
        yield app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[ASGIApp, None]:
    async with _running(tmp_path_factory.mktemp("vary")) as app:
        yield app


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def without(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[ASGIApp, None]:
    """A server that negotiates no opaque pictures."""
    async with _running(tmp_path_factory.mktemp("without"), negotiate="") as app:
        yield app


# URL, status, whether it varies by Accept (None: where opaque pictures are negotiated)
CASES = [
    # From rendering: another format might have been rendered.
    ("/_p_/broken.jp2?bg_remove=1", 422, True),
    ("/_p_/broken-ready.jp2?bg_remove=1", 422, True),
    ("/_p_/broken.jp2", 422, None),
    ("/_p_/broken.jp2?force_format=webp,jpg", 422, True),
    ("/_p_/broken.jp2?force_format=jpg,webp", 422, False),
    ("/_p_/broken.jp2?force_format=jpg", 422, False),
    ("/_p_/broken.png", 422, None),
    ("/_p_/broken.png?bg_remove=1", 422, False),
    ("/_p_/broken.jp2?bg_remove=1&force_format=png", 422, False),
    ("/_p_/broken.jp2?bg_remove=1&force_format=original", 422, False),
    ("/_p_/broken.jp2?bg_remove=1&bg_color=456", 422, None),
    ("/_p_/broken.jp2?bg_remove=1&bg_color=4568", 422, True),
    # From planning.
    ("/_p_/sound.jp2?bg_remove=1&w=5000", 400, True),
    ("/_p_/alpha.tiff?w=5000", 400, True),
    ("/_p_/sound.jp2?w=5000", 400, None),
    ("/_p_/sound.png?bg_remove=1&w=5000", 400, False),
    ("/_p_/sound.jp2?bg_remove=1&w=5000&force_format=webp", 400, False),
    # From reading the URL, and from its origin: whatever anybody accepts.
    ("/_p_/sound.jp2?bg_remove=1&w=abc", 400, False),
    ("/_p_/missing.jp2?bg_remove=1", 404, False),
    # In place of a picture.
    ("/_p_/sound.jp2?bg_remove=1&bg_pending=202", 202, True),
    ("/_p_/sound.jp2?bg_remove=1&bg_pending=423", 423, True),
    ("/_p_/sound.png?bg_remove=1&bg_pending=423", 423, False),
]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("url", "status", "varies"), CASES)
async def test_what_could_have_been_negotiated_varies(
    app: ASGIApp, without: ASGIApp, url: str, status: int, varies: bool | None, method: str
) -> None:
    for accept, (server, negotiates) in itertools.product(ACCEPTS, ((app, True), (without, False))):
        answer = await ask(server, method, url, {"accept": accept} if accept else {})
        assert answer.status == status
        assert answer.headers.get("vary") == ("Accept" if (negotiates if varies is None else varies) else None)
        assert "content-disposition" not in answer.headers


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("name", "choice", "status", "vary"),
    [
        ("broken-asked-once.jp2", "", 422, "Accept, Prefer"),  # nobody waits for what is known to be damaged
        ("broken-asked-once.png", "", 422, "Prefer"),
        ("sound.jp2", "202", 202, "Accept, Prefer"),
        ("sound.png", "423", 423, "Prefer"),
    ],
)
async def test_who_waited_gets_a_problem_for_himself(
    app: ASGIApp, name: str, choice: str, status: int, vary: str
) -> None:
    url = f"/_p_/{name}?bg_remove=1" + (f"&bg_pending={choice}" if choice else "")
    answer = await ask(app, "GET", url, {"prefer": "wait=1"})
    assert answer.status == status
    assert answer.headers["vary"] == vary
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["preference-applied"] == "wait=1"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", ["broken.jp2", "broken.png"])
async def test_who_waits_because_the_url_says_so_depends_on_no_preference(app: ASGIApp, name: str) -> None:
    """Nor does who would not wait at all: the URL has the last word."""
    for headers in ({}, {"prefer": "wait=0"}):
        answer = await ask(app, "GET", f"/_p_/{name}?bg_remove=1&bg_pending=wait", headers)
        assert answer.status == 422
        assert "Prefer" not in answer.headers.get("vary", "")
        assert answer.headers["cache-control"].startswith("public, max-age=")
