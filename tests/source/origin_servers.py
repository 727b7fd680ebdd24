"""Origins on loopback: aiohttp servers, raw sockets that misbehave, and a TLS server with a certificate of its own."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from aiohttp import web

from pellucid.source.answers import Fetched, NotModified, Validators
from pellucid.source.fetch import Fetcher
from pellucid.source.headers import HeadersByHost, HostHeaders
from pellucid.source.limits import FetchLimits, Freshness
from pellucid.source.netguard import Guard

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOOPBACK = Guard(allow_networks=(IPv4Network("127.0.0.0/8"),), allow_ports=None)
FRESHNESS = Freshness()
SHORT = FetchLimits(
    max_bytes=100_000,
    connect_timeout_s=0.5,
    total_timeout_s=2,
    idle_timeout_s=0.5,
    max_redirects=3,
    max_header_bytes=4096,
)


class Server:
    """A web server that answers every path with one handler and remembers the requests."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.requests: list[web.Request] = []
        self.port = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)  # type: ignore[arg-type]
        return await self._handler(request)  # type: ignore[arg-type]


@asynccontextmanager
async def serving(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Server]:
    server = Server(handler)
    runner = web.ServerRunner(web.Server(server.answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


class RawServer:
    """A TCP server that sends `answer` whatever it is asked, then closes, or holds the connection open."""

    def __init__(self, answer: bytes, *, hold: bool, wait_for_request: bool) -> None:
        self._answer = answer
        self._hold = hold
        self._wait_for_request = wait_for_request
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.port = 0

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The client may go away at any moment: that is what is tested.
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                if self._wait_for_request:
                    await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer)
                await writer.drain()
                if self._hold:
                    await reader.read()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def serving_raw(answer: bytes, *, hold: bool = False, wait_for_request: bool = True) -> AsyncGenerator[RawServer]:
    raw = RawServer(answer, hold=hold, wait_for_request=wait_for_request)
    server = await asyncio.start_server(raw.accept, "127.0.0.1", 0)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
        await raw.aclose()
        await server.wait_closed()


def make_fetcher(
    *,
    guard: Guard = LOOPBACK,
    limits: FetchLimits | None = None,
    ssl_context: ssl.SSLContext | None = None,
    contact: str = "",
) -> Fetcher:
    return Fetcher(
        guard=guard,
        limits=limits or FetchLimits(),
        freshness=FRESHNESS,
        contact=contact,
        ssl_context=ssl_context,
    )


def make_tls_contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server, client) contexts of a certificate for 127.0.0.1 that only this client trusts."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=str(certificate))


async def fetch(
    url: str,
    *,
    guard: Guard = LOOPBACK,
    limits: FetchLimits = SHORT,
    validators: Validators | None = None,
    allow_hosts: tuple[str, ...] = (),
    headers: HeadersByHost | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> Fetched | NotModified:
    async with make_fetcher(guard=guard, limits=limits, ssl_context=ssl_context) as fetcher:
        return await fetcher.fetch(
            url, validators=validators, headers=HostHeaders(headers or {}), allow_hosts=allow_hosts
        )
