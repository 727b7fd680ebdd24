"""PURE: content codings (RFC 9110, section 8.4). What an origin packed is unpacked piece by piece, within bounds.

Not by the HTTP client: it knows neither `x-gzip` nor lists, and takes a gzip stream that breaks off for a whole one.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator
from typing import Protocol

READABLE = ("gzip", "deflate")
"""What is asked for; every server has these, and pictures are packed already."""

_NAMES = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "x-deflate": "deflate"}
"""Also the older name (section 8.4.1.3), and one that servers make up alike."""

_PLAIN = frozenset({"", "identity", "none", "binary", "utf-8", "aws-chunked"})
"""No coding: said where nothing was packed, or of how the picture was once put into its bucket. Browsers show these."""

_MOST_CODINGS = 2
"""A picture that was packed twice was packed by mistake; more often, to keep somebody busy."""

_MOST_MEMBERS = 1000
"""Of a gzip stream (RFC 1952, section 2.2): each costs time, though it may hold nothing."""

_PIECE_BYTES = 64 << 10
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW, _ZLIB_WINDOW, _RAW_WINDOW = 31, 15, -15
"""`wbits` of zlib: gzip, zlib (RFC 1950), and deflate without a header (RFC 1951)."""


class UnknownCodingError(ValueError):
    """An answer is in a coding that is not read here."""


class PackedTooLargeError(ValueError):
    """What is packed is larger than what may come out of it."""


def read_codings(header: str) -> tuple[str, ...]:
    """The codings that `Content-Encoding` lists and that are to be undone, in the order in which they were applied.

    Raises UnknownCodingError for one that is not read, and for more of them than make sense.
    """
    listed = [each.strip().lower() for each in header.split(",")]
    codings = tuple(_NAMES.get(each, each) for each in listed if each not in _PLAIN)
    if len(codings) > _MOST_CODINGS or not set(codings) <= set(READABLE):
        raise UnknownCodingError(header)
    return codings


class Unpacker:
    """Undoes `codings`. What goes into each of them is at most `max_bytes`, and a little for its headers: nothing that
    is packed well is larger than what comes out, and what brings nothing forth has an end as well.
    """

    def __init__(self, codings: tuple[str, ...], *, max_bytes: int) -> None:
        self._stages = [_Inflater(coding, max_bytes) for coding in reversed(codings)]

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes out of `data`, in pieces; of a coding they have up to 64 KiB.

        Raises ValueError for what is malformed, PackedTooLargeError.
        """
        return self._through(0, data)

    def finish(self) -> None:
        """Raises ValueError when a stream has begun and not ended."""
        for stage in self._stages:
            stage.finish()

    def _through(self, at: int, data: bytes) -> Iterator[bytes]:
        if at == len(self._stages):
            yield data
            return
        for piece in self._stages[at].feed(data):
            yield from self._through(at + 1, piece)


class _Stream(Protocol):
    """What zlib's `decompressobj` makes; its type has no public name."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Inflater:
    """One coding. What follows a whole stream, and is none, is padding: it is left out, as other readers do."""

    def __init__(self, coding: str, max_bytes: int) -> None:
        self._coding = coding
        self._left_bytes = max_bytes + max_bytes // 100 + _PIECE_BYTES
        self._head = b""
        self._stream: _Stream | None = None
        self._members = 0
        self._is_over = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise PackedTooLargeError("what is packed is larger than what may come out of it")
        data, self._head = self._head + data, b""
        while data and not self._is_over:
            if self._stream is None:
                if len(data) < len(_GZIP_MAGIC):
                    self._head = data
                    return
                self._begin(data)
            else:
                data = yield from self._inflate(self._stream, data)

    def finish(self) -> None:
        if self._stream is not None or (self._head and not self._members):
            raise ValueError("what is packed breaks off")

    def _begin(self, data: bytes) -> None:
        if self._coding == "gzip" and self._members and not data.startswith(_GZIP_MAGIC):
            self._is_over = True
            return
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise ValueError("what is packed has too many members")
        self._stream = zlib.decompressobj(_GZIP_WINDOW if self._coding == "gzip" else _deflate_window(data))

    def _inflate(self, stream: _Stream, data: bytes) -> Generator[bytes, None, bytes]:
        """The pieces that `data` holds; returns what stands behind the end of the stream."""
        while True:
            try:
                piece = stream.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise ValueError("what is packed is damaged") from error
            if piece:
                yield piece
            if stream.eof:
                self._stream = None
                self._is_over = self._coding != "gzip"
                return stream.unused_data
            data = stream.unconsumed_tail
            if not data and len(piece) < _PIECE_BYTES:
                return b""


def _deflate_window(head: bytes) -> int:
    """`deflate` is a zlib stream; some servers leave its header out. Two bytes tell (RFC 1950, section 2.2)."""
    has_header = head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:2]) % 31 == 0
    return _ZLIB_WINDOW if has_header else _RAW_WINDOW
