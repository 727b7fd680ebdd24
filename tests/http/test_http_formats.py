"""Formats by `force_format` and by `Accept`, with negotiation and without: type, name, Vary, ETag, 304."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from contract_world import Answer, ask, running, settings_for
from PIL import Image
from starlette.types import ASGIApp

ACCEPTS = {
    "nothing": "*/*",
    "webp": "image/webp,*/*;q=0.8",
    "avif": "image/avif;q=0.9",
    "both": "image/avif,image/webp,image/apng,*/*;q=0.8",
    "refused": "image/webp;q=0, image/avif;q=0",
}
SIZE = (240, 160)


def _photo() -> Image.Image:
    """Smooth, with a little grain: WebP is smaller than JPEG."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(np.float32)
    shade = 120 + 70 * np.sin(x / 40)[..., None] * np.cos(y / 31)[..., None] * np.array([1, 0.7, 0.4])
    shade += np.random.default_rng(7).normal(0, 3, (*SIZE[::-1], 1))
    return Image.fromarray(np.clip(shade, 0, 255).astype(np.uint8))


def _noise() -> Image.Image:
    """JPEG is smaller than WebP."""
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (*SIZE[::-1], 3), np.uint8))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apps(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[dict[str, ASGIApp], None]:
    with_ = settings_for(tmp_path_factory.mktemp("with"))
    without = settings_for(tmp_path_factory.mktemp("without"), image={"negotiate": []})
    for settings in (with_, without):
        pictures = Path(settings.data_dir).parent / "pictures"
        _photo().save(pictures / "photo.jpg", quality=95)
        _photo().save(pictures / "photo.png")
        _photo().save(pictures / "photo.webp", quality=95)
        _noise().save(pictures / "noise.png")
        Image.new("RGBA", SIZE, (200, 30, 30, 128)).save(pictures / "glass.png")
    async with running(with_) as one, running(without) as other:
        yield {"with": one, "without": other}


async def _ask(app: ASGIApp, url: str, accept: str) -> Answer:
    """Asked twice, because the second answer comes from another place, and with its own ETag."""
    headers = {"accept": ACCEPTS[accept]}
    answer, again = await ask(app, "GET", url, headers), await ask(app, "GET", url, headers)
    assert (answer.status, again.status) == (200, 200)
    assert again.body == answer.body
    not_modified = await ask(app, "GET", url, headers | {"if-none-match": answer.headers["etag"]})
    assert not_modified.status == 304
    for header in ("vary", "etag"):
        assert not_modified.headers.get(header) == again.headers.get(header) == answer.headers.get(header)
    return answer


def _type(answer: Answer) -> str:
    """What was sent, which the header and the name must say."""
    format_ = str(Image.open(io.BytesIO(answer.body)).format)
    assert answer.headers["content-type"] == f"image/{format_.lower()}"
    ending = {"JPEG": "jpg"}.get(format_, format_.lower())
    assert answer.headers["content-disposition"].endswith(f'.{ending}"')
    return format_


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("name", "types", "without"),
    [
        ("photo.jpg", ("JPEG", "WEBP", "AVIF", "AVIF", "JPEG"), "JPEG"),
        ("photo.png", ("PNG", "WEBP", "PNG", "WEBP", "PNG"), "PNG"),
        ("photo.webp", ("WEBP", "WEBP", "AVIF", "AVIF", "WEBP"), "WEBP"),
        ("noise.png", ("PNG", "JPEG", "PNG", "JPEG", "PNG"), "PNG"),
        ("glass.png", ("PNG",) * 5, "PNG"),
    ],
)
async def test_by_accept(apps: dict[str, ASGIApp], name: str, types: tuple[str, ...], without: str) -> None:
    url, etags = f"/_p_/{name}?w=120", set[str]()
    for accept, expected in zip(ACCEPTS, types, strict=True):
        answer = await _ask(apps["with"], url, accept)
        assert _type(answer) == expected
        assert answer.headers.get("vary") == ("Accept" if len(set(types)) > 1 else None)
        etags.add(answer.headers["etag"])
        answer = await _ask(apps["without"], url, accept)
        assert _type(answer) == without
        assert "vary" not in answer.headers
    assert len(etags) == len(set(types)), "each variant has its own"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("server", ["with", "without"])
@pytest.mark.parametrize(
    ("name", "formats", "types"),
    [
        ("photo.jpg", "webp,jpg", ("JPEG", "WEBP", "JPEG", "WEBP", "JPEG")),
        ("photo.jpg", "avif,webp,png", ("PNG", "WEBP", "AVIF", "AVIF", "PNG")),
        ("photo.jpg", "_webp,original", ("JPEG", "WEBP", "JPEG", "WEBP", "JPEG")),
        ("photo.jpg", "gif,webp", ("GIF",) * 5),
        ("photo.jpg", "avif", ("AVIF",) * 5),
        ("photo.jpg", "gif", ("GIF",) * 5),
        ("photo.jpg", "webp", ("WEBP",) * 5),
        ("noise.png", "webp", ("JPEG",) * 5),
        ("noise.png", "_webp", ("WEBP",) * 5),
        ("noise.png", "original", ("PNG",) * 5),
        ("glass.png", "webp", ("WEBP",) * 5),
        ("glass.png", "avif,jpg", ("JPEG", "JPEG", "AVIF", "AVIF", "JPEG")),
    ],
)
async def test_by_force_format(
    apps: dict[str, ASGIApp], server: str, name: str, formats: str, types: tuple[str, ...]
) -> None:
    for accept, expected in zip(ACCEPTS, types, strict=True):
        answer = await _ask(apps[server], f"/_p_/{name}?w=120&force_format={formats}", accept)
        assert _type(answer) == expected
        assert answer.headers.get("vary") == ("Accept" if len(set(types)) > 1 else None)


@pytest.mark.asyncio(loop_scope="module")
async def test_round_corners_look_the_same_for_everybody(apps: dict[str, ASGIApp]) -> None:
    """White for a family without alpha, clear for one with it."""
    for name, corner in (("photo.jpg", (255, 255, 255, 255)), ("photo.png", (255, 255, 255, 0))):
        for accept in ACCEPTS:
            answer = await _ask(apps["with"], f"/_p_/{name}?radius=40", accept)
            pixels = np.asarray(Image.open(io.BytesIO(answer.body)).convert("RGBA"))
            assert abs(int(pixels[0, 0, 3]) - corner[3]) <= 2
            if corner[3]:
                assert pixels[0, 0].min() >= 250
    forced = await _ask(apps["with"], "/_p_/photo.jpg?radius=40&force_format=webp", "both")
    assert np.asarray(Image.open(io.BytesIO(forced.body)).convert("RGBA"))[0, 0, 3] == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_a_quality_is_a_look(apps: dict[str, ASGIApp]) -> None:
    """However it is sent: the same distance from the picture, about."""
    origin = np.asarray(_photo(), float)
    for quality in (50, 80):
        errors = [
            np.sqrt(np.square(np.asarray(Image.open(io.BytesIO(answer.body)).convert("RGB"), float) - origin).mean())
            for formats in ("jpeg", "_webp", "avif")
            for answer in [await _ask(apps["with"], f"/_p_/photo.png?q={quality}&force_format={formats}", "both")]
        ]
        assert max(errors) < 1.5 * min(errors)
