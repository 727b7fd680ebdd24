"""Pure: the directories of a TIFF file, classic or BigTIFF, and which of them is the picture.

A file is a chain of directories, each of which may have others below it (SubIFDs): pages of a document, but also
thumbnails, levels of a pyramid and masks (TIFF 6.0, sections 2, 7 and 8; Adobe's TIFF Technical Note 1). libvips shows
the first, whatever it is.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pellucid.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Tag(enum.IntEnum):
    """The fields that decide what a picture is and how its samples are to be read."""

    NEW_SUBFILE_TYPE = 254
    OLD_SUBFILE_TYPE = 255
    WIDTH = 256
    HEIGHT = 257
    BITS_PER_SAMPLE = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    STRIP_OFFSETS = 273
    SAMPLES_PER_PIXEL = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTE_COUNTS = 279
    PLANAR_CONFIGURATION = 284
    COLOUR_MAP = 320
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_BYTE_COUNTS = 325
    SUB_DIRECTORIES = 330
    INK_SET = 332
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    LEAST_SAMPLE = 340
    GREATEST_SAMPLE = 341
    OLD_JPEG = 513
    YCBCR_COEFFICIENTS = 529
    YCBCR_SUBSAMPLING = 530
    REFERENCE_BLACK_WHITE = 532
    ICC_PROFILE = 34_675


_FIELD_TYPES = {
    1: "B",
    3: "H",
    4: "I",
    5: "II",
    6: "b",
    8: "h",
    9: "i",
    10: "ii",
    11: "f",
    12: "d",
    13: "I",
    16: "Q",
    17: "q",
    18: "Q",
}
"""TIFF's numbers of the numeric types, as `struct` spells them; two letters are a fraction."""

_MOST_DIRECTORIES = 1000
_MOST_ENTRIES = 50_000
"""Of all directories together: 20 ms. A directory has about 20."""
_MOST_VALUES = 64
"""Read of one field; of offsets of strips, of which there are more, the first alone says where a picture begins."""
_MOST_BLOCKS = 1 << 20
"""Strips or tiles whose places are looked at: 10 ms."""

_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType."""
_OLD_REDUCED = 2
_PHOTOMETRIC_MASK = 4

_PIXELS = (Tag.TILE_OFFSETS, Tag.STRIP_OFFSETS, Tag.OLD_JPEG)
"""Where a picture's first bytes may be said to be."""

_BLOCKS = ((Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS), (Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS))
_INTEGERS = "HIQ"
"""As which types offsets and byte counts are written."""

_PYRAMID_LEVELS = range(3, 33)


class Place(NamedTuple):
    """Where and how the values of a field are written: an offset, `struct`'s letters and the bytes of one, and how many
    there are.
    """

    offset: int
    letter: str
    size: int
    values: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """One picture of the file: where it stands, the values of its tags, and the places of those."""

    offset: int
    tags: Mapping[int, tuple[float, ...]]
    places: Mapping[int, Place]
    lacks_values: bool
    """Whether some of those values lie outside the file."""

    def integer(self, tag: Tag, default: int) -> int:
        """The first value; `default` where the tag is missing or has none."""
        values = self.tags.get(tag)
        return int(values[0]) if values else default

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self.integer(Tag.WIDTH, 0), self.integer(Tag.HEIGHT, 0)

    @property
    def is_reduced(self) -> bool:
        """Whether it says of itself that it is a smaller version of another picture, or a mask of one."""
        flags = self.integer(Tag.NEW_SUBFILE_TYPE, 0)
        return bool(
            flags & (_REDUCED | _MASK)
            or self.integer(Tag.OLD_SUBFILE_TYPE, 0) == _OLD_REDUCED
            or self.integer(Tag.PHOTOMETRIC, 0) == _PHOTOMETRIC_MASK
        )


@dataclass(slots=True)
class TiffFile:
    """The directories of `data`, read as they are asked for. Whatever the file says, a bounded number of them."""

    data: bytes
    lacks_pictures: bool = field(init=False, default=False)
    """Whether a directory that was asked for is not there, or not all of it, or none of its pixels: so it is where a
    file is cut short.
    """
    _order: str = field(init=False)
    _big: bool = field(init=False)
    _entries_left: int = field(init=False, default=_MOST_ENTRIES)

    def __post_init__(self) -> None:
        self._order = "<" if self.data[:2] == b"II" else ">"
        self._big = self.data[2:4] in (b"+\0", b"\0+")

    def find_picture(self, page: int = 1) -> Directory:
        """The directory that a viewer shows as that page, from 1: one that is neither reduced nor a mask, and what is
        below a thumbnail before what comes after it; of a pyramid that rises without saying so, the last. Directories
        without pixels do not count.

        Raises ImageError when there is none.
        """
        # Not further than that: what is missing of later pages does not matter.
        found = next(islice(self._pages(), page - 1, None), None)
        if found is None:
            raise ImageError("the TIFF file holds no picture" if page == 1 else f"the TIFF file has no page {page}")
        return found

    def count_pages(self) -> int:
        """How many pages `find_picture` finds, those that lie outside the file not counted."""
        return sum(1 for _ in self._pages())

    def _pages(self) -> Iterator[Directory]:
        chain = list(self._chain())
        rising = _largest_of_pyramid(chain)
        if rising is not None:
            yield rising
            return
        reduced: list[Directory] = []
        is_found = False
        for each in chain:
            for candidate in (each, *self._below(each)):
                if not self._has_pixels(candidate):
                    continue
                if not candidate.is_reduced:
                    is_found = True
                    yield candidate
                    break
                reduced.append(candidate)
        if reduced and not is_found:
            # Only thumbnails, or so they say.
            yield max(reduced, key=lambda each: each.size[0] * each.size[1])

    def holds_pixels(self, directory: Directory) -> bool:
        """Whether the strips or tiles lie inside the file, as far as it says where they are."""
        for offsets_tag, counts_tag in _BLOCKS:
            offsets, counts = self._integers(directory, offsets_tag), self._integers(directory, counts_tag)
            blocks = min(len(offsets), len(counts))
            if not blocks:
                continue
            length = len(self.data)
            # Each for itself first: their sum may be larger than 64 bits.
            if int(offsets.max()) > length or int(counts.max()) > length:
                return False
            if int((offsets[:blocks] + counts[:blocks]).max()) > length:
                return False
        return True

    def showing(self, directory: Directory, changes: Mapping[Tag, int]) -> bytes:
        """The file with `directory` as its first, and other first values of some of the tags it has; `data` itself
        where nothing is to be changed.
        """
        edits: dict[int, tuple[int, str]] = {}
        if self._first() != directory.offset:
            edits[8 if self._big else 4] = (directory.offset, "Q" if self._big else "I")
        for tag, value in changes.items():
            place = directory.places[tag]
            edits[place.offset] = (value, place.letter)
        if not edits:
            return self.data
        file = bytearray(self.data)
        for at, (value, letter) in edits.items():
            struct.pack_into(self._order + letter, file, at, value)
        return bytes(file)

    def _chain(self) -> Iterator[Directory]:
        seen: set[int] = set()
        try:
            at = self._first()
        except struct.error:
            self.lacks_pictures = True
            return
        while at and at not in seen and len(seen) < _MOST_DIRECTORIES:
            seen.add(at)
            found = self._read(at)
            if found is None:
                return
            directory, at = found
            yield directory

    def _below(self, directory: Directory) -> Iterator[Directory]:
        for offset in directory.tags.get(Tag.SUB_DIRECTORIES, ()):
            found = self._read(int(offset))
            if found is not None:
                yield found[0]

    def _has_pixels(self, directory: Directory) -> bool:
        """Whether it has a size, and its first strip or tile begins inside the file."""
        offset = next((directory.integer(tag, 0) for tag in _PIXELS if directory.tags.get(tag)), 0)
        if min(directory.size) <= 0 or offset <= 0:
            return False
        self.lacks_pictures |= offset >= len(self.data)
        return offset < len(self.data)

    def _read(self, at: int) -> tuple[Directory, int] | None:
        """The directory at `at` and the offset of the next; None where there is none."""
        entry_size, count_letter, word = (20, "Q", "Q") if self._big else (12, "H", "I")
        try:
            count = self._integer(at, count_letter)
            start = at + struct.calcsize(count_letter)
            end = start + entry_size * count
        except struct.error:
            self.lacks_pictures = True
            return None
        is_whole = count > 0 and end + struct.calcsize(word) <= len(self.data)
        self.lacks_pictures |= not is_whole
        following = self._integer(end, word) if is_whole else 0
        count = min(count, self._entries_left, (len(self.data) - start) // entry_size)
        self._entries_left -= count
        tags: dict[int, tuple[float, ...]] = {}
        places: dict[int, Place] = {}
        len_word = struct.calcsize(word)
        entries = memoryview(self.data)[start : start + entry_size * count]
        for index, (tag, kind, values, _) in enumerate(struct.iter_unpack(self._order + "HH" + word * 2, entries)):
            if tag in _WANTED and tag not in tags:
                places[tag], tags[tag] = self._values(kind, values, start + entry_size * (index + 1) - len_word)
        lacks_values = any(each.offset + each.values * each.size > len(self.data) for each in places.values())
        return Directory(offset=at, tags=tags, places=places, lacks_values=lacks_values), following

    def _values(self, kind: int, count: int, at: int) -> tuple[Place, tuple[float, ...]]:
        """Where the values of a field are, and the first of them; `at` is where the entry has them, or their offset."""
        letters = _FIELD_TYPES.get(kind, "")
        size = _width(kind)
        word = "Q" if self._big else "I"
        if count * size > struct.calcsize(word):
            at = self._integer(at, word)
        place = Place(at, letters, size, count)
        count = min(count, _MOST_VALUES)
        if not letters or at + count * size > len(self.data):
            return place, ()
        numbers = struct.unpack_from(self._order + letters * count, self.data, at)
        if len(letters) == 2:
            numbers = tuple(above / (below or 1) for above, below in zip(numbers[::2], numbers[1::2], strict=True))
        return place, numbers

    def _integers(self, directory: Directory, tag: Tag) -> NDArray[np.uint64]:
        """All values of a field of integers, none where it has none inside the file."""
        place = directory.places.get(tag)
        if place is None or len(place.letter) != 1 or place.letter not in _INTEGERS:
            return np.empty(0, np.uint64)
        size = place.size
        count = min(place.values, _MOST_BLOCKS, (len(self.data) - place.offset) // size)
        return np.frombuffer(
            self.data, f"{self._order}u{size}", max(0, count), min(place.offset, len(self.data))
        ).astype(np.uint64)

    def _first(self) -> int:
        return self._integer(8, "Q") if self._big else self._integer(4, "I")

    def _integer(self, at: int, letter: str) -> int:
        """Raises struct.error outside the file."""
        if at > len(self.data):
            raise struct.error("outside the file")
        return int(struct.unpack_from(self._order + letter, self.data, at)[0])


def _width(kind: int) -> int:
    """Bytes of a value; those that are no numbers have 1."""
    return struct.calcsize("=" + _FIELD_TYPES.get(kind, "")) or 1


_WANTED = frozenset(int(tag) for tag in Tag)


def _largest_of_pyramid(chain: list[Directory]) -> Directory | None:
    """The last directory, if all of them are unmarked and each is twice as large as the one before, however it was
    rounded.

    Three at least: a document may well have a page at 150 dpi before one at 300.
    """
    if len(chain) not in _PYRAMID_LEVELS or any(each.is_reduced for each in chain):
        return None
    for smaller, larger in pairwise(chain):
        for less, more in zip(smaller.size, larger.size, strict=True):
            if less not in (more // 2, -(-more // 2)):
                return None
    return chain[-1]
