"""Content codings: the spellings of servers, streams that break off, and those that are there to cost time."""

from __future__ import annotations

import gzip
import random
import threading
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from origin_servers import SHORT, fetch, serving, serving_raw

from pellucid.errors import OriginTooLargeError, OriginUnreachableError
from pellucid.source import codings
from pellucid.source.answers import Fetched
from pellucid.source.codings import PackedTooLargeError, UnknownCodingError, Unpacker, read_codings
from pellucid.source.limits import FetchLimits

PICTURE = random.Random(1).randbytes(5000) + bytes(60_000)


def _gzip(data: bytes) -> bytes:
    """The same at whatever time: names of cases are made of it."""
    return gzip.compress(data, mtime=0)


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def _members(data: bytes) -> bytes:
    return b"".join(_gzip(data[at : at + 1000]) for at in range(0, len(data), 1000))


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", _gzip),
    "older name": ("x-gzip", _gzip),
    "in capitals": ("GZIP", _gzip),
    "older name, in capitals": ("X-GZip", _gzip),
    "spaces": (" \tx-gzip ", _gzip),
    "an empty element": (", gzip,", _gzip),
    "identity beside it": ("identity, gzip", _gzip),
    "members": ("gzip", _members),
    "padding behind": ("gzip", lambda data: _gzip(data) + bytes(100)),
    "deflate": ("deflate", zlib.compress),
    "deflate without a header": ("Deflate", _raw_deflate),
    "deflate, made up": ("x-deflate", zlib.compress),
    "padding behind deflate": ("deflate", lambda data: zlib.compress(data) + b"\r\n"),
    "twice": ("gzip, x-gzip", lambda data: _gzip(_gzip(data))),
    "one in the other": ("deflate, gzip", lambda data: _gzip(zlib.compress(data))),
    "none": ("identity", bytes),
    "empty": ("", bytes),
    "no coding": ("none", bytes),
    "of a text": ("UTF-8", bytes),
    "of a bucket": ("aws-chunked", bytes),
    "of a bucket, and one": ("aws-chunked,gzip", _gzip),
}


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("how", ["length", "chunked", "closed"])
async def test_a_packed_picture_is_unpacked(name: str, how: str) -> None:
    coding, pack = PACKED[name]
    body = pack(PICTURE)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n".encode()
    match how:
        case "length":
            head += f"Content-Length: {len(body)}\r\n\r\n".encode()
        case "closed":
            head += b"Connection: close\r\n\r\n"
        case _:
            head += b"Transfer-Encoding: chunked\r\n\r\n"
            pieces = [body[at : at + 777] for at in range(0, len(body), 777)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    async with serving_raw(head + body) as server:
        fetched = await fetch(f"http://127.0.0.1:{server.port}/")
    assert isinstance(fetched, Fetched)
    assert fetched.body == PICTURE


@pytest.mark.parametrize("name", ["gzip", "twice", "one in the other", "deflate"])
async def test_nobody_waits_for_what_is_unpacked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousandth of what comes out goes in; all of that on the event loop held it for more than a second."""
    coding, pack = PACKED[name]
    at_work: set[int] = set()
    unpack = codings.zlib.decompressobj

    def watched(*args: int) -> object:
        at_work.add(threading.get_ident())
        return unpack(*args)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=pack(PICTURE), headers={"Content-Encoding": coding})

    async with serving(answer) as server:
        monkeypatch.setattr(codings.zlib, "decompressobj", watched)
        assert (await fetch(server.url)).body == PICTURE
    assert at_work
    assert threading.get_ident() not in at_work


async def test_headers_of_one_name_are_one_list() -> None:
    body = _gzip(zlib.compress(PICTURE))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Encoding: x-gzip\r\nConnection: close\r\n\r\n"
    async with serving_raw(head + body) as server:
        fetched = await fetch(f"http://127.0.0.1:{server.port}/")
    assert isinstance(fetched, Fetched)
    assert fetched.body == PICTURE


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate"])
async def test_an_empty_body_is_empty_in_any_coding(coding: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"", headers={"Content-Encoding": coding})

    async with serving(answer) as server:
        fetched = await fetch(server.url)
    assert isinstance(fetched, Fetched)
    assert fetched.body == b""


@pytest.mark.parametrize(
    "coding",
    [
        "br",
        "x-br",
        "zstd",
        "compress",
        "x-compress",
        "gzip2",
        "made-up",
        "gzip, br",
        "gzip, gzip, gzip",
        "gzip;q=1",
        "é",
    ],
)
async def test_what_is_not_read_is_said(coding: str) -> None:
    with pytest.raises(UnknownCodingError):
        read_codings(coding)

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "gzip, deflate"
        return web.Response(body=b"packed", headers={"Content-Encoding": coding})

    async with serving(answer) as server:
        with pytest.raises(OriginUnreachableError, match="it reads gzip, deflate"):
            await fetch(server.url)


def _cut(name: str, share: float) -> bytes:
    body = PACKED[name][1](PICTURE)
    return body[: int(len(body) * share)]


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        *[("gzip", _cut("gzip", share)) for share in (0.0003, 0.001, 0.5, 0.999)],
        *[("deflate", _cut("deflate", share)) for share in (0.0002, 0.5, 0.999)],
        *[("deflate", _cut("deflate without a header", share)) for share in (0.5, 0.999)],
        *[("gzip, gzip", _gzip(_cut("gzip", 0.5))), ("gzip, gzip", _cut("twice", 0.5))],
        *[("gzip", PICTURE), ("deflate", b"\xff" * 100), ("gzip", _members(PICTURE)[:-5])],
        ("gzip", _gzip(PICTURE)[:-8] + bytes(8)),
        ("gzip", b"".join(_gzip(b"") for _ in range(1001))),
    ],
)
async def test_half_a_stream_is_no_picture(coding: str, body: bytes) -> None:
    """Though as many bytes came as were announced: the origin, or what is in front of it, broke off."""
    async with serving_raw(
        f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    ) as server:
        with pytest.raises(OriginUnreachableError, match="broke off or is malformed"):
            await fetch(f"http://127.0.0.1:{server.port}/")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, gzip"])
async def test_a_body_of_exactly_the_limit_passes_packed(coding: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        body = random.Random(2).randbytes(int(request.query["n"]))
        for each in coding.split(", "):
            body = _gzip(body) if each == "gzip" else zlib.compress(body)
        return web.Response(body=body, headers={"Content-Encoding": coding, "Transfer-Encoding": "chunked"})

    limits = FetchLimits(max_bytes=100_000)
    # What is packed and announced is larger than the limit then; it is not announced here.
    async with serving(_chunked(answer)) as server:
        fetched = await fetch(f"{server.url}/?n=100000", limits=limits)
        assert isinstance(fetched, Fetched)
        assert len(fetched.body) == 100_000
        with pytest.raises(OriginTooLargeError):
            await fetch(f"{server.url}/?n=100001", limits=limits)


def _chunked(answer: Callable[[web.Request], object]) -> Callable[[web.Request], object]:
    async def stream(request: web.Request) -> web.StreamResponse:
        whole = await answer(request)  # type: ignore[misc]
        response = web.StreamResponse(headers={"Content-Encoding": whole.headers["Content-Encoding"]})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(whole.body)
        return response

    return stream


def _bomb(times: int) -> bytes:
    data = bytes(1 << 20)
    packer = zlib.compressobj(level=9, wbits=31)
    body = b"".join(packer.compress(data) for _ in range(300)) + packer.flush()
    for _ in range(times - 1):
        body = _gzip(body)
    return body


STORED_NOTHING = b"\x00\x00\x00\xff\xff"
"""An empty block of deflate."""


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", _bomb(1)),
        ("gzip, x-gzip", _bomb(2)),
        ("deflate, gzip", gzip.compress(STORED_NOTHING * 2_000_000, compresslevel=1, mtime=0)),
    ],
    ids=["bomb", "bomb in a bomb", "much that is nothing"],
)
async def test_bombs_stop_at_the_limit(coding: str, body: bytes) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Encoding": coding})

    async with serving(answer) as server:
        tracemalloc.start()
        try:
            with pytest.raises(OriginTooLargeError):
                await fetch(server.url, limits=FetchLimits(max_bytes=1 << 20))
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak_bytes < 32 << 20


def test_what_brings_nothing_forth_has_an_end() -> None:
    unpacker = Unpacker(("deflate",), max_bytes=SHORT.max_bytes)
    with pytest.raises(PackedTooLargeError):
        for _ in range(1000):
            assert not b"".join(unpacker.feed(STORED_NOTHING * 1000))


@given(st.binary(max_size=3000), st.lists(st.integers(1, 500), min_size=1, max_size=20), st.sampled_from([*PACKED]))
def test_however_it_is_cut_up(data: bytes, cuts: list[int], name: str) -> None:
    coding, pack = PACKED[name]
    body = pack(data)
    unpacker = Unpacker(read_codings(coding), max_bytes=100_000)
    out = b""
    at = 0
    while at < len(body):
        for cut in cuts:
            out += b"".join(unpacker.feed(body[at : at + cut]))
            at += cut
    unpacker.finish()
    assert out == data
