"""The processes that speak HTTP, and what a client may take of them."""

from __future__ import annotations

import ipaddress

from pydantic import Field, SecretStr

from pellucid.settings.types import MIB, Networks, Section


class WebSettings(Section):
    """The processes that speak HTTP."""

    processes: int = Field(default=1, gt=0, description="Web processes on the one port; each has a render pool.")
    wait_s: float = Field(
        default=10, gt=0, le=25, description="Seconds that `bg_pending=wait` holds an answer; `Prefer: wait` up to 25."
    )
    connections: int | None = Field(
        default=None,
        ge=1,
        description="Connections at a time per web process; beyond that those that wait are closed, oldest first.",
    )
    connections_per_client: int = Field(
        default=256,
        gt=0,
        description="Those of one client (an IPv4 address, an IPv6 /64); trusted proxies have no bound of their own.",
    )
    trusted_proxies: Networks = Field(
        default=(ipaddress.IPv4Network("127.0.0.1/32"), ipaddress.IPv6Network("::1/128")),
        description="Networks of proxies in front, whose `X-Forwarded-For` says who the client is.",
    )
    head_timeout_s: float = Field(
        default=10, gt=0, description="Seconds in which the head of a request must have come in full."
    )
    idle_timeout_s: float = Field(
        default=15, gt=0, description="Seconds that a connection is kept between an answer and the next request."
    )
    stall_timeout_s: float = Field(
        default=30, gt=0, description="An answer of which the client takes nothing for so many seconds is dropped."
    )
    unsent_bytes: int = Field(
        default=256 * MIB,
        gt=0,
        description="Answers in memory for slow clients, per web process; beyond that the slowest are dropped.",
    )
    unsent_bytes_per_client: int = Field(
        default=64 * MIB, gt=0, description="Of one client; a single answer may be larger."
    )
    event_streams: int = Field(
        default=500, ge=0, description="Streams of `/-/events` at a time per web process; more get a 503."
    )
    event_streams_per_client: int = Field(default=100, ge=0, description="Streams of one client among them.")
    event_pictures: int = Field(
        default=10_000, gt=0, description="Pictures watched by all streams of a web process; more get a 503."
    )
    event_pictures_per_client: int = Field(default=2_000, gt=0, description="Pictures watched by one client's streams.")
    admin_key: SecretStr = Field(
        default=SecretStr(""),
        description="Opens `/-/invalidate` and all of `/-/usage`, sent as `Authorization: Bearer KEY`; empty: nobody.",
    )
    demo: bool = Field(default=True, description="Serve the demo page at `/` and the manual at `/-/docs`.")
    swap_script: bool = Field(default=True, description="Serve the script that swaps pending pictures, `/-/swap.js`.")
