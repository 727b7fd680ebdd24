"""Words for people."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """`1 matte`, `2 mattes`, `1,200 mattes`: a number with what it counts; `many` where that is not `one` and an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
