"""`func=proxy`: pictures are sent as they are, nothing else is sent."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from contract_world import ask, photo, running, settings_for
from PIL import Image

from pellucid.settings.model import SettingsTree


def _put(settings: SettingsTree, name: str, data: bytes) -> None:
    folder = Path(settings.aliases["_p_"].removeprefix("file://"))
    (folder / name).write_bytes(data)


def _saved(format_: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (90, 40), (90, 120, 150)).save(out, format_)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "format_", "media_type"),
    [
        ("a.jpg", "JPEG", "image/jpeg"),
        ("a.png", "PNG", "image/png"),
        ("a.gif", "GIF", "image/gif"),
        ("a.tif", "TIFF", "image/tiff"),
        ("a.bmp", "BMP", "image/bmp"),
        ("wrong.jpg", "WEBP", "image/webp"),  # what it is, not what it is called
    ],
)
async def test_a_picture_comes_untouched(tmp_path: Path, name: str, format_: str, media_type: str) -> None:
    settings = settings_for(tmp_path)
    data = _saved(format_)
    _put(settings, name, data)
    async with running(settings) as app:
        for query in ("func=proxy", "func=proxy&w=20&h=20&r=45&bg_remove=1&force_format=png&q=3"):
            answer = await ask(app, "GET", f"/_p_/{name}?{query}")
            assert answer.status == 200
            assert answer.body == data
            assert answer.headers["content-type"] == media_type
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "vary" not in answer.headers
            assert "pellucid-cutout" not in answer.headers
        same = await ask(app, "GET", f"/_p_/{name}?func=proxy", {"if-none-match": answer.headers["etag"]})
        assert same.status == 304


async def test_metadata_stays_in_the_file(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    exif = Image.Exif()
    exif[0x010E] = "a description"
    out = io.BytesIO()
    Image.new("RGB", (90, 40)).save(out, "JPEG", exif=exif.tobytes())
    _put(settings, "exif.jpg", out.getvalue())
    async with running(settings) as app:
        assert (await ask(app, "GET", "/_p_/exif.jpg?func=proxy")).body == out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>1</script></svg>', 400),
        ("a.html", b"<!doctype html><script>1</script>", 422),
        ("a.js", b"alert(1)", 422),
        ("a.css", b"body {}", 422),
        ("none.jpg", None, 404),
    ],
)
async def test_what_could_run_is_not_sent(tmp_path: Path, name: str, data: bytes | None, status: int) -> None:
    settings = settings_for(tmp_path)
    if data is not None:
        _put(settings, name, data)
    async with running(settings) as app:
        answer = await ask(app, "GET", f"/_p_/{name}?func=proxy")
        assert answer.status == status
        assert answer.headers["content-type"] == "application/problem+json"


async def test_an_evicted_file_is_read_anew(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    data = photo(1)
    _put(settings, "b.jpg", data)
    async with running(settings) as app:
        assert (await ask(app, "GET", "/_p_/b.jpg?w=10")).status == 200
        for stored in (settings.data_dir / "store" / "bytes").iterdir():
            stored.unlink()
        assert (await ask(app, "GET", "/_p_/b.jpg?func=proxy")).body == data
