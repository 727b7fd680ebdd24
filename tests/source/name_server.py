"""A name server on loopback that answers some names, says that others do not exist, and never answers for the rest."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from typing import cast

_A = 1
_NXDOMAIN = 3


class NameServer(asyncio.DatagramProtocol):
    """`names` holds IPv4 addresses by name; a name without any does not exist, and one that is missing hangs."""

    def __init__(self, names: dict[str, list[str]], *, ttl_s: int) -> None:
        self.names = names
        self.ttl_s = ttl_s
        self.asked: Counter[str] = Counter()
        self.address = ""
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels: list[str] = []
        at = 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        name, (kind,) = ".".join(labels), struct.unpack_from(">H", data, at + 1)
        question = data[12 : at + 5]
        if kind == _A:
            self.asked[name.lower()] += 1
        addresses = self.names.get(name.lower())
        if addresses is None:
            return
        records = [
            b"\xc0\x0c" + struct.pack(">HHIH", _A, 1, self.ttl_s, 4) + IPv4Address(each).packed
            for each in (addresses if kind == _A else [])
        ]
        flags = 0x8180 | (0 if addresses else _NXDOMAIN)
        head = data[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0)
        assert self._transport is not None
        self._transport.sendto(head + question + b"".join(records), addr)


@asynccontextmanager
async def serving_names(names: dict[str, list[str]], *, ttl_s: int = 60) -> AsyncGenerator[NameServer]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(names, ttl_s=ttl_s), local_addr=("127.0.0.1", 0)
    )
    server.address = f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    try:
        yield server
    finally:
        transport.close()
