"""`/-/status`: the size of the picture, in every state, before anybody asked for a cutout."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from contract_world import ask, photo, put_matte, running, settings_for
from PIL import Image

from pellucid.settings.model import SettingsTree

_ROTATED = 6
"""EXIF: the camera was turned, width and height change places."""


def _put(settings: SettingsTree, name: str, size: tuple[int, int], *, orientation: int = 1) -> None:
    picture = Image.new("RGB", size, (90, 120, 150))
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    picture.save(out, Path(name).suffix.lstrip(".").upper(), exif=exif.tobytes())
    folder = Path(settings.aliases["_p_"].removeprefix("file://"))
    (folder / name).write_bytes(out.getvalue())


@pytest.mark.parametrize("query", ["bg_remove=1", "bg_remove=1&w=20"])
@pytest.mark.parametrize(
    ("name", "orientation", "width", "height"),
    [("wide.jpeg", 1, 90, 40), ("turned.jpeg", _ROTATED, 40, 90), ("tower.png", 1, 90, 40), ("a.webp", 1, 90, 40)],
)
async def test_the_size_is_that_of_the_origin_upright(
    tmp_path: Path, query: str, name: str, orientation: int, width: int, height: int
) -> None:
    settings = settings_for(tmp_path)
    _put(settings, name, (90, 40), orientation=orientation)
    async with running(settings) as app:
        answer = await ask(app, "GET", f"/-/status/_p_/{name}?{query}")
        document = json.loads(answer.body)
        assert (document["state"], document["width"], document["height"]) == ("unasked", width, height)


async def test_the_size_is_told_of_what_is_ready(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    data = photo(1)
    (tmp_path / "pictures" / "a.jpg").write_bytes(data)
    await put_matte(settings, data)
    async with running(settings) as app:
        assert (await ask(app, "GET", "/_p_/a.jpg?bg_remove=1")).headers["pellucid-cutout"] == "ready"
        document = json.loads((await ask(app, "GET", "/-/status/_p_/a.jpg?bg_remove=1&w=12")).body)
        assert (document["state"], document["width"], document["height"]) == ("ready", 60, 40)
