"""What could not be rendered is left alone for a while, under the name of what failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import TTLCache

from pellucid.errors import ImageError, PellucidError, RenderError

_REMEMBERED = 10_000
_FAILURE_S = 60.0

_HEAVY_FAILURES = 3
"""So many heavy renditions of one picture may fail before no further one is tried: each costs its lane up to a
time-out.
"""


@dataclass(frozen=True, slots=True)
class _Failure:
    kind: type[PellucidError]
    message: str


class Failures:
    """Remembers failures for `for_s`.

    A failure belongs to its rendition. It belongs to the whole picture only when the rendition itself was light: then
    it was the picture's decoding that failed, which it would do at any other size, at the cost of two processes each
    time. A picture of which several heavy renditions fail gets no more heavy ones, and all others as before.
    """

    def __init__(self, *, for_s: float = _FAILURE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._renditions: TTLCache[str, _Failure] = TTLCache(_REMEMBERED, for_s, clock)
        self._pictures: TTLCache[str, _Failure] = TTLCache(_REMEMBERED, for_s, clock)
        self._heavy: TTLCache[str, int] = TTLCache(_REMEMBERED, for_s, clock)

    def check(self, rendition: str, picture: str, *, light: bool) -> None:
        """Raise what making `rendition` of `picture` raised a short while ago, if it did. `picture` names what the
        pixels come from: the origin's bytes, with the matte where there is one.
        """
        failure = self._renditions.get(rendition) or self._pictures.get(picture)
        if failure is not None:
            raise failure.kind(failure.message)
        if not light and self._heavy.get(picture, 0) >= _HEAVY_FAILURES:
            raise RenderError("large renditions of this picture failed a short while ago; ask for a smaller one")

    def remember(self, rendition: str, picture: str, error: RenderError | ImageError, *, light: bool) -> None:
        """`light` = next to nothing was asked for besides decoding the picture."""
        failure = _Failure(type(error), str(error))
        self._renditions[rendition] = failure
        if light:
            self._pictures[picture] = failure
        else:
            self._heavy[picture] = self._heavy.get(picture, 0) + 1
