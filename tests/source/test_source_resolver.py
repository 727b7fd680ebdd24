"""Names to addresses: shared, remembered, bounded, and never waited for by those who ask for others."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop
from aiohttp import web
from name_server import NameServer, serving_names
from origin_servers import FRESHNESS, LOOPBACK, serving

from pellucid.concurrency.clients import Client
from pellucid.errors import BusyError, OriginRefusedError
from pellucid.source.answers import Fetched
from pellucid.source.fetch import ConnectTimeoutError, Fetcher, NoConnectionError
from pellucid.source.limits import FetchLimits
from pellucid.source.netguard import Guard
from pellucid.source.resolver import LookupTimeoutError, NameNotFoundError, NameResolver


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def resolving(
    names: dict[str, list[str]], *, ttl_s: int = 60, timeout_s: float = 5, **options: int
) -> AsyncGenerator[tuple[NameServer, NameResolver, Clock]]:
    clock = Clock()
    async with (
        serving_names(names, ttl_s=ttl_s) as server,
        NameResolver(nameservers=(server.address,), timeout_s=timeout_s, clock=clock, **options) as resolver,
    ):
        yield server, resolver, clock


async def test_a_name_is_asked_for_once() -> None:
    async with resolving({"a.test": ["192.0.2.1", "192.0.2.2"]}) as (server, resolver, clock):
        found = await asyncio.gather(*(resolver.lookup("A.test") for _ in range(20)))
        assert all({address for _, address in each} == {"192.0.2.1", "192.0.2.2"} for each in found)
        clock.now += 59
        await resolver.lookup("a.test")
        assert server.asked["a.test"] == 1


@pytest.mark.parametrize(("ttl_s", "kept_s"), [(0, 30), (100, 100), (86_400, 300)])
async def test_addresses_are_kept_for_their_ttl_within_bounds(ttl_s: int, kept_s: float) -> None:
    async with resolving({"a.test": ["192.0.2.1"]}, ttl_s=ttl_s) as (server, resolver, clock):
        await resolver.lookup("a.test")
        server.names["a.test"] = []
        clock.now += kept_s - 1
        await resolver.lookup("a.test")
        clock.now += 2
        # c-ares remembers as well, for as long as the TTL says: whichever answers, the name server's word counts again.
        if ttl_s < kept_s:
            with pytest.raises(NameNotFoundError):
                await resolver.lookup("a.test")


async def test_names_that_do_not_resolve_are_left_alone_for_a_while() -> None:
    async with resolving({"no.test": []}, timeout_s=0.3) as (server, resolver, clock):
        for _ in range(3):
            with pytest.raises(NameNotFoundError):
                await resolver.lookup("no.test")
            with pytest.raises(LookupTimeoutError):
                await resolver.lookup("hangs.test")
        assert server.asked["no.test"] == 1
        asked = server.asked["hangs.test"]
        server.names["hangs.test"] = ["192.0.2.1"]
        clock.now += 6
        assert await resolver.lookup("hangs.test") == [(socket.AF_INET, "192.0.2.1")]
        assert server.asked["hangs.test"] > asked


async def test_addresses_and_localhost_need_no_name_server() -> None:
    async with resolving({}, timeout_s=0.3) as (server, resolver, _):
        assert await resolver.lookup("192.0.2.7") == [(socket.AF_INET, "192.0.2.7")]
        assert await resolver.lookup("2001:db8::7") == [(socket.AF_INET6, "2001:db8::7")]
        for name in ("localhost", "localhost.", "LocalHost", "a.localhost"):
            assert (socket.AF_INET, "127.0.0.1") in await resolver.lookup(name)
        assert not server.asked


@pytest.mark.parametrize("name", ["a" * 64 + ".test", "a..test"])
async def test_what_is_no_name(name: str) -> None:
    async with resolving({}, timeout_s=0.3) as (_, resolver, _clock):
        with pytest.raises(NameNotFoundError):
            await resolver.lookup(name)


async def test_of_hundreds_of_addresses_a_few_are_tried() -> None:
    async with resolving({"many.test": [f"192.0.2.{n}" for n in range(1, 25)]}) as (_, resolver, _clock):
        assert len(await resolver.lookup("many.test")) == 4


@pytest.mark.slow
async def test_one_client_does_not_get_all_lookups() -> None:
    async with resolving({"a.test": ["192.0.2.1"]}, timeout_s=1, max_lookups=4) as (_, resolver, _clock):
        hanging = [asyncio.create_task(_outcome(resolver, f"h{n}.test", Client("a"))) for n in range(50)]
        await asyncio.sleep(0.05)
        async with asyncio.timeout(0.9):  # before any of those ends
            await resolver.lookup("a.test", client=Client("b"))
        outcomes = await asyncio.gather(*hanging)
        assert sum(isinstance(each, LookupTimeoutError) for each in outcomes) >= 3
        assert {type(each) for each in outcomes} == {LookupTimeoutError, BusyError}


async def test_what_is_remembered_is_bounded() -> None:
    names = {f"n{n}.test": ["192.0.2.1"] for n in range(50)}
    async with resolving(names, max_known=10) as (server, resolver, _):
        for name in names:
            await resolver.lookup(name)
        assert len(resolver._known) == 10
        assert server.asked.total() == 50


async def test_a_process_without_descriptors_blames_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async with resolving({"no.test": []}) as (server, resolver, _):

        def starving(*_: object) -> socket.socket:
            raise OSError(errno.EMFILE, "Too many open files")

        with monkeypatch.context() as patch:
            patch.setattr("pellucid.source.resolver.socket.socket", starving)
            with pytest.raises(BusyError):
                await resolver.lookup("no.test")
        with pytest.raises(NameNotFoundError):
            await resolver.lookup("no.test")
        assert server.asked["no.test"] >= 1


# --- in front of fetching ---


async def _hanging_names_stop_nobody() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"picture")

    async with serving(answer) as origin, serving_names({"good.test": ["127.0.0.1"]}) as names:
        limits = FetchLimits(connect_timeout_s=2, max_concurrency=4, max_per_host=4)
        async with (
            NameResolver(nameservers=(names.address,), timeout_s=2) as resolver,
            Fetcher(guard=LOOPBACK, limits=limits, freshness=FRESHNESS, resolver=resolver) as fetcher,
        ):
            hanging = [asyncio.create_task(_fetched(fetcher, f"http://h{n}.hang.test/")) for n in range(100)]
            await asyncio.sleep(0.1)
            begun = time.monotonic()
            fetched = await fetcher.fetch(f"http://good.test:{origin.port}/")
            assert isinstance(fetched, Fetched)
            assert time.monotonic() - begun < 1.5, "before the first of the others gave up"
            outcomes = await asyncio.gather(*hanging)
            assert {type(each) for each in outcomes} == {ConnectTimeoutError}


@pytest.mark.slow
@pytest.mark.parametrize("run", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def test_hanging_names_stop_nobody(run: Callable[..., None]) -> None:
    """Not even those of the same client: names are resolved before a slot is taken."""
    run(_hanging_names_stop_nobody())


async def test_the_guard_judges_what_names_resolve_to() -> None:
    async with (
        serving_names({"inside.test": ["127.0.0.1"], "no.test": []}) as names,
        NameResolver(nameservers=(names.address,)) as resolver,
        Fetcher(guard=Guard(), limits=FetchLimits(), freshness=FRESHNESS, resolver=resolver) as fetcher,
    ):
        with pytest.raises(OriginRefusedError, match="ALLOW_NETWORKS"):
            await fetcher.fetch("http://inside.test/")
        with pytest.raises(NoConnectionError, match="does not resolve"):
            await fetcher.fetch("http://no.test/")


async def _outcome(resolver: NameResolver, name: str, client: Client) -> Exception | None:
    try:
        await resolver.lookup(name, client=client)
    except (OSError, BusyError) as error:
        return error
    return None


async def _fetched(fetcher: Fetcher, url: str) -> Exception | None:
    try:
        await fetcher.fetch(url)
    except ConnectTimeoutError as error:
        return error
    return None
