"""PURE: what a parameter that nobody knows was meant to be. A typo shows the wrong picture, a cache buster does not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from pellucid.url.cloudimage import NOT_YET, REFUSED
from pellucid.url.params import PARAMS_BY_SPELLING
from pellucid.url.params.version import VERSION

MAX_LOOKED_AT = 16
"""Unknown names of a URL that are looked at; it may hold thousands."""

_FEWEST_LETTERS = 4
"""Shorter names are near to everything, and cache busters: `t`, `ts`, `ver`."""

_LONGEST = 40
_SHORT = 6
"""Names below this length may have one mistake, others two."""

_SEPARATORS = re.compile(r"[^a-z0-9]+")

_BUSTERS = frozenset(
    "version revision cache nocache cachebust cachebuster bust buster timestamp random refresh hash digest".split()  # noqa: SIM905
)
"""What makes a URL new to caches on purpose, whatever it is near to."""

_CAMPAIGN = "utm_"

_OTHER_WORDS = {
    "quality": "q",
    "format": "force_format",
    "output_format": "force_format",
    "color": "bg_color",
    "colour": "bg_color",
    "background": "bg_color",
    "background_color": "bg_color",
    "background_colour": "bg_color",
    "remove_bg": "bg_remove",
    "remove_background": "bg_remove",
    "background_remove": "bg_remove",
    "background_removal": "bg_remove",
    "max_width": "w",
    "max_height": "h",
    "rotate": "r",
    "rotation": "r",
    "brightness": "bright",
    "grayscale": "gray",
    "greyscale": "gray",
    "sharpen": "sharp",
    "watermark": "wat",
    "download": "force_download",
}
"""What other image servers call things, and Cloudimage's name."""

_NOT_YET = dict.fromkeys(name for absent in NOT_YET for name in absent.names)


@dataclass(frozen=True, slots=True)
class Meant:
    """The parameter that was probably meant. `unsupported` if it is spelled well, and does nothing yet."""

    name: str
    unsupported: bool = False


def compact(name: str) -> str:
    """`name` in lower case without what separates its words: `bg-Remove` and `bg_remove` are one."""
    return _SEPARATORS.sub("", name.lower())


def meant_by(name: str) -> Meant | None:
    """What the unknown parameter `name` was meant to be; None for a name that is near to none, such as a cache buster.

    Only names of four letters or more are looked at. Near is one mistake, in names of six letters or more two: a letter
    too many, missing or wrong, or two neighbours swapped (the optimal string alignment distance).
    """
    if name in _NOT_YET:
        return Meant(name, unsupported=True)  # also one of a letter, such as `f`
    if len(name) > _LONGEST or sum(map(str.isalpha, name)) < _FEWEST_LETTERS:
        return None
    return _nearest(name)


def is_any_meant(names: Iterable[str]) -> bool:
    """Whether one of the unknown `names`, of which the first 16 count, was meant to be a parameter."""
    return any(meant_by(name) is not None for name, _ in zip(names, range(MAX_LOOKED_AT), strict=False))


@lru_cache(maxsize=4096)
def _nearest(name: str) -> Meant | None:
    if name in PARAMS_BY_SPELLING or name.lower().startswith(_CAMPAIGN):
        return None
    written = compact(name)
    if written in _BUSTERS:
        return None
    best: tuple[tuple[int, bool], str] | None = None
    for known, spelled in _KNOWN.items():
        allowed = 1 if min(len(known), len(written)) < _SHORT else 2
        if abs(len(known) - len(written)) <= allowed and len(set(known) ^ set(written)) <= 2 * allowed:
            mistakes = _mistakes(known, written, allowed)
            # Of two that are as near, the first letter is the one that people get right.
            rank = mistakes, known[0] != written[0]
            if mistakes <= allowed and (best is None or rank < best[0]):
                best = rank, spelled
    return None if best is None else Meant(best[1])


def _mistakes(one: str, other: str, allowed: int) -> int:
    """The optimal string alignment distance (Boytsov 2011, section 2.2.3); any above `allowed` where it is above."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, above, row = row, before, [i]
        for j, against in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                cost = min(cost, above[j - 2] + 1)
            row.append(cost)
        if min(row) > allowed:
            return allowed + 1
    return row[-1]


def _known() -> dict[str, str]:
    """What can be meant: the compact spelling and the name."""
    refused = (name for absent in REFUSED for name in absent.names)
    names = {compact(name): name for name in (*PARAMS_BY_SPELLING, *_NOT_YET, *refused)}
    # A cache buster that is spelled otherwise is one, too.
    names = {word: name for word, name in names.items() if PARAMS_BY_SPELLING.get(name) is not VERSION}
    words = {compact(word): name for word, name in _OTHER_WORDS.items()}
    # Names first: of two that are as near, the first is taken. No word is a name.
    return {word: name for word, name in (names | words).items() if len(word) >= _FEWEST_LETTERS}


_KNOWN = _known()
