"""A cache with everything around it: an origin server, stores that outlive it, a clock that is turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from origin_servers import FRESHNESS, Server, serving

from memory_blobs import MemoryBlobs
from pellucid.concurrency.clients import SERVER, Client
from pellucid.errors import PellucidError, UnsupportedFormatError
from pellucid.formats import ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.invalidation.validity import Validity
from pellucid.source.bodies import Bodies
from pellucid.source.fetch import Fetcher
from pellucid.source.headers import OriginHeaders
from pellucid.source.limits import FetchLimits
from pellucid.source.memory import BodyMemory
from pellucid.source.origins import Origins
from pellucid.spec import OriginRef, Token
from pellucid.store import keys

LIMITS = FetchLimits(max_bytes=1000, connect_timeout_s=0.5, total_timeout_s=3, idle_timeout_s=0.5)


@dataclass
class Picture:
    """What the origin server has at the moment, and how it answers."""

    body: bytes = b"picture"
    etag: str | None = '"1"'
    status: int = 200
    cache_control: str | None = None
    wait_for: asyncio.Event | None = None
    seen: list[str | None] = field(default_factory=list[str | None])

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append(request.headers.get("If-None-Match"))
        if self.wait_for is not None:
            await self.wait_for.wait()
        headers = {"ETag": self.etag} if self.etag else {}
        if self.cache_control:
            headers["Cache-Control"] = self.cache_control
        if self.etag and self.status == 200 and request.headers.get("If-None-Match") == self.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(status=self.status, body=self.body, headers=headers)


class World:
    """A cache over stores that outlive it, with a clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.records = MemoryBlobs()
        self.blobs = MemoryBlobs()
        self.memory = BodyMemory(1_000_000, largest_bytes=LIMITS.max_bytes)
        self.at_probe = 0
        """Pictures that came to be probed; they wait for `probing`."""
        self.probing: asyncio.Event | None = None
        self.before_probe: Callable[[], None] = lambda: None
        self.probed: list[bytes] = []
        self.probe_error: PellucidError | None = None
        self.is_damaged: Callable[[bytes], bool | None] = lambda data: data.startswith(b"half ")
        self.changed: list[tuple[Token, OriginRef, str, Client]] = []
        self.told: list[tuple[str, str, str]] = []
        """Invalidations (token, origin, digest), numbered from 1."""
        self._validities: dict[int, Validity] = {}

    async def probe(self, read: Callable[[], Awaitable[bytes]], client: Client = SERVER) -> ImageFacts:
        self.at_probe += 1
        if self.probing is not None:
            await self.probing.wait()
        self.before_probe()
        data = await read()
        self.probed.append(data)
        if self.probe_error is not None:
            raise self.probe_error
        return ImageFacts(
            format=ImageFormat.PNG, width=len(data), height=1, has_alpha=False, damaged=self.is_damaged(data)
        )

    def sniff(self, head: bytes) -> None:
        """Everything that begins like no HTML page is a picture here."""
        if head.startswith(b"<"):
            raise UnsupportedFormatError("a page, not a picture")

    def origins(
        self,
        fetcher: Fetcher,
        *,
        headers: OriginHeaders | None = None,
    ) -> Origins:
        validity = Validity()
        validity.begin("a database", after=0)
        origins = Origins(
            fetcher=fetcher,
            records=self.records,
            bodies=Bodies(self.blobs, probe=self.probe, sniff=self.sniff),
            memory=self.memory,
            freshness=FRESHNESS,
            headers=headers,
            validity=validity,
            changed=lambda *told: self.changed.append(told),
            clock=lambda: self.now,
        )
        self._validities[id(origins)] = validity
        self.hears(origins)
        return origins

    def hears(self, *processes: Origins) -> None:
        """They hear what was told since; a process that starts does so by itself."""
        for origins in processes:
            validity = self._validities[id(origins)]
            for seq, (token, origin, digest) in enumerate(self.told, start=1):
                if seq > validity.seq:
                    validity.apply(seq, token=token, origin=origin, digest=digest)

    def loses_its_database(self, origins: Origins) -> None:
        """And finds a new one."""
        self._validities[id(origins)].begin("another database", after=0)

    def invalidate(self, ref: OriginRef | None, *, digest: str = "", token: str = "") -> None:
        """Somebody says that the origin, None: any, may hold other bytes; or that it holds those of `digest`."""
        self.told.append((token, "" if ref is None else keys.origin_digest_of(ref), digest))


@asynccontextmanager
async def showing(picture: Picture) -> AsyncGenerator[tuple[Server, OriginRef]]:
    async with serving(picture.answer) as server:
        yield server, at(server)


def at(server: Server, path: str = "/a.png", *, scheme: str | None = "http") -> OriginRef:
    return OriginRef(scheme=scheme, host=server.host, path=path)
