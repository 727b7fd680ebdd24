"""The name a browser saves a picture under: the origin's, made safe, with the ending of what is sent."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.formats import FORMATS, WRITABLE, ImageFormat
from pellucid.http.filenames import content_disposition
from pellucid.spec import OriginRef
from pellucid.uploads.store import UPLOADS_ALIAS
from pellucid.url.parse import parse_url

HEADER = re.compile(
    r'inline; filename="(?P<plain>[\x20-\x7e]+)\.(?P<ending>\w+)"'
    r"(?:; filename\*=UTF-8''(?P<full>[A-Za-z0-9!#$&+.^_`|~%-]+)\.(?P=ending))?"
)


def _names(path: str, query: str = "", *, sent: ImageFormat = ImageFormat.WEBP) -> tuple[str, str]:
    """The file's name in ASCII and in full, as a browser reads them."""
    value = content_disposition(parse_url(path, query).spec.origin, FORMATS[sent].media_type).decode("ascii")
    match = HEADER.fullmatch(value)
    assert match is not None, value
    full = match["plain"] if match["full"] is None else unquote(match["full"], errors="strict")
    return f"{match['plain']}.{match['ending']}", f"{full}.{match['ending']}"


@pytest.mark.parametrize("origin", [".jpg", ".JPEG", ".png", ".tif", ".heic", ".svg", ".php", ""])
@pytest.mark.parametrize(("sent", "ending"), [("jpeg", "jpg"), ("png", "png"), ("webp", "webp")])
def test_the_ending_is_that_of_what_is_sent(origin: str, sent: str, ending: str) -> None:
    name = f"mug.{ending}"
    assert _names(f"/h.example/shop/mug{origin}", sent=ImageFormat(sent)) == (name, name)


def test_every_format_that_is_written_has_an_ending() -> None:
    for format_ in WRITABLE:
        assert _names("/h.example/mug.gif", sent=format_)[0] == f"mug.{format_.extension}"


@pytest.mark.parametrize(
    ("path", "plain", "full"),
    [
        ("/h.example/Tasse%20caf%C3%A9.png", "Tasse cafe", "Tasse café"),
        ("/h.example/%D1%87%D0%B0%D1%88%D0%BA%D0%B0.jpg", "picture", "чашка"),
        ("/h.example/mug-%E8%93%9D-2.jpg", "mug-_-2", "mug-蓝-2"),
        ("/h.example/%EF%BC%8Fetc%EF%BC%8Fx.jpg", "_etc_x", "／etc／x"),
        ("/_samples_/bowl.jpg", "bowl", "bowl"),
        ("/h.example/v1.2/photo.v1.2.jpeg", "photo.v1.2", "photo.v1.2"),
        ("/h.example/archive.tar.gz", "archive.tar.gz", "archive.tar.gz"),
        ("/h.example/gallery/", "gallery", "gallery"),
        ("/https%3A%2F%2Fh.example%2Fa%20mug.jpg%3Fv%3D2", "a mug", "a mug"),
        ("/h.example/100%25.jpg", "100_", "100_"),
    ],
)
def test_names_that_are_not_plain(path: str, plain: str, full: str) -> None:
    query = "ci_url_encoded=1" if "%3A" in path else ""
    assert _names(path, query) == (f"{plain}.webp", f"{full}.webp")


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/h.example/", "picture"),
        ("/h.example/..", "picture"),
        ("/h.example/...", "picture"),
        ("/h.example/.jpg", "picture"),
        ("/h.example/%E2%80%AE.jpg", "picture"),
        ("/h.example/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "passwd"),
        ("/h.example/..%5C..%5Cboot.ini", "boot.ini"),
        ("/h.example/a%22%3B%20filename=x.exe%22.jpg", "a__ filename=x.exe_"),
        ("/h.example/%E2%80%AEgpj.exe", "gpj.exe"),
        ("/h.example/a%E2%80%8Bb%EF%BB%BFc.jpg", "abc"),
        ("/h.example/-rf.jpg", "rf"),
        ("/h.example/%FF%FEx.jpg", "x"),
        (f"/{UPLOADS_ALIAS}/e5aa88e411f54ebc1e67e0adffcdefcc.jpg", "picture"),
    ],
)
def test_hostile_names_are_harmless(path: str, plain: str) -> None:
    assert _names(path) == (f"{plain}.webp", f"{plain}.webp")


@pytest.mark.parametrize("code", [0x00, 0x09, 0x0A, 0x0D, 0x1F, 0x7F, 0x85, 0x2028, 0x2029, 0x202E, 0xD800, 0xFFFE])
def test_nothing_that_breaks_a_header_gets_through_even_from_elsewhere(code: int) -> None:
    """URLs with control characters are refused before; this does not rely on it."""
    ref = OriginRef(host="h.example", path="/" + quote(f"a{chr(code)}b.jpg", errors="surrogatepass"))
    value = content_disposition(ref, "image/png").decode("ascii")
    assert HEADER.fullmatch(value), value


@given(name=st.text() | st.sampled_from(["x" * 4000, "é" * 2000, "\U0001f600" * 900, "%" * 4000, "." * 4000]))
def test_any_name_is_a_short_header_that_says_the_ending_twice_alike(name: str) -> None:
    ref = OriginRef(host="h.example", path="/" + quote(name, safe="", errors="surrogatepass"))
    value = content_disposition(ref, "image/webp")
    match = HEADER.fullmatch(value.decode("ascii"))
    assert match is not None, value
    assert len(value) <= 300
    assert not set(match["plain"]) & set('"\\/%:*?<>|;')
    assert not match["plain"].startswith((".", "-", " "))
    if match["full"] is not None:
        assert unquote(match["full"], errors="strict")
