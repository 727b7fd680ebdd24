"""PURE: readers and writers of parameter values.

A reader turns text into a typed value and raises ValueError for text outside the parameter's grammar. A writer turns
the value into its canonical text, None for the default, which a canonical URL leaves out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from pellucid.spec import AutoColour, Colour, Enlarge
from pellucid.url.colours import format_colour, parse_colour

ValueT = TypeVar("ValueT")

_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+")
_SIGNED = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)")
_INTEGER = re.compile(r"-?[0-9]+")
_CALLBACK = re.compile(r"(?i:https?)://[^/?@#\x00-\x20\x7f-\U0010ffff]+(?:[/?][^#\x00-\x20\x7f-\U0010ffff]*)?")
_CALLBACK_LENGTH = 500


def read_number(text: str) -> float:
    """A number that is not negative, in plain decimal notation: `10`, `0.5`, `.5`."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError("not a plain decimal number")
    return float(text)


def read_number_in(least: float, most: float) -> Callable[[str], float]:
    """A reader of plain decimal numbers from `least` to `most`."""

    def read(text: str) -> float:
        number = read_number(text)
        if not least <= number <= most:
            raise ValueError(f"not in {least:g}..{most:g}")
        return number

    return read


def format_number(number: float) -> str:
    """The shortest plain decimal that reads back as the same float: `400`, `562.5`, never an exponent."""
    return f"{Decimal(repr(float(number))):f}".removesuffix(".0")


def write_number_unless(default: float | None) -> Callable[[float | None], str | None]:
    """A writer of numbers, None for `default`."""
    return lambda number: None if number is None or number == default else format_number(number)


def read_size(text: str) -> float:
    """A size in pixels, above 0 and below 1,000,000, in plain decimal notation."""
    if not 0 < (size := read_number(text)) < 1e6:
        raise ValueError("not a size")
    return size


write_size = write_number_unless(None)
"""A size whose default is None."""


def read_angle(text: str) -> float:
    """Degrees, also negative ones, brought to 0 up to 360."""
    if not _SIGNED.fullmatch(text):
        raise ValueError("not a plain decimal number")
    angle = float(text) % 360  # of what is no finite number, NaN
    if math.isnan(angle):
        raise ValueError("not a number of degrees")
    return 0.0 if angle == 360 else angle  # -1e-20 % 360 is 360.0


def read_percent(text: str) -> int:
    """An integer from 1 to 100."""
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= (percent := int(text)) <= 100:
        raise ValueError("not in 1..100")
    return percent


def write_integer(number: int | None) -> str | None:
    """An integer whose default is None."""
    return None if number is None else str(number)


def read_flag(text: str) -> bool:
    """`1` or `0`."""
    return read_word({"1": True, "0": False})(text)


def write_flag(flag: bool) -> str | None:
    """`1`; off is the default."""
    return "1" if flag else None


def read_enlarge(text: str) -> Enlarge:
    """Any integer: clients also send random ones, and all but 0 mean that a small origin stays as it is."""
    if not _INTEGER.fullmatch(text):
        raise ValueError("not an integer")
    return Enlarge.NEVER if text.strip("-0") else Enlarge.ALLOWED


def write_enlarge(enlarge: Enlarge) -> str | None:
    """`1` = never larger than the origin."""
    return "1" if enlarge is Enlarge.NEVER else None


def read_background(text: str) -> Colour | AutoColour:
    """A colour, or `auto` for the image's own."""
    return AutoColour.MAIN if text == AutoColour.MAIN.value else parse_colour(text)


def write_background(colour: Colour | AutoColour | None) -> str | None:
    """A colour whose default is None."""
    if colour is None:
        return None
    return colour.value if isinstance(colour, AutoColour) else format_colour(colour)


def read_callback(text: str) -> str:
    """An absolute http or https URL of up to 500 characters, without user name and fragment."""
    if len(text) > _CALLBACK_LENGTH or not _CALLBACK.fullmatch(text):
        raise ValueError("not an absolute http or https URL")
    return text


def write_text(text: str | None) -> str | None:
    """Text whose default is None."""
    return text


def read_word(words: Mapping[str, ValueT]) -> Callable[[str], ValueT]:
    """A reader of one of several words."""

    def read(text: str) -> ValueT:
        if text not in words:
            raise ValueError("not one of the words")
        return words[text]

    return read


def write_word(*, default: StrEnum | None) -> Callable[[StrEnum | None], str | None]:
    """A writer of words that are spelled like the enum's values."""
    return lambda word: None if word is None or word is default else word.value


def read_words(words: Mapping[str, ValueT]) -> Callable[[str], tuple[ValueT, ...]]:
    """A reader of one or several words with commas between them; one that comes again counts where it came first."""
    read = read_word(words)
    return lambda text: tuple(dict.fromkeys(read(word.strip()) for word in text.split(",")))


def write_words(words: tuple[StrEnum, ...]) -> str | None:
    """Words that are spelled like the enum's values; the default is none of them."""
    return ",".join(words) or None
