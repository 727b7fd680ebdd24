"""Where things lie in the folder of one server. By itself: commands that cut need no database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where things lie below the data directory."""

    store: Path
    database: Path
    workers: Path
    old_queue: Path
    """Where versions before the one database kept what was owed."""
    old_invalidations: Path
    cache_index: Path
    compiled: Path
    uploads: Path
    receiving: Path
    instance: Path

    @classmethod
    def below(cls, data_dir: Path) -> Paths:
        return cls(
            store=data_dir / "store",
            database=data_dir / "pellucid.sqlite",
            workers=data_dir / "workers",
            old_queue=data_dir / "queue" / "jobs.sqlite",
            old_invalidations=data_dir / "purges.jsonl",
            cache_index=data_dir / "cache.sqlite",
            compiled=data_dir / "compiled",
            uploads=data_dir / "uploads",
            receiving=data_dir / "receiving",
            instance=data_dir / "instance",
        )
