"""The types of settings: how each reads a text of the environment, and what it refuses."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from pellucid.errors import SettingsError
from pellucid.source.aliases import check_alias_names
from pellucid.source.headers import check_headers
from pellucid.source.location import check_aliases
from pellucid.source.weburl import normalise_hosts, parse_web_url

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
DAY_S = 86_400

_ADDRESS_WITH_PORT = re.compile(r"(?:\[([^\]]+)\]|([^:]+)):[0-9]{1,5}")


class Section(BaseModel):
    """One table of the tree: frozen, and a name it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


def check_web_url(value: str) -> str:
    """An absolute http or https URL, as it was written. A user name would not be sent."""
    parse_web_url(value)
    if "@" in re.split(r"[/?]", value.partition("://")[2], maxsplit=1)[0] or "#" in value:
        raise ValueError("a URL here has no user name and no '#'")
    return value


def _split(value: object) -> object:
    """A comma-separated text as a list; anything else is left to the validator."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _split_ports(value: object) -> object:
    return None if value == "*" else _split(value)


def _split_map(value: object) -> object:
    """`name=value,name=value` as a mapping."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(equals for _, equals, _ in pairs):
        # A name without a value would be shown by `doctor --settings`, and may be a value without its name.
        raise ValueError("it must read name=value,name=value")
    return {name.strip(): target.strip() for name, _, target in pairs}


def _expand(value: object) -> object:
    """`~` as a shell would read it: TOML files and container environments pass no shell."""
    return Path(value).expanduser() if isinstance(value, str) and value.startswith("~") else value


def _read_json(value: object) -> object:
    """A text as the JSON it holds; anything else is left to the validator."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"it must be JSON ({error})") from error


def _check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Entries of an allow-list, as they were written."""
    try:
        normalise_hosts(hosts)
    except SettingsError as error:
        raise ValueError(str(error)) from error
    return hosts


def _check_nameservers(servers: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses of name servers, each with or without a port, as they were written."""
    for server in servers:
        with_port = _ADDRESS_WITH_PORT.fullmatch(server)
        address = (with_port[1] or with_port[2]) if with_port else server
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise ValueError(f"{server!r} is no address of a name server") from error
    return servers


def _check_headers(headers: dict[str, dict[str, SecretStr]]) -> dict[str, dict[str, SecretStr]]:
    check_headers(plain_headers(headers))
    return headers


def _check_aliases(aliases: dict[str, str]) -> dict[str, str]:
    try:
        check_alias_names(aliases)
        check_aliases(aliases)
    except SettingsError as error:
        raise ValueError(str(error)) from error
    return aliases


def plain_headers(headers: Mapping[str, Mapping[str, SecretStr]]) -> dict[str, dict[str, str]]:
    """Headers by host with their values, which are secrets."""
    return {host: {name: value.get_secret_value() for name, value in pairs.items()} for host, pairs in headers.items()}


Folder = Annotated[Path, BeforeValidator(_expand)]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = Annotated[tuple[Network, ...], BeforeValidator(_split)]
Ports = Annotated[frozenset[Annotated[int, Field(ge=1, le=65535)]] | None, BeforeValidator(_split_ports)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
NegotiatedFormats = Annotated[tuple[Literal["webp", "avif"], ...], BeforeValidator(_split)]
WebUrls = Annotated[tuple[Annotated[str, AfterValidator(check_web_url)], ...], BeforeValidator(_split)]
StringMap = Annotated[dict[str, str], BeforeValidator(_split_map)]
Aliases = Annotated[StringMap, AfterValidator(_check_aliases)]
SecondsMap = Annotated[dict[str, Annotated[float, Field(ge=0)]], BeforeValidator(_split_map)]
SecretMap = Annotated[dict[str, SecretStr], BeforeValidator(_split_map)]
FromJson = BeforeValidator(_read_json)
HeadersByHost = Annotated[dict[str, dict[str, SecretStr]], FromJson, AfterValidator(_check_headers)]

# Checked as a list, not entry by entry: the error shows all that was written.
Hosts = Annotated[Names, AfterValidator(_check_hosts)]
NameServers = Annotated[Names, AfterValidator(_check_nameservers)]
