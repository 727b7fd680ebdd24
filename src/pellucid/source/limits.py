"""Limits on fetching, and how long what was fetched is believed."""

from __future__ import annotations

from dataclasses import dataclass

DAMAGED_S = 60.0
"""Damaged bytes are believed no longer than this at first, and shown no longer: half a download is whole the next time.
"""

DAMAGED_MOST_S = 600.0
"""The most when the same come again and again, each time twice as long: a file that is flawed for good is not fetched
whole every minute for ever.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """What one origin may cost. Bytes are counted after decompression.

    `connect_timeout_s` covers name look-up, connection and TLS; `idle_timeout_s` the silence between two packets;
    `total_timeout_s` everything, redirects included. `max_header_bytes` bounds one field and all of them together.
    """

    max_bytes: int = 50 << 20
    connect_timeout_s: float = 5
    total_timeout_s: float = 30
    idle_timeout_s: float = 10
    max_redirects: int = 5
    max_header_bytes: int = 16 << 10
    max_concurrency: int = 64
    max_per_host: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Seconds that an answer is believed: what the origin says within `min_s`..`max_s`, `default_s` when it says
    nothing. `failure_s` is the rest after a failure that may pass, `not_found_s` after a settled answer (missing,
    forbidden, refused, too large).
    """

    min_s: float = 60
    max_s: float = 86_400
    default_s: float = 3600
    failure_s: float = 10
    not_found_s: float = 30

    def clamp(self, said_s: float | None) -> float:
        """Seconds to believe an answer whose headers said `said_s`."""
        return min(max(self.default_s if said_s is None else said_s, self.min_s), self.max_s)
