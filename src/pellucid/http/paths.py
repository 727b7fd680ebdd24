"""Pure: which paths are the server's own. Decided by the path as it was sent, as pictures' URLs are read from it."""

from __future__ import annotations

import re
from urllib.parse import unquote

from starlette.types import Scope

_OWN = re.compile(rb"/(?:-|%2D)/", re.IGNORECASE)
_PAGES = frozenset({b"/", b"/favicon.ico", b"/robots.txt"})
_LONGEST_PAGE = 3 * max(map(len, _PAGES))

_UNRESERVED = re.compile(r"%(?:2D|2E|5F|7E|3[0-9]|[46][1-9A-F]|[57][0-9A])", re.IGNORECASE)
"""`-`, `.`, `_`, `~`, digits and letters, percent-encoded: the same URL as with the character itself (RFC 3986,
section 2.3), which proxies may put in its place.
"""


def raw_path(scope: Scope) -> str:
    """The path as it was sent: `scope["path"]` is decoded, which would damage an encoded origin."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.decode("latin-1")


def own_scope(scope: Scope) -> Scope | None:
    """The scope for the router of the server's own routes; None for a path that names a picture.

    `/-/` is one of ours, `//-/` or `/-%2F` are not: a slash too many or an encoded one makes another path. In the scope
    that is returned unreserved characters of `raw_path` are decoded, so that what is found by `path` can be sliced off
    `raw_path`; `path` is decoded but for `%2F`, which ends no segment.
    """
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if _OWN.match(raw) is None and not _is_page(raw):
        return None
    if b"%" not in raw:
        return scope
    text = _decode_unreserved(raw.decode("latin-1"))
    path = "/".join(unquote(segment).replace("/", "%2F") for segment in text.split("/"))
    return {**scope, "raw_path": text.encode("latin-1"), "path": path}


def _is_page(raw: bytes) -> bool:
    if raw in _PAGES or b"%" not in raw or len(raw) > _LONGEST_PAGE:
        return raw in _PAGES
    return _decode_unreserved(raw.decode("latin-1")).encode("latin-1") in _PAGES


def _decode_unreserved(text: str) -> str:
    return _UNRESERVED.sub(lambda match: chr(int(match[0][1:], 16)), text)
