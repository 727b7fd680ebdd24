"""Requests that lead back to this server: `CDN-Loop` (RFC 8586) and `Via` (RFC 9110, section 7.6.3).

A URL of this server inside a URL of this server takes one fetch for each level, until none is left for anybody. So each
fetch says which servers its request came through, this one last, and a request that came through here is refused.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from pellucid.errors import LoopDetectedError

_PELLUCID = re.compile(r"\bpellucid-[0-9a-f]{12}\b")

_MOST = 3
"""Other Pellucids that a request may have come through: one in front of another makes sense, many do not."""

_LENGTH = 2000
"""Characters of either header; longer ones have come through more servers than make sense."""

_INFO = r'[!#$%&\'*+.^_`|~0-9A-Za-z:\[\]-]+(?:\s*;\s*[\w!#$%&\'*+.^`|~-]+(?:=(?:[^\s",;]+|"[^"]*"))?)*'
_CDN_LOOP = re.compile(rf"\s*{_INFO}(?:\s*,\s*{_INFO})*\s*")
_VIA = re.compile(r"[ -~]*")


@dataclass(frozen=True, slots=True)
class Trail:
    """The servers that a request came through, as its headers say; empty for most."""

    cdn_loop: str = ""
    via: str = ""

    def __bool__(self) -> bool:
        return bool(self.cdn_loop or self.via)

    def check(self, instance: str) -> None:
        """Raises LoopDetectedError when the request came through `instance`, or through too many servers.

        Names are looked for wherever they stand: a header that is malformed else must not hide them.
        """
        for value in (self.cdn_loop, self.via):
            named = _PELLUCID.findall(value)
            if instance in named:
                raise LoopDetectedError("the origin's URL leads back to this server")
            if len(named) > _MOST or len(value) > _LENGTH:
                raise LoopDetectedError("the request came through too many servers")

    def next_headers(self, instance: str) -> dict[str, str]:
        """Both headers of a fetch by `instance`. What came in malformed is not passed on."""
        loop = self.cdn_loop.strip() if _CDN_LOOP.fullmatch(self.cdn_loop) else ""
        via = self.via.strip() if _VIA.fullmatch(self.via) else ""
        return {
            "CDN-Loop": f"{loop}, {instance}" if loop else instance,
            "Via": f"{via}, 1.1 {instance}" if via else f"1.1 {instance}",
        }


_NO_TRAIL = Trail()

# A fetch is far from the request that wants it, and shared with others: it says what the first of them came through.
# Tasks inherit the variable from whoever starts them.
_trail: ContextVar[Trail] = ContextVar("trail", default=_NO_TRAIL)


def current_trail() -> Trail:
    """The trail of the request that is being answered; an empty one for what no request asked for."""
    return _trail.get()


@contextmanager
def following(trail: Trail) -> Generator[None]:
    """Fetches inside the block are made for a request with this `trail`."""
    reset = _trail.set(trail)
    try:
        yield
    finally:
        _trail.reset(reset)


def read_trail(headers: Iterable[tuple[bytes, bytes]]) -> Trail:
    """The trail that the headers of a request tell; lines of one name are one list."""
    loop: list[str] = []
    via: list[str] = []
    for name, value in headers:
        if name == b"cdn-loop":
            loop.append(value.decode("latin-1"))
        elif name == b"via":
            via.append(value.decode("latin-1"))
    return Trail(cdn_loop=", ".join(loop), via=", ".join(via)) if loop or via else _NO_TRAIL
