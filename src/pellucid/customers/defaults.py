"""Pure: what holds where a URL leaves something open."""

from __future__ import annotations

from dataclasses import dataclass

from pellucid.spec import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a customer gets for URLs that do not say. `tier` is that of URLs without `bg_quality`."""

    tier: Tier = Tier.STANDARD
