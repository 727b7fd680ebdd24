"""Connections to the outside have a bound in all, and a process without descriptors blames no origin."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from origin_servers import LOOPBACK, make_fetcher, serving
from origin_world import LIMITS, Picture, World, showing
from yarl import URL

from pellucid.customers.customer import DEFAULT_CUSTOMER
from pellucid.errors import BusyError
from pellucid.source.limits import FetchLimits
from pellucid.source.session import GuardedSession, NoReplyError
from pellucid.spec import OriginRef


async def _answer(request: web.Request) -> web.Response:
    return web.Response(body=b"picture")


async def test_a_crowd_of_hosts_leaves_few_connections() -> None:
    """Every name below `localhost` is another host, with a connection of its own."""
    peers: list[object] = []

    async def answer(request: web.Request) -> web.Response:
        peers.append(request.transport and request.transport.get_extra_info("peername"))
        return web.Response(body=b"picture")

    async with serving(answer) as server, make_fetcher() as fetcher:
        fetched: list[int] = []
        for start in range(0, 300, 50):
            urls = [f"http://n{number}.localhost:{server.port}/" for number in range(start, start + 50)]
            await asyncio.gather(*map(fetcher.fetch, urls))
            fetched.append(len(fetcher._session._sockets))
        assert max(fetched) <= FetchLimits().max_concurrency + 64
        await asyncio.sleep(0)
        assert len(fetcher._session._sockets) <= 64
        await fetcher.fetch(f"http://n299.localhost:{server.port}/")
        assert peers[-1] in peers[:-1], "the youngest are kept"
        await fetcher.fetch(f"http://n0.localhost:{server.port}/")
        assert peers[-1] not in peers[:-1]


async def test_one_host_keeps_a_few_idle_connections() -> None:
    async with serving(_answer) as server, make_fetcher(limits=FetchLimits(max_per_host=30)) as fetcher:
        await asyncio.gather(*(fetcher.fetch(f"{server.url}/{number}") for number in range(20)))
        await asyncio.sleep(0.05)
        assert len(fetcher._session._sockets) <= 8


async def test_no_more_sockets_than_the_bound() -> None:
    held = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await held.wait()
        return web.Response(body=b"x")

    async with serving(slow) as server, GuardedSession(guard=LOOPBACK, max_requests=1, max_idle=0) as session:
        url = URL(server.url)

        async def call() -> object:
            return await session.call("POST", url, headers={}, body=b"", timeout_s=5)

        first = [asyncio.create_task(call()) for _ in range(2)]
        while len(server.requests) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        with pytest.raises(NoReplyError, match="no connection left"):
            await call()
        held.set()
        await asyncio.gather(*first)
        await call()


class _EightAddresses(AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)] * 8

    async def close(self) -> None:
        pass


@pytest.mark.slow
async def test_a_host_of_addresses_that_do_not_answer_gets_two_sockets() -> None:
    with closing(socket.socket()) as deaf, ExitStack() as stack:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        # The kernel takes one or two, and drops what comes once its line is full.
        for _ in range(4):
            full = stack.enter_context(closing(socket.socket()))
            full.setblocking(False)
            full.connect_ex(("127.0.0.1", deaf.getsockname()[1]))
        async with GuardedSession(guard=LOOPBACK, resolver=_EightAddresses()) as session:
            url = URL(f"http://deaf.test:{deaf.getsockname()[1]}/")
            dialling = asyncio.create_task(session.call("POST", url, headers={}, body=b"", timeout_s=2.5))
            most = 0
            while not dialling.done():
                most = max(most, len(session._sockets))
                await asyncio.sleep(0.05)
            with pytest.raises(NoReplyError):
                await dialling
            assert most == 2
            await asyncio.sleep(0.05)
            assert len(session._sockets) == 0


async def test_a_process_without_descriptors_blames_no_origin(world: World) -> None:
    """With the real limit of this process."""
    async with showing(Picture()) as (server, ref), make_fetcher(limits=LIMITS) as fetcher:
        origins = world.origins(fetcher)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(BusyError, match="no connection left"):
                await origins.get(DEFAULT_CUSTOMER, ref)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await origins.get(DEFAULT_CUSTOMER, ref)  # at once: nothing was remembered
        assert len(server.requests) == 1


async def test_a_file_that_cannot_be_opened_for_want_of_descriptors(world: World, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"picture")
    ref = OriginRef(alias="_files_", path="/a.png")
    async with make_fetcher(limits=LIMITS) as fetcher:
        origins = world.origins(fetcher)
        customer = replace(DEFAULT_CUSTOMER, aliases={"_files_": tmp_path.as_uri()})
        await asyncio.to_thread(bool)  # its thread is there
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(BusyError):
                await origins.get(customer, ref)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await origins.get(customer, ref)
