"""Pure: where the root element of an XML document begins, and the text of an SVG file however it is packed.

Before the root there may be an XML declaration, comments, processing instructions and a document type with an internal
subset, in any number and of any length. Linear in the length, whatever comes: 50 MB take a second at most.
"""

from __future__ import annotations

import re
import zlib

from pellucid.errors import ImageError, ImageLimitError

_MAX_UNPACKED_BYTES = 32 << 20

GZIP = b"\x1f\x8b"

# What was matched is never tried shorter or longer (possessive repeats, atomic groups), and what begins like a comment
# is never anything else: so no byte is looked at more than a few times.
_PROLOG = re.compile(
    rb"""(?>
        \s+
      | <!--.*?-->
      | <\?.*?\?>
      | <!DOCTYPE\s(?!\s*(?i:html)[\s>])
          (?>[^\[>"']+ | "[^"]*" | '[^']*')*+
          (?:\[
            (?>[^\]"'<]+ | "[^"]*" | '[^']*' | <!--.*?--> | <\?.*?\?> | <(?!!--|\?))*+
          \]\s*)?
        >
    )*+""",
    re.DOTALL | re.VERBOSE,
)

_ROOT = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?svg(?=[\s>/])")

_UNFINISHED = re.compile(rb"<!--|<\?|<!DOCTYPE\s(?!\s*(?i:html)[\s>])")
_LONGEST_NAME = 256

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# By a byte-order mark, or by the first character of every XML document and what may come before it.
_FIRST_CHARACTERS = b"< \t\r\n"
_UTF_16 = (
    {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
    | {bytes([each, 0]): "utf-16-le" for each in _FIRST_CHARACTERS}
    | {bytes([0, each]): "utf-16-be" for each in _FIRST_CHARACTERS}
)

_DECLARATION = re.compile(rb"<\?xml\s.*?\?>", re.DOTALL)


def find_root(text: bytes) -> int | None:
    """Where the first element of `text` begins, if it is `svg`, with whatever prefix."""
    at = _skip_prolog(text)
    return at if _ROOT.match(text, at) else None


def may_go_on_to_svg(text: bytes) -> bool:
    """Whether `text`, the beginning of a longer one, is over before its first element is."""
    rest = text[_skip_prolog(text) :]
    return not rest or bool(_UNFINISHED.match(rest)) or (rest[:1] == b"<" and len(rest) < _LONGEST_NAME)


def _skip_prolog(text: bytes) -> int:
    found = _PROLOG.match(text)
    return found.end() if found else 0


def as_utf_8(data: bytes) -> bytes:
    """UTF-16 as UTF-8 without its declaration; else `data` itself. No byte-order mark, no white space in front."""
    encoding = _UTF_16.get(data[:2])
    if encoding is None:
        return data.removeprefix(_BYTE_ORDER_MARK).lstrip()
    text = data.decode(encoding, "ignore").lstrip("\ufeff \t\r\n").encode()
    return _DECLARATION.sub(b"", text, count=1) if text.startswith(b"<?xml") else text


def unpack(data: bytes, *, max_bytes: int = _MAX_UNPACKED_BYTES) -> bytes:
    """An SVG file's text, unpacked where it is compressed (.svgz), in an encoding whose ASCII is ASCII.

    Raises ImageLimitError where it unpacks to more than `max_bytes`, ImageError for a damaged archive.
    """
    if not data.startswith(GZIP):
        return as_utf_8(data)
    text, more = _gunzip(data, max_bytes)
    if more:
        raise ImageLimitError(f"the compressed SVG file has more than {max_bytes >> 20} MiB")
    return as_utf_8(text)


def peek(data: bytes, length: int) -> bytes | None:
    """The beginning of what `unpack` gives, from the first `length` bytes of the text; None of a damaged archive."""
    try:
        return as_utf_8(_gunzip(data, length)[0] if data.startswith(GZIP) else data[:length])
    except ImageError:
        return None


def _gunzip(data: bytes, length: int) -> tuple[bytes, bool]:
    """Up to `length` bytes, and whether there are more."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        text = unpacker.decompress(data, length + 1)
    except zlib.error as error:
        raise ImageError("the compressed SVG file is damaged") from error
    return text[:length], len(text) > length
