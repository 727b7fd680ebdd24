"""PURE: the path of a request -> the origin it names."""

from __future__ import annotations

import re

from pellucid.errors import BadOriginError
from pellucid.spec import OriginRef
from pellucid.url.hosts import normalise_authority
from pellucid.url.percent import decode_once, normalise, remove_dot_segments, to_ascii

MAX_ORIGIN_LENGTH = 4096
"""Characters of the normalised address, scheme and query included."""

_ALIAS = re.compile(r"_[^/]+_")
_SCHEME = re.compile(r"(https?):/+", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_ENCODED_SCHEME = re.compile(r"https?%3A", re.IGNORECASE)
_ENCODED_DELIMITER = re.compile(r"%(?:2F|3A|3F)", re.IGNORECASE)
_ENCODED_QUESTION_MARK = re.compile(r"%3F", re.IGNORECASE)


def read_origin(raw_path: str, *, url_encoded: bool) -> OriginRef:
    """The origin that `raw_path` names: `[/v7]/[http[s]://]host[:port]/path` or `[/v7]/_alias_/path`.

    `raw_path` is undecoded; `url_encoded` is the URL's `ci_url_encoded`. Raises BadOriginError when there is no origin
    in it, or one of more than `MAX_ORIGIN_LENGTH` characters.
    """
    address, query = split_address(raw_path, url_encoded=url_encoded)
    if not address:
        raise BadOriginError("the path names no origin; write /host/path or /_alias_/path")
    ref = _read_alias(address, query) or _read_host(address, query)
    if len(str(ref)) > MAX_ORIGIN_LENGTH:
        raise BadOriginError(f"the origin's address is longer than {MAX_ORIGIN_LENGTH} characters")
    return ref


def split_address(raw_path: str, *, url_encoded: bool) -> tuple[str, str]:
    """The address that `raw_path` holds, without slashes in front, and the query that is its own; '' for none."""
    # Slashes too many come from clients that join a base and a path which both have one.
    text = to_ascii(raw_path).lstrip("/").removeprefix("v7/").lstrip("/")
    address, _, query = _decode(text, url_encoded=url_encoded).lstrip("/").partition("?")
    return address, query


def has_scheme(address: str) -> bool:
    """Whether `address` begins with a scheme, of whichever kind."""
    return _SCHEME.match(address) is not None or _OTHER_SCHEME.match(address) is not None


def is_alias(address: str) -> bool:
    """Whether the first segment of `address` is an alias. Raises BadOriginError for a control character in it."""
    return _ALIAS.fullmatch(normalise(address.partition("/")[0])) is not None


def _decode(text: str, *, url_encoded: bool) -> str:
    """The address with its own query behind a plain `?`.

    `ci_url_encoded=1` also comes with paths that are not encoded at all, whose `%2F` or `%25` belong to the origin. No
    host and no alias has an encoded delimiter in it: one in the first segment tells that the whole is encoded. In a
    path that is not, `%3F` can only be what the parameter is there for, an origin's query.
    """
    if _ENCODED_SCHEME.match(text):
        return decode_once(text)
    if not url_encoded:
        return text
    if _ENCODED_DELIMITER.search(text.partition("/")[0]):
        return decode_once(text)
    address, *query = _ENCODED_QUESTION_MARK.split(text, maxsplit=1)
    return "?".join((address, *map(decode_once, query)))


def _read_alias(address: str, query: str) -> OriginRef | None:
    first, _, rest = address.partition("/")
    alias = normalise(first)
    if not _ALIAS.fullmatch(alias):
        return None
    if query:
        raise BadOriginError("an origin behind an alias cannot have a query of its own")
    return OriginRef(alias=alias, path=_normalise_path(rest))


def _read_host(address: str, query: str) -> OriginRef:
    match = _SCHEME.match(address)
    if match is None and (other := _OTHER_SCHEME.match(address)):
        raise BadOriginError(f"origins are fetched by https or http, not by {other[1][:64]!r}")
    scheme = match[1].lower() if match else None
    authority, _, rest = address[match.end() if match else 0 :].partition("/")
    return OriginRef(
        scheme=scheme,
        host=normalise_authority(authority, scheme=scheme),
        path=_normalise_path(rest),
        query=normalise(query),
    )


def _normalise_path(rest: str) -> str:
    return remove_dot_segments(normalise(f"/{rest}"))
