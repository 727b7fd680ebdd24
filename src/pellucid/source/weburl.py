"""PURE: origin URLs, read in one place so that what is judged is what is dialled."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from urllib.parse import quote, urljoin

from yarl import URL

from pellucid.errors import SettingsError

_HOST = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]+")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


def parse_web_url(text: str) -> URL:
    """An absolute http or https URL; host lower-case and in ASCII (IDNA), userinfo and fragment dropped.

    Path and query stay as they are, byte for byte: decoding and encoding them again would name another resource at
    some servers (`%2F`, `+`). Only what may not stand in a request (spaces, controls, non-ASCII) is percent-encoded.

    Raises ValueError for anything else.
    """
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("http", "https"):
        raise ValueError("not an absolute http or https URL")
    rest = rest.partition("#")[0]
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    tail = rest[len(authority) :]
    base = URL(f"{scheme}://{authority.rpartition('@')[2]}/")  # yarl raises ValueError for what is no authority
    if base.raw_host is None or not _HOST.fullmatch(base.raw_host):
        raise ValueError("not a host name")
    if ":" not in base.raw_host and _NUMERIC_LABEL.fullmatch(bare_host(base).rpartition(".")[2]):
        # `127.1`, `0x7f.1` and `2130706433` are addresses to some resolvers and names to others.
        IPv4Address(bare_host(base))
    path, _, query = quote(tail, safe=_PRINTABLE, errors="surrogateescape").partition("?")
    return URL.build(scheme=scheme, authority=base.raw_authority, path=path or "/", query_string=query, encoded=True)


def join_web_url(base: URL, location: str) -> URL:
    """Where a redirect from `base` leads. Raises ValueError when that is no http or https URL."""
    return parse_web_url(urljoin(str(base), location))


def normalise_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Entries of an allow-list as `covers` wants them: ASCII, lower-case, without `*.` and outer dots.

    Raises SettingsError for an entry that is no host name.
    """
    return tuple(map(_normalise_host, hosts))


def _normalise_host(entry: str) -> str:
    try:
        return bare_host(parse_web_url(f"http://{entry.removeprefix('*').strip('.')}/"))
    except ValueError as error:
        raise SettingsError(f"{entry!r} in the list of allowed hosts is no host name") from error


def covers(hosts: tuple[str, ...], url: URL) -> bool:
    """Whether an allow-list made by `normalise_hosts` lets `url` pass: an entry covers its host and all subdomains.
    An empty list covers everything.
    """
    host = bare_host(url)
    return not hosts or any(host == entry or host.endswith(f".{entry}") for entry in hosts)


def bare_host(url: URL) -> str:
    """The host without the dot that may end a fully qualified name: `example.com.` is `example.com`."""
    return (url.raw_host or "").rstrip(".")


def service_of(url: URL) -> str:
    """The host, and its port if that is another than those of http and https, which are one service."""
    return bare_host(url) if url.port in (80, 443) else f"{bare_host(url)}:{url.port}"
