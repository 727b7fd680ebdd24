"""Pure: the `Prefer` header (RFC 7240) as the seconds that a caller would wait."""

from __future__ import annotations

MAX_WAIT_S = 25
"""Proxies and load balancers commonly give a silent answer 30 to 60 s."""


def preferred_wait_s(prefer: str) -> int | None:
    """The seconds of `wait=N`, at most `MAX_WAIT_S`; None when there is no such preference, or a bad one: preferences
    are wishes, and one that is not understood is ignored (section 2). Of several the first counts.
    """
    for element in prefer.split(","):
        name, _, value = element.split(";")[0].partition("=")
        if name.strip().lower() == "wait":
            seconds = value.strip().strip('"')
            return min(int(seconds), MAX_WAIT_S) if seconds.isascii() and seconds.isdigit() else None
    return None
