"""PURE: percent-encoding, normalised one way (RFC 3986)."""

from __future__ import annotations

import re
import string
from urllib.parse import quote, unquote_to_bytes

from pellucid.errors import BadOriginError

_ASCII = "".join(map(chr, range(128)))
_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")

_ODD = re.compile(r"%([0-9A-Fa-f]{2})|[^A-Za-z0-9._~!$&'()*+,;=:@/?-]")
"""A percent sequence, or a character that may stand neither in a path nor in a query."""


def to_ascii(text: str) -> str:
    """`text` with every character beyond ASCII percent-encoded as UTF-8.

    A server hands over the bytes of the request as Latin-1 characters, a caller of the library hands over characters:
    what reads as UTF-8 when taken for bytes is taken for bytes.
    """
    if text.isascii():
        return text
    try:
        data = text.encode("latin-1")
        data.decode()
    except UnicodeError:
        data = text.encode(errors="surrogatepass")
    return quote(data, safe=_ASCII)


def decode_once(text: str) -> str:
    """ASCII `text` with its percent sequences decoded one time; bytes beyond ASCII stay encoded."""
    return quote(unquote_to_bytes(text), safe=_ASCII)


def normalise(text: str) -> str:
    """ASCII `text` as a part of a path or of a query: unreserved characters decoded, characters that are not allowed
    there encoded, valid percent sequences kept in upper case, a lone `%` made `%25`. Idempotent.

    Raises BadOriginError for a control character, plain or encoded.
    """
    return _ODD.sub(_normal, text)


def _normal(match: re.Match[str]) -> str:
    digits: str | None = match[1]
    code = int(digits, 16) if digits else ord(match[0])
    if code < 0x20 or code == 0x7F:
        raise BadOriginError(f"the origin's address holds a control character (%{code:02X})")
    return chr(code) if digits and chr(code) in _UNRESERVED else f"%{code:02X}"


def remove_dot_segments(path: str) -> str:
    """A path that starts with `/`, without its `.` and `..` segments (RFC 3986, section 5.2.4). Call it after
    `normalise`, which has decoded `%2E`.
    """
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
