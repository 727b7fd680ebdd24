from __future__ import annotations

import contextlib

import picture_samples as samples
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import UnsupportedFormatError
from pellucid.formats import ImageFormat
from pellucid.image.sniff import sniff


@pytest.mark.parametrize(
    ("pillow_name", "format_"),
    [
        ("JPEG", ImageFormat.JPEG),
        ("PNG", ImageFormat.PNG),
        ("WEBP", ImageFormat.WEBP),
        ("AVIF", ImageFormat.AVIF),
        ("GIF", ImageFormat.GIF),
        ("TIFF", ImageFormat.TIFF),
        ("BMP", ImageFormat.BMP),
        ("ICO", ImageFormat.ICO),
        ("JPEG2000", ImageFormat.JP2),
    ],
)
def test_real_files_are_known_by_their_content(pillow_name: str, format_: ImageFormat) -> None:
    assert sniff(samples.save(samples.card(), pillow_name)) is format_


@pytest.mark.parametrize(
    "text",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg>",
        b"<?xml version='1.0'?><!-- made by hand > --><!DOCTYPE svg PUBLIC '-//W3C//DTD' 'svg.dtd'>\n<svg a='b'>",
        b"<!DOCTYPE svg [ <!ENTITY a 'b'> ]><svg:svg xmlns:svg='x'>",
        "\ufeff<svg >".encode("utf-16-le"),
    ],
)
def test_svg_is_known_by_its_root_element(text: bytes) -> None:
    assert sniff(text) is ImageFormat.SVG


def test_pdf_is_known_by_its_header() -> None:
    assert sniff(b"%PDF-1.7\n") is ImageFormat.PDF


@pytest.mark.parametrize(
    ("brands", "format_"),
    [
        (b"avif\0\0\0\0mif1", ImageFormat.AVIF),
        (b"mif1\0\0\0\0avifmif1", ImageFormat.AVIF),
        (b"heic\0\0\0\0mif1", ImageFormat.HEIC),
        (b"mif1\0\0\0\0heic", ImageFormat.HEIC),
        (b"mif1\0\0\0\0", ImageFormat.HEIC),
    ],
)
def test_brands_tell_avif_from_heic(brands: bytes, format_: ImageFormat) -> None:
    assert sniff((8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands + b"\0" * 20) is format_


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no bytes"),
        (b"<!DOCTYPE html><html><body><svg></svg>", "HTML page"),
        (b"\n <html lang='en'>", "HTML page"),
        (b'{"error": 1}', "JSON"),
        (b"<?xml version='1.0'?><rss>", "XML"),
        (b"\x00\x00\x00\x18ftypmp42\0\0\0\0mp42isom", "video"),
        (b"hello", "no known image format"),
    ],
)
def test_refusals_say_what_came_instead(data: bytes, words: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=words):
        sniff(data)


@given(st.binary(max_size=200))
def test_no_bytes_upset_it(data: bytes) -> None:
    with contextlib.suppress(UnsupportedFormatError):
        assert sniff(data) in ImageFormat


def test_a_long_run_of_comments_takes_no_time() -> None:
    # The expression for SVG's head must not back-track exponentially.
    with pytest.raises(UnsupportedFormatError):
        sniff(b"<!-- x -->" * 200 + b"<?a?>" * 200 + b"<sv")
