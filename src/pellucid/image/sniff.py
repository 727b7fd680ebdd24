"""Pure: which family of image files some bytes belong to, by their content alone."""

from __future__ import annotations

import re

from pellucid.errors import UnsupportedFormatError
from pellucid.formats import ImageFormat
from pellucid.image.svg import document

_MAGIC: tuple[tuple[bytes, ImageFormat], ...] = (
    (b"\xff\xd8\xff", ImageFormat.JPEG),
    (b"\x89PNG\r\n\x1a\n", ImageFormat.PNG),
    (b"GIF87a", ImageFormat.GIF),
    (b"GIF89a", ImageFormat.GIF),
    (b"II*\x00", ImageFormat.TIFF),
    (b"MM\x00*", ImageFormat.TIFF),
    (b"II+\x00", ImageFormat.TIFF),
    (b"MM\x00+", ImageFormat.TIFF),
    (b"\x00\x00\x01\x00", ImageFormat.ICO),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", ImageFormat.JP2),
    (b"\xff\x4f\xff\x51", ImageFormat.JP2),
    (b"BM", ImageFormat.BMP),
    (b"%PDF-", ImageFormat.PDF),
    (b"\xff\x0a", ImageFormat.JXL),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", ImageFormat.JXL),
)

# What comes in place of a picture; the words complete "this is ...".
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"8BPS", "a Photoshop file, which is not supported"),
    (b"%!PS", "a PostScript document, which is not supported"),
    (b"\x00\x00\x02\x00", "a cursor file, which is not supported"),
    (b"\x1aE\xdf\xa3", "a video, not an image"),
    (b"PK\x03\x04", "an archive, not an image"),
    (b"\x1f\x8b", "compressed data, not an image"),
)

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEVC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
# "mif1" and "msf1" only say "some picture in an ISO container".
_ANY_HEIF_BRANDS = frozenset({b"mif1", b"msf1", b"mif2"})

HEAD_BYTES = 8192
"""What `check_head` looks at."""

_HTML = re.compile(
    rb"(?>\s+|<!--.*?-->)*+<(?:!doctype\s+html|html|head|body|script|title)\b", re.DOTALL | re.IGNORECASE
)


def sniff(data: bytes) -> ImageFormat:
    """The format of `data` by its magic bytes; names and content types are never trusted.

    Raises `UnsupportedFormatError`, naming what the bytes are where that can be told.
    """
    for magic, format_ in _MAGIC:
        if data.startswith(magic):
            return format_
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ImageFormat.WEBP
    if data[4:8] == b"ftyp":
        return _sniff_iso(data)
    text = document.peek(data, HEAD_BYTES) or b""
    if _may_be_svg(data):
        text = document.unpack(data)
    if document.find_root(text) is not None:
        return ImageFormat.SVG
    raise UnsupportedFormatError(_describe(data, text[:HEAD_BYTES]))


def check_head(head: bytes) -> None:
    """Raise UnsupportedFormatError for what begins like no picture. `head` is the first `HEAD_BYTES` of it, or all.

    What cannot be told from them alone passes: comments of any length may stand before an SVG's root.
    """
    try:
        sniff(head)
    except UnsupportedFormatError:
        if len(head) < HEAD_BYTES or not _may_be_svg(head):
            raise


def _may_be_svg(data: bytes) -> bool:
    """Whether more than the first bytes must be looked at."""
    head = document.peek(data, HEAD_BYTES)
    return head is not None and document.may_go_on_to_svg(head)


def _sniff_iso(data: bytes) -> ImageFormat:
    """AVIF and HEIC share a container; the brands in its first box tell them apart."""
    box_end = min(int.from_bytes(data[:4], "big"), len(data), 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, box_end - 3, 4))]
    for brand in brands:
        if brand in _AVIF_BRANDS:
            return ImageFormat.AVIF
        if brand in _HEVC_BRANDS:
            return ImageFormat.HEIC
    if not _ANY_HEIF_BRANDS.isdisjoint(brands):
        return ImageFormat.HEIC
    raise UnsupportedFormatError("this is a video or another ISO media file, not an image")


def _describe(data: bytes, text: bytes) -> str:
    """What the bytes are: those of an origin, of an upload or of a file on the disk."""
    if not data:
        return "there are no bytes at all"
    for magic, words in _REFUSED:
        if data.startswith(magic):
            return f"this is {words}"
    if _HTML.match(text):
        return "this is an HTML page, not an image"
    if text.lstrip().startswith(b"<?xml"):
        return "this is an XML document, not an image"
    if text.lstrip()[:1] in (b"{", b"["):
        return "this is JSON, not an image"
    return "these are bytes of no known image format"
