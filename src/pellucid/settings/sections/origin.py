"""Where pictures come from: origins that are fetched, and uploads."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from pellucid.settings.types import DAY_S, GIB, KIB, MIB, HeadersByHost, Hosts, NameServers, Networks, Ports, Section

_CONTACT = re.compile(r"[ -'*-\[\]-~]{0,200}")
"""What may stand in a comment of a header (RFC 9110, section 5.6.5)."""


class OriginSettings(Section):
    """Where pictures may come from, and how long what was fetched is believed."""

    allow_networks: Networks = Field(default=(), description="Networks that may be reached although they are private.")
    allow_ports: Ports = Field(default=frozenset({80, 443}), description="Ports that may be reached; `*` for any.")
    allow_hosts: Hosts = Field(
        default=(), description="Hosts (with their subdomains) that may be fetched from; empty: any."
    )
    nameservers: NameServers = Field(
        default=(),
        description="Name servers: `address`, `address:port` or, for IPv6, `[address]:port`; empty: resolv.conf's.",
    )
    contact: str = Field(
        default="",
        description="Whom to ask about this server's requests, such as `https://shop.example/bot, ops@shop.example`: "
        "stands in their `User-Agent`, behind name and version.",
    )
    headers: HeadersByHost = Field(
        default={},
        description="[Request headers](origins.md#request-headers) by host (with its subdomains): in TOML a table "
        '`[origin.headers."cdn.example"]` each, here as JSON, `{"cdn.example": {"X-Api-Key": "..."}}`. They go by '
        "https alone, unless the host is written `http://cdn.example`.",
    )
    max_bytes: int = Field(default=50 * MIB, gt=0, description="Largest origin, in bytes after decompression.")
    memory_bytes: int = Field(
        default=256 * MIB,
        gt=0,
        description="Memory for bodies while they are fetched, per web process; `origin.max_bytes` at least.",
    )
    connect_timeout_s: float = Field(default=5, gt=0, description="Seconds for name look-up, connection and TLS.")
    timeout_s: float = Field(default=30, gt=0, description="Seconds for the whole answer.")
    idle_timeout_s: float = Field(default=10, gt=0, description="Seconds of silence between two packets.")
    max_header_bytes: int = Field(default=16 * KIB, gt=0, description="Size of an answer's headers.")
    max_redirects: int = Field(default=5, ge=0, description="Redirects followed, each checked like a first address.")
    concurrency: int = Field(default=64, gt=0, description="Fetches at a time per web process.")
    per_host: int = Field(default=16, gt=0, description="Fetches at a time from one host.")
    fresh_min_s: float = Field(default=60, ge=0, description="An origin is believed at least this long.")
    fresh_max_s: float = Field(
        default=DAY_S, ge=0, description="An origin is asked again after this long at the latest."
    )
    fresh_default_s: float = Field(
        default=3600, ge=0, description="Belief in an origin that says nothing of freshness."
    )
    cache_control: Literal["respect", "ignore"] = Field(
        default="respect",
        description="Whether an origin's `private` and `no-store` hold for its pictures in browsers and CDNs.",
    )
    failure_s: float = Field(default=10, ge=0, description="A failing origin is left alone this long.")
    not_found_s: float = Field(default=30, ge=0, description="A missing origin is left alone this long.")

    @field_validator("contact")
    @classmethod
    def _fit_a_comment(cls, contact: str) -> str:
        if not _CONTACT.fullmatch(contact):
            raise ValueError("it must be up to 200 characters of printable ASCII, without parentheses and backslashes")
        return contact.strip()

    @field_validator("memory_bytes")
    @classmethod
    def _hold_one(cls, size_bytes: int, info: ValidationInfo) -> int:
        largest: int = info.data.get("max_bytes", 0)
        if size_bytes < largest:
            raise ValueError(f"one origin may have {largest} bytes (origin.max_bytes), which must fit")
        return size_bytes


class UploadSettings(Section):
    """Pictures that people send to `/-/uploads`, the demo page for one."""

    enabled: bool = Field(default=True, description="Take uploads.")
    max_bytes: int = Field(default=25 * MIB, gt=0, description="Largest upload.")
    timeout_s: float = Field(default=120, gt=0, description="Seconds that sending an upload may take.")
    keep_s: float = Field(default=DAY_S, gt=0, description="Uploads are deleted after this long.")
    per_client: int = Field(default=50, gt=0, description="Uploads kept of one client (an IPv4 address, an IPv6 /64).")
    per_client_bytes: int = Field(default=250 * MIB, gt=0, description="Bytes kept of one client.")
    total_bytes: int = Field(default=5 * GIB, gt=0, description="Bytes kept of all; beyond that uploads get a 503.")
