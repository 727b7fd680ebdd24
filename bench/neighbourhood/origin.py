"""An origin server and its name server, both on loopback, in one process of their own.

`/photo/N.jpg` is a product whose bytes are like no other's, `/large/N.jpg` 12 megapixels, `/heavy/N.jpg` 45 MB on the
wire, `/bomb/N.EXT` few bytes and very many pixels. Every name below `shops.test` is this machine; questions for names
below `hang.test` are never answered.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import cast

from aiohttp import web

from neighbourhood.pictures import bombs, large_photo, product

_HEAVY_BYTES = 45_000_000


@dataclass(frozen=True)
class Origin:
    """Where it listens: `host` is an address and a port, `nameserver` likewise."""

    port: int
    nameserver: str

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def origin() -> Iterator[Origin]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(theirs,), daemon=True)
    process.start()
    try:
        yield Origin(*ours.recv())
    finally:
        process.kill()
        process.join()


def _run(pipe: Connection) -> None:
    os.nice(19)  # it stands for other machines, whose processors are not the server's
    # Before the first question: an origin that draws meanwhile answers nobody, and the server would be blamed for it.
    for draw in (product, large_photo, bombs):
        draw()
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    names, _ = await loop.create_datagram_endpoint(_NameServer, local_addr=("127.0.0.1", 0))
    runner = web.ServerRunner(web.Server(_answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
    pipe.send((runner.addresses[0][1], f"127.0.0.1:{names.get_extra_info('sockname')[1]}"))
    await asyncio.Event().wait()


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    kind, _, name = request.path.lstrip("/").partition("/")
    # Bytes behind the end of a picture are read by nobody, and make it another picture.
    mark = request.raw_path.encode()
    match kind:
        case "photo":
            return web.Response(body=product() + mark)
        case "large":
            return web.Response(body=large_photo() + mark)
        case "heavy":
            body = product() + mark
            return web.Response(body=body + bytes(_HEAVY_BYTES - len(body)))
        case "bomb":
            return web.Response(body=bombs()[name.rpartition(".")[2]] + mark)
        case _:
            return web.Response(status=404)


class _NameServer(asyncio.DatagramProtocol):
    """Just enough of RFC 1035 for one question with one answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(0, 12) + 5
        question, kind = data[12:end], data[end - 3]
        if b"\x04hang\x04test" in question:
            return
        found = kind == 1 and b"\x05shops\x04test" in question
        head = data[:2] + (b"\x81\x80" if found or kind == 28 else b"\x81\x83") + b"\0\1" + bytes([0, found]) + bytes(4)
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if found else b""
        self._transport.sendto(head + question + answer, addr)
