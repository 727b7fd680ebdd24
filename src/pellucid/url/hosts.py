"""PURE: the authority of an origin (host and port), normalised one way."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import unquote

from pellucid.errors import BadOriginError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(\[[^]]*\]|[^:]*)(?::(.*))?", re.DOTALL)
# Wider than RFC 1123: underscores and outer hyphens occur in names that resolve.
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[0-9]{1,5}")
_MAX_HOST = 253  # RFC 1035: 255 octets on the wire


class NoHostError(BadOriginError):
    """What stands where a host should is the name of none."""


def normalise_authority(text: str, *, scheme: str | None) -> str:
    """`host` or `host:port` in lower case and ASCII (IDNA 2003), without the name's final dot and without the port
    that `scheme` implies. `text` may be percent-encoded. Without a scheme it has to look like a host.

    Raises NoHostError for what is none, BadOriginError for a bad port and for a user name or password.
    """
    try:
        plain = unquote(text, errors="strict")
    except UnicodeError as error:
        raise _no_host(text) from error
    if "@" in plain:
        raise BadOriginError("an origin's address must not hold a user name or password")
    match = _AUTHORITY.fullmatch(plain)
    if match is None:
        raise _no_host(plain)
    host = _normalise_host(match[1])
    digits: str | None = match[2]
    if digits is None:
        if scheme is None and not ("." in host or host == "localhost" or host.startswith("[")):
            raise _no_host(plain)
        return host
    port = _read_port(digits)
    return host if scheme and port == _DEFAULT_PORTS[scheme] else f"{host}:{port}"


def _normalise_host(text: str) -> str:
    try:
        if text.startswith("["):
            return f"[{_ipv6(text[1:-1])}]"
        if len(text) > _MAX_HOST + 1:  # before IDNA, whose work grows faster than its input
            raise _no_host(text)
        host = text.encode("idna").decode("ascii").lower().removesuffix(".")
        if len(host) > _MAX_HOST or not _NAME.fullmatch(host):
            raise _no_host(text)
        if _NUMERIC.fullmatch(host.rpartition(".")[2]):
            # `127.1`, `0x7f.1` and `2130706433` are addresses to some resolvers and names to others.
            return str(IPv4Address(host))
    except ValueError as error:  # UnicodeError of IDNA, AddressValueError of ipaddress
        raise _no_host(text) from error
    return host


def _ipv6(text: str) -> str:
    address = IPv6Address(text)
    if address.scope_id is not None:
        raise ValueError("a zone names an interface of one machine")
    return address.compressed


def _read_port(digits: str) -> int:
    if not _PORT.fullmatch(digits) or not 1 <= int(digits) <= 65535:
        raise BadOriginError(f"{_shown(digits)} is not a port; ports are 1 to 65535")
    return int(digits)


def _no_host(text: str) -> NoHostError:
    return NoHostError(f"{_shown(text)} is not a host name; write /host/path or an alias")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 64 else f"{text[:63]}…")
