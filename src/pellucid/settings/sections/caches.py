"""Caches: those on disk and in memory, and those of browsers and CDNs."""

from __future__ import annotations

from pydantic import Field

from pellucid.customers.lifetimes import Lifetimes
from pellucid.settings.types import GIB, MIB, Section

_USUAL = Lifetimes()


class CacheSettings(Section):
    """Disk space of what can be had again, and the lifetimes told to browsers and CDNs."""

    max_bytes: int = Field(default=10 * GIB, gt=0, description="Origins and renditions on disk. Mattes are kept apart.")
    memory_bytes: int = Field(default=64 * MIB, ge=0, description="Renditions in memory, per web process.")
    min_free_bytes: int = Field(
        default=GIB,
        ge=0,
        description="Free space that the disk keeps. Below it origins and renditions are evicted and no more are "
        "stored, no new matte is owed (`busy`), and uploads get a 503.",
    )
    browser_s: int = Field(
        default=_USUAL.browser_s, ge=0, description="Life of a finished picture in browsers (max-age)."
    )
    cdn_s: int = Field(default=_USUAL.cdn_s, ge=0, description="Life of a finished picture in CDNs (s-maxage).")
    pending_s: int = Field(
        default=_USUAL.pending_s, ge=0, description="Life of the interim while a matte is owed, in both."
    )
    failed_s: int = Field(
        default=_USUAL.failed_s, ge=0, description="Life of the interim after a failure, or without credits, in both."
    )
    stale_s: int = Field(
        default=_USUAL.stale_s, ge=0, description="Life of an older cutout while a new one is owed, in both."
    )
    show_stale: bool = Field(
        default=True,
        description="While a matte is made anew (another recipe, a changed origin), show the older cutout, not the "
        "background.",
    )
