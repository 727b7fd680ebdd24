"""Finished answers by URL, in memory: one look-up and one send, before anything is parsed."""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from dataclasses import dataclass
from operator import attrgetter

from cachetools import LRUCache

from pellucid.formats import ImageFormat
from pellucid.http.authentication import Caller
from pellucid.http.headers import Headers

_TTL_S = 30.0
"""An entry is made anew after this long at the latest: the store hears that its blob is in use, and a matte that an
operator removed by hand is missed.
"""

_OVERHEAD_BYTES = 2500
"""What an entry weighs besides its body, its URL and its headers: some 20 objects, twice."""

HotKey = tuple[bytes, bytes, frozenset[ImageFormat], Caller]
"""Raw path, query, what of `Accept` can matter, and who asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HotAnswer:
    """A 200 and its 304. `until` is a moment of `time.monotonic`."""

    etag: str
    headers: Headers
    not_modified: Headers
    body: bytes
    record_key: str
    until: float
    weight: int
    """Bytes in memory: anybody may ask for one picture under thousands of long URLs."""


class HotCache:
    """At most `max_bytes` of finished answers."""

    def __init__(self, *, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._answers: LRUCache[HotKey, HotAnswer] = LRUCache(max_bytes, getsizeof=attrgetter("weight"))
        self._largest = max_bytes // 8
        self._clock = clock
        self.generation = 0
        """How often something was dropped: an answer that was begun at another count may be of before."""

    def get(self, key: HotKey) -> HotAnswer | None:
        answer = self._answers.get(key)
        if answer is None or answer.until < self._clock():
            return None
        return answer

    def put(
        self,
        key: HotKey,
        *,
        etag: str,
        headers: Headers,
        content: Headers,
        body: bytes,
        record_key: str,
        fresh_s: float,
        generation: int,
    ) -> None:
        """Keep an answer for as long as its origin is fresh. `headers` are those of both 200 and 304, `content` is what
        a 200 says besides; `generation` is the count of `generation` when it was asked for.
        """
        if generation != self.generation:
            return
        headers = [*(pair for pair in headers if pair[0] not in _OF_ONE_ANSWER), *_HIT]
        header_bytes = sum(len(name) + len(value) for name, value in [*headers, *headers, *content])
        weight = len(body) + _OVERHEAD_BYTES + len(key[0]) + len(key[1]) + header_bytes
        answer = HotAnswer(
            etag=etag,
            headers=[
                *headers,
                *content,
                (b"content-length", str(len(body)).encode()),
            ],
            not_modified=headers,
            body=body,
            record_key=record_key,
            until=self._clock() + min(fresh_s, _TTL_S),
            weight=weight,
        )
        if fresh_s > 0 and weight <= self._largest:
            self._answers[key] = answer

    def forget(self, record_keys: Set[str] | None) -> None:
        """Drop the answers of some origins, None: all. One look at every answer, however many origins."""
        self.generation += 1
        doomed = [
            key for key, answer in self._answers.items() if record_keys is None or answer.record_key in record_keys
        ]
        for key in doomed:
            del self._answers[key]


_OF_ONE_ANSWER = frozenset({b"cache-status", b"server-timing"})
_HIT: Headers = [(b"cache-status", b"Pellucid; hit; detail=hot")]
