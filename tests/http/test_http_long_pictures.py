"""Pictures too long for the format that they would be written in: 200 while the matte is owed and 200 when it is there.

WebP holds 16,383 pixels a side, libjpeg 65,500.
"""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from contract_world import Answer, ask, pay, put_matte, running, settings_for
from PIL import Image
from starlette.types import ASGIApp

from pellucid.settings.model import SettingsTree

ACCEPTS = {
    "browser": "image/avif,image/webp,image/apng,*/*;q=0.8",
    "any": "*/*",
    "none": None,
    "webp refused": "image/webp;q=0",
}
LONG = 17_000


@dataclass(frozen=True, slots=True)
class Kind:
    """How the origin is saved, its pixels, and the format that an opaque result of it is written in. `negotiable`: a
    transparent one would be WebP, if that held it.
    """

    saved_as: str
    size: tuple[int, int]
    opaque: str
    alpha: bool = False
    negotiable: bool = False


WIDE, TALL, LONGER = (LONG, 30), (30, LONG), (66_000, 8)
KINDS = {
    "jpeg": Kind("JPEG", WIDE, "JPEG", negotiable=True),
    "jpeg-tall": Kind("JPEG", TALL, "JPEG", negotiable=True),
    "png": Kind("PNG", WIDE, "PNG"),
    "png-alpha": Kind("PNG", WIDE, "PNG", alpha=True),
    "png-alpha-tall": Kind("PNG", TALL, "PNG", alpha=True),
    "gif": Kind("GIF", WIDE, "PNG"),
    "bmp": Kind("BMP", WIDE, "PNG"),
    "bmp-longer": Kind("BMP", LONGER, "PNG"),
    "avif": Kind("AVIF", WIDE, "JPEG"),
    "avif-tall": Kind("AVIF", TALL, "JPEG"),
    "avif-alpha": Kind("AVIF", WIDE, "JPEG", alpha=True),
    "tiff": Kind("TIFF", WIDE, "JPEG", negotiable=True),
    "tiff-alpha": Kind("TIFF", WIDE, "JPEG", alpha=True, negotiable=True),
    "tiff-longer": Kind("TIFF", LONGER, "PNG", negotiable=True),
    "tiff-alpha-longer": Kind("TIFF", LONGER, "PNG", alpha=True, negotiable=True),
    "jp2": Kind("JPEG2000", WIDE, "JPEG", negotiable=True),
    "jp2-longer": Kind("JPEG2000", LONGER, "PNG", negotiable=True),
}
TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


def _picture(name: str) -> bytes:
    kind = KINDS[name]
    # A ramp along the long side, of another colour for each kind: bytes of its own, small and quick to write.
    ramp = Image.linear_gradient("L").resize(kind.size)
    image = Image.merge("RGB", (ramp, ramp, Image.new("L", ramp.size, 10 * sorted(KINDS).index(name))))
    if kind.alpha:
        image.putalpha(ramp.point(lambda level: level // 2))
    out = io.BytesIO()
    image.save(out, kind.saved_as, **({"speed": 10} if kind.saved_as == "AVIF" else {}))
    return out.getvalue()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[tuple[ASGIApp, SettingsTree], None]:
    settings = settings_for(tmp_path_factory.mktemp("long"))
    for name in KINDS:
        (Path(settings.data_dir).parent / "pictures" / f"{name}.x").write_bytes(_picture(name))
    async with running(settings) as app:
        yield app, settings


async def _ask_for_all(app: ASGIApp, url: str) -> dict[str, Answer]:
    """By what is accepted; asked twice, because the second answer comes from another place, and with its own ETag."""
    answers: dict[str, Answer] = {}
    for named, accept in ACCEPTS.items():
        headers = {} if accept is None else {"accept": accept}
        answer = await ask(app, "GET", url, headers)
        again = await ask(app, "GET", url, headers)
        assert (again.status, again.body) == (answer.status, answer.body)
        for header in ("vary", "content-disposition"):
            assert again.headers.get(header) == answer.headers.get(header)
        if answer.status == 200:
            not_modified = await ask(app, "GET", url, headers | {"if-none-match": answer.headers["etag"]})
            assert not_modified.status == 304
            assert not_modified.headers.get("vary") == answer.headers.get("vary")
            assert "content-disposition" not in not_modified.headers
        answers[named] = answer
    return answers


def _check(answer: Answer, name: str, *, format_: str, transparent: bool) -> None:
    assert answer.status == 200, answer.body[:300]
    image = Image.open(io.BytesIO(answer.body))
    assert (image.size, image.format) == (KINDS[name].size, format_)
    assert (image.mode == "RGBA") is transparent
    assert answer.headers["content-type"] == TYPES[format_]
    ending = {"JPEG": "jpg"}.get(format_, format_.lower())
    assert answer.headers["content-disposition"] == f'inline; filename="{name}.x.{ending}"'


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", KINDS)
async def test_what_is_200_while_it_is_pending_is_200_when_it_is_ready(
    world: tuple[ASGIApp, SettingsTree], name: str
) -> None:
    app, settings = world
    url, kind = f"/_p_/{name}.x?bg_remove=1", KINDS[name]
    vary = "Accept" if kind.negotiable else None
    for answer in (await _ask_for_all(app, url)).values():
        assert answer.headers["pellucid-cutout"].startswith("pending")
        assert answer.headers.get("vary") == vary
        _check(answer, name, format_="PNG" if kind.alpha else kind.opaque, transparent=kind.alpha)
    blank = await ask(app, "GET", url + "&bg_pending=blank", {"accept": "image/webp"})
    _check(blank, name, format_="PNG", transparent=True)
    data = _picture(name)
    await put_matte(settings, data, size=kind.size)
    await pay(settings, data)
    for answer in (await _ask_for_all(app, url)).values():
        assert answer.headers["pellucid-cutout"] == "ready"
        assert answer.headers.get("vary") == vary
        _check(answer, name, format_="PNG", transparent=True)
    for answer in (await _ask_for_all(app, url + "&bg_color=456")).values():
        assert answer.headers["vary"] == "Accept", "a smaller one is WebP or AVIF for some"
        _check(answer, name, format_=kind.opaque, transparent=False)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", KINDS)
async def test_without_a_removal_it_is_shown_as_well(world: tuple[ASGIApp, SettingsTree], name: str) -> None:
    app, _ = world
    kind = KINDS[name]
    for answer in (await _ask_for_all(app, f"/_p_/{name}.x")).values():
        _check(answer, name, format_="PNG" if kind.alpha else kind.opaque, transparent=kind.alpha)
    for answer in (await _ask_for_all(app, f"/_p_/{name}.x?force_format=original")).values():
        assert "vary" not in answer.headers
        flat = name == "tiff-alpha"  # JPEG is its family and holds it: white
        format_ = "PNG" if kind.alpha and not flat else kind.opaque
        _check(answer, name, format_=format_, transparent=kind.alpha and not flat)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("format_", "name", "holds"), [("webp", "jpeg", "16383"), ("jpeg", "tiff-longer", "65500")])
@pytest.mark.parametrize("removal", ["", "&bg_remove=1", "&bg_remove=1&bg_pending=202"])
async def test_a_forced_format_is_refused_in_every_state_and_for_everybody(
    world: tuple[ASGIApp, SettingsTree], format_: str, name: str, holds: str, removal: str
) -> None:
    app, settings = world
    url = f"/_p_/{name}.x?force_format={format_}{removal}"
    before = await _ask_for_all(app, url)
    await put_matte(settings, _picture(name), size=KINDS[name].size)
    after = await _ask_for_all(app, url)
    for answer in (*before.values(), *after.values()):
        assert answer.status == 400
        assert holds.encode() in answer.body
        assert answer.headers["cache-control"] == "public, max-age=300, s-maxage=300"
        assert "vary" not in answer.headers
    small = await ask(app, "GET", f"{url}&w=300")
    assert small.status in (200, 202)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_enlarged_picture_is_written_otherwise_as_well(
    world: tuple[ASGIApp, SettingsTree],
) -> None:
    app, settings = world
    pictures = Path(settings.data_dir).parent / "pictures"
    for mode, expected in (("RGB", "JPEG"), ("RGBA", "PNG")):
        Image.new(mode, (40, 2), (90, 30, 200, 128)[: len(mode)]).save(pictures / f"small-{mode}.webp")
        answer = await ask(app, "GET", f"/_p_/small-{mode}.webp?w={LONG}&h=4", {"accept": "image/webp"})
        assert answer.status == 200
        assert Image.open(io.BytesIO(answer.body)).format == expected
        assert (await ask(app, "GET", f"/_p_/small-{mode}.webp?w=16383&h=4")).headers["content-type"] == "image/webp"
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 1"><circle cx="9" cy=".5" r=".4"/></svg>'
    (pictures / "drawing.svg").write_text(drawing)
    assert (await ask(app, "GET", f"/_p_/drawing.svg?w={LONG}")).headers["content-type"] == "image/png"


async def test_a_cutout_of_former_bytes_that_the_forced_format_cannot_hold_is_not_shown(tmp_path: Path) -> None:
    """The picture was long once; what is asked for now fits."""
    settings = settings_for(tmp_path, web={"admin_key": "k", "wait_s": 0.02})
    picture = tmp_path / "pictures" / "a.jpg"
    former = _picture("jpeg")
    picture.write_bytes(former)
    await put_matte(settings, former, size=WIDE)
    await pay(settings, former)
    async with running(settings) as app:
        url = "/_p_/a.jpg?bg_remove=1"
        assert (await ask(app, "GET", url)).headers["pellucid-cutout"] == "ready"
        Image.new("RGB", (300, 20), (9, 99, 200)).save(picture)
        body = b'{"urls": ["/_p_/a.jpg"]}'
        told = await ask(app, "POST", "/-/invalidate", {"authorization": "Bearer k"}, body=body)
        assert told.status == 200
        stale = await ask(app, "GET", url, {"accept": "image/webp"})
        assert stale.headers["pellucid-cutout"].startswith("stale")
        assert Image.open(io.BytesIO(stale.body)).size == WIDE
        forced = await ask(app, "GET", url + "&force_format=webp")
        assert forced.status == 200
        assert forced.headers["pellucid-cutout"].startswith("pending")
        assert Image.open(io.BytesIO(forced.body)).size == (300, 20)


async def test_a_cutout_that_webp_takes_too_much_memory_for_is_png(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, render={"processes": 1, "memory_bytes": 256 << 20})
    size = (1800, 1500)
    out = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(out, "JPEG")
    (tmp_path / "pictures" / "a.jpg").write_bytes(out.getvalue())
    async with running(settings) as app:
        url = "/_p_/a.jpg?bg_remove=1"
        pending = await ask(app, "GET", url, {"accept": "image/webp"})
        await put_matte(settings, out.getvalue(), size=size)
        ready = await ask(app, "GET", url, {"accept": "image/webp"})
        assert (pending.status, ready.status) == (200, 200)
        assert (ready.headers["content-type"], ready.headers["vary"]) == ("image/png", "Accept")
        smaller = await ask(app, "GET", url + "&w=1000", {"accept": "image/webp"})
        assert smaller.headers["content-type"] == "image/webp"
        forced = await ask(app, "GET", url + "&force_format=webp")
        assert (forced.status, "vary" in forced.headers) == (400, False)
