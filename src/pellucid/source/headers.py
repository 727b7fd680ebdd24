"""PURE: request headers that origins want, by host and by token: an API key, a `Referer`, another `User-Agent`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from pellucid.errors import SettingsError
from pellucid.source.weburl import bare_host, normalise_hosts, service_of
from pellucid.spec import Token

HeadersByHost = Mapping[str, Mapping[str, str]]
"""What is sent to each host, with its subdomains: by the host's pattern, then by the header's name."""

_CLEAR = "http://"
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE_CHARACTERS = 4096

_OWN = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "te", "trailer", "connection", "keep-alive", "upgrade"),
        *("http2-settings", "expect", "max-forwards", "range", "accept-encoding", "cookie", "cookie2"),
        *("via", "cdn-loop"),
    }
)
_OWN_PREFIXES = ("if-", "content-", "proxy-", "sec-websocket-")
"""Headers that are the server's own to set: of the connection and the message (RFC 9110, sections 6 and 7), of what is
asked for (ranges, conditions, codings), of cookies, which last for a fetch, and of loops.
"""


@dataclass(frozen=True, slots=True)
class SentHeaders:
    """What is sent to a host; `in_clear` if also by http. Values are secrets: they are in no repr."""

    pairs: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    in_clear: bool = False

    def __bool__(self) -> bool:
        return bool(self.pairs)

    @property
    def scope(self) -> str:
        """The credential scope: what was fetched under one is not shown under another. '' without headers."""
        if not self.pairs:
            return ""
        text = "\n".join(sorted(f"{name.lower()}: {value}" for name, value in self.pairs))
        return hashlib.blake2b(text.encode(), digest_size=16, person=b"origin headers").hexdigest()


NOTHING = SentHeaders()


class HostHeaders:
    """The headers of one token's fetches. The first table that has the host counts, and in it the longest pattern that
    fits, alone: nothing is merged, so that a key is sent where its own line says, and nowhere else.
    """

    def __init__(self, *tables: HeadersByHost) -> None:
        self._tables = [_read_table(table) for table in tables]

    def of(self, url: URL) -> SentHeaders:
        """What is sent to the host of `url`, if it is asked by https or everything may go in clear."""
        name = bare_host(url)
        for table in self._tables:
            part = name
            while part:
                if part in table:
                    return table[part]
                part = part.partition(".")[2]
        return NOTHING

    def on_the_way(self, start: URL, url: URL) -> SentHeaders:
        """What is sent to `url`, where redirects from `start` led.

        Headers stay with the service they are meant for: another host, or another port, gets them only if they are
        what is set for it, too (`www.` and `img.` of one domain). So what is fetched depends on the headers of its
        first host alone, which are its scope. None of them goes by http, unless the setting says so.
        """
        sent = self.of(start)
        if url.scheme == "http" and not sent.in_clear:
            return NOTHING
        if service_of(url) == service_of(start):
            return sent
        is_usual = url.port in (80, 443) and start.port in (80, 443)
        return sent if is_usual and self.of(url) is sent else NOTHING


class OriginHeaders:
    """`shared` is sent for every token; what a token has itself goes before it."""

    def __init__(
        self, shared: HeadersByHost | None = None, by_token: Mapping[Token, HeadersByHost] | None = None
    ) -> None:
        everybody = shared or {}
        self._shared = HostHeaders(everybody)
        self._by_token = {token: HostHeaders(own, everybody) for token, own in (by_token or {}).items() if own}
        self._is_empty = not everybody and not self._by_token

    def __bool__(self) -> bool:
        return not self._is_empty

    def of(self, token: Token) -> HostHeaders:
        """Those of the token's fetches."""
        return self._by_token.get(token, self._shared)


def check_headers(headers: HeadersByHost) -> None:
    """Raises ValueError, with a sentence that repeats no value, for a pattern that is no host, and for a header that
    cannot be sent or is the server's own.
    """
    _read_table(headers)
    for pairs in headers.values():
        seen: set[str] = set()
        for name, value in pairs.items():
            _check_header(name, value)
            if name.lower() in seen:
                raise ValueError(f"{name} is there twice for one host")
            seen.add(name.lower())


def _check_header(name: str, value: str) -> None:
    if not _NAME.fullmatch(name):
        # First, and not repeated: `Authorization: Bearer KEY`, written as one, would be a name.
        raise ValueError("one is no name of a header; write the name, and its value apart")
    lower = name.lower()
    if lower in _OWN or lower.startswith(_OWN_PREFIXES):
        raise ValueError(f"{name[:40]} is set by this server itself, or would break its requests; leave it out")
    if not value.strip() or value != value.strip() or not value.isascii() or not value.isprintable():
        raise ValueError(f"the value of {name} must be printable ASCII, on one line and without spaces around it")
    if len(value) > _VALUE_CHARACTERS:
        raise ValueError(f"the value of {name} has more than {_VALUE_CHARACTERS} characters")


def _read_table(headers: HeadersByHost) -> dict[str, SentHeaders]:
    """By host, each with its headers. Raises ValueError."""
    table: dict[str, SentHeaders] = {}
    for pattern, pairs in headers.items():
        in_clear = pattern.lower().startswith(_CLEAR)
        host = _read_host(pattern[len(_CLEAR) :] if in_clear else pattern)
        if host in table:
            raise ValueError(f"{host} has headers twice; write one list for it")
        table[host] = SentHeaders(tuple(pairs.items()), in_clear=in_clear)
    return table


def _read_host(pattern: str) -> str:
    if not pattern or set(pattern) & set("/?#@ ") or re.search(r":[0-9]*$", pattern.rpartition("]")[2]):
        raise ValueError(f"{pattern[:60]!r} must be a host alone, such as cdn.example.com or http://minio.internal")
    try:
        (host,) = normalise_hosts((pattern,))
    except SettingsError as error:
        raise ValueError(f"{pattern[:60]!r} is no host name") from error
    return host
