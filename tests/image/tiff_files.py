"""TIFF files made by code: every kind of sample, layout and chain of directories, most of which Pillow cannot write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, INKS, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 4, 5, 6, 8, 9

Tag = tuple[str, Sequence[Any]]
"""Type (a key of `_TYPES`) and values."""

_TYPES = {"B": 1, "s": 2, "H": 3, "I": 4, "r": 5, "b": 6, "h": 8, "i": 9, "f": 11, "d": 12, "IFD": 13, "Q": 16}
"""TIFF's numbers for the types, by `struct`'s letters where it has one; `r` is a fraction."""

_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3, "c": 6}


@dataclass(kw_only=True)
class Directory:
    """One picture of a file: its tags, its strips or tiles, the directories below it (SubIFDs)."""

    tags: dict[int, Tag]
    blocks: list[bytes]
    subs: list[Directory] = field(default_factory=list["Directory"])


def directory(
    samples: NDArray[Any],
    photometric: int,
    *,
    bits: int | None = None,
    planar: bool = False,
    rows_per_strip: int | None = None,
    tile: int | None = None,
    deflate: bool = False,
    order: str = "<",
    tags: dict[int, Tag] | None = None,
    subs: Sequence[Directory] = (),
) -> Directory:
    """A picture of (height, width) or (height, width, channels) `samples`, of the array's own kind, or packed to `bits`
    each. `order` must be that of the file it goes into.
    """
    height, width = samples.shape[:2]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    samples = samples.reshape(height, width, channels)
    bits = bits or samples.dtype.itemsize * 8
    planes = [samples[..., each : each + 1] for each in range(channels)] if planar else [samples]
    rows = rows_per_strip or height
    blocks = [block for plane in planes for block in (_tiles(plane, tile) if tile else _strips(plane, rows))]
    own: dict[int, Tag] = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bits] * channels),
        259: ("H", [8 if deflate else 1]),
        262: ("H", [photometric]),
        277: ("H", [channels]),
        284: ("H", [2 if planar else 1]),
        339: ("H", [_SAMPLE_FORMATS[samples.dtype.kind]] * channels),
    }
    own |= {322: ("I", [tile]), 323: ("I", [tile])} if tile else {278: ("I", [rows])}
    packed = [_pack(block, bits, order) for block in blocks]
    return Directory(
        tags=own | (tags or {}), blocks=[zlib.compress(each) if deflate else each for each in packed], subs=list(subs)
    )


def _strips(plane: NDArray[Any], rows: int) -> list[NDArray[Any]]:
    return [plane[top : top + rows] for top in range(0, plane.shape[0], rows)]


def _tiles(plane: NDArray[Any], side: int) -> list[NDArray[Any]]:
    down, across = (-size % side for size in plane.shape[:2])
    padded = np.pad(plane, ((0, down), (0, across), (0, 0)), mode="edge")
    tops, lefts = range(0, padded.shape[0], side), range(0, padded.shape[1], side)
    return [padded[top : top + side, left : left + side] for top in tops for left in lefts]


def _pack(block: NDArray[Any], bits: int, order: str) -> bytes:
    """Rows begin at whole bytes; samples of fewer bits than their array's lie one after another, first bit highest."""
    if bits == block.dtype.itemsize * 8:
        return block.astype(block.dtype.newbyteorder(order)).tobytes()
    rows = block.reshape(block.shape[0], -1).astype(np.uint64)
    digits = (rows[..., None] >> np.arange(bits - 1, -1, -1, dtype=np.uint64)) & np.uint64(1)
    return np.packbits(digits.astype(np.uint8).reshape(rows.shape[0], -1), axis=1).tobytes()


def ycbcr(full: NDArray[np.uint8], across: int, down: int, *, tags: dict[int, Tag] | None = None) -> Directory:
    """An uncompressed YCbCr picture: (height, width, 3) samples whose chroma is taken once for each `across` x `down`
    pixels (TIFF 6.0, section 21).
    """
    height, width = full.shape[:2]
    padded = np.pad(full, ((0, -height % down), (0, -width % across), (0, 0)), mode="edge")
    units = padded.reshape(padded.shape[0] // down, down, padded.shape[1] // across, across, 3).swapaxes(1, 2)
    luma = units[..., 0].reshape(*units.shape[:2], down * across)
    data = np.concatenate([luma, units[:, :, 0, 0, 1:]], axis=2).tobytes()
    made = directory(full, YCBCR, tags={530: ("H", [across, down])} | (tags or {}))
    return Directory(tags=made.tags, blocks=[data])


def write(*chain: Directory, order: str = "<", big: bool = False) -> bytes:
    """The file of these directories, one after another; `order` is `<` or `>`, `big` makes a BigTIFF."""
    file = bytearray(b"II" if order == "<" else b"MM")
    file += struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0)
    link = 8 if big else 4
    for each in chain:
        at, next_link = _put(file, each, order, big)
        struct.pack_into(order + ("Q" if big else "I"), file, link, at)
        link = next_link
    return bytes(file)


def _put(file: bytearray, each: Directory, order: str, big: bool) -> tuple[int, int]:
    """Append a directory and what it points to: where it stands, and where the address of the next one belongs."""
    word = "Q" if big else "I"
    offsets = [_append(file, block) for block in each.blocks]
    tags = dict(each.tags)
    tiled = 322 in tags
    tags.setdefault(324 if tiled else 273, (word, offsets))
    tags.setdefault(325 if tiled else 279, (word, [len(block) for block in each.blocks]))
    if each.subs:
        tags[330] = (word, [_put(file, sub, order, big)[0] for sub in each.subs])
    entries = b""
    for tag, (letter, values) in sorted(tags.items()):
        data, count = _values(letter, values, order)
        room = 8 if big else 4
        inline = data.ljust(room, b"\0") if len(data) <= room else struct.pack(order + word, _append(file, data))
        entries += struct.pack(order + "HH" + word, tag, _TYPES[letter], count) + inline
    body = struct.pack(order + ("Q" if big else "H"), len(tags)) + entries
    at = _append(file, body + bytes(8 if big else 4))
    return at, at + len(body)


def _values(letter: str, values: Sequence[Any], order: str) -> tuple[bytes, int]:
    match letter:
        case "s":
            text = "".join(values).encode() + b"\0"
            return text, len(text)
        case "r":
            return b"".join(struct.pack(order + "II", round(each * 10**6), 10**6) for each in values), len(values)
        case _:
            kind = {"IFD": "I"}.get(letter, letter)
            return struct.pack(order + kind * len(values), *values), len(values)


def _append(file: bytearray, data: bytes) -> int:
    file += bytes(len(file) % 2)
    at = len(file)
    file += data
    return at
