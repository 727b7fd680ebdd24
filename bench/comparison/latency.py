"""Encoded JPEG to PNG bytes, both programs resident and warm, the sides taking turns picture by picture."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from comparison.pictures import Pictures
from comparison.progress import say
from comparison.results import REMBG, REMBG_DECONTAMINATE, REMBG_MATTING, Timing
from comparison.sides import Programs, Side, start_all

_SMALL_MEGAPIXELS = 0.05
"""Of the picture that has rembg's matting compiled before it is measured."""

_WAYS = {REMBG_DECONTAMINATE: "decontaminate", REMBG_MATTING: "matting"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Pictures by megapixels, and of rembg's slower ways at 1 megapixel."""

    pictures: dict[float, int]
    ways: dict[str, int]


def measure_latency(
    tiers: list[str], programs: Programs, pictures: Pictures, counts: Counts
) -> dict[str, dict[str, Timing]]:
    """Timings by size, then side.

    Raises SideGoneError, and ValueError when an answer is not the cutout of its picture.
    """
    found: dict[str, dict[str, Timing]] = {}
    with start_all([REMBG, *tiers], programs, pictures.jpeg(0, 1)) as sides:
        for megapixels, count in counts.pictures.items():
            timings = found.setdefault(f"{megapixels:g}", {})
            for number in range(count):
                say(f"latency: {megapixels:g} MP, picture {number + 1} of {count}")
                picture = pictures.jpeg(number, megapixels)
                # Another side begins each time: none is always behind the same one.
                for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
                    _time(side, picture, timings.setdefault(side.name, Timing()))
            found[f"{megapixels:g}"] = {side.name: timings[side.name] for side in sides}
        ways = found.setdefault("1", {})
        for name, count in counts.ways.items():
            sides[0].cut(pictures.jpeg(0, _SMALL_MEGAPIXELS), way=_WAYS[name])
            for number in range(count):
                say(f"latency: {name}, picture {number + 1} of {count}")
                _time(sides[0], pictures.jpeg(number, 1), ways.setdefault(name, Timing()), way=_WAYS[name])
    return found


def _time(side: Side, picture: bytes, timing: Timing, *, way: str = "default") -> None:
    head, png = side.cut(picture, way=way)
    check_png(side.name, png, picture)
    timing.seconds.append(head["seconds"])
    timing.png_bytes.append(head["png_bytes"])


def check_png(name: str, png: bytes, jpeg: bytes) -> None:
    """ValueError unless `png` begins as an 8-bit RGBA PNG of the JPEG's size."""
    width, height, depth, colour = struct.unpack(">IIBB", png[16:26])
    if png[:8] != b"\x89PNG\r\n\x1a\n" or (depth, colour) != (8, 6) or (width, height) != jpeg_size(jpeg):
        raise ValueError(f"{name} answered with something else than the picture's cutout")


def jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """Width and height from the frame header of an upright JPEG; ValueError where there is none."""
    at = 2
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        if 0xC0 <= jpeg[at + 1] <= 0xC2:
            height, width = struct.unpack(">HH", jpeg[at + 5 : at + 9])
            return width, height
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    raise ValueError("this is no JPEG")
