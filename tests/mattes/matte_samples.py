"""Mattes of eight by eight pixels, and their facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from pellucid.cutout.recipe import Recipe
from pellucid.database.database import Database
from pellucid.database.tables import mattes
from pellucid.image.matte_file import pack_matte, unpack_header
from pellucid.inference.runtime import Precision
from pellucid.mattes.facts import MatteFacts
from pellucid.spec import Tier
from pellucid.store import keys

DIGEST, OTHER = "d" * 32, "e" * 32
STORE = "here"
NOW = 1_800_000_000.0
DAY_S = 86_400.0


def recipe(version: int, tier: Tier = Tier.STANDARD) -> Recipe:
    return Recipe(model="u2net", precision=Precision.INT8, tier=tier, version=version)


def name_of(made_with: Recipe, digest: str = DIGEST, *, page: int = 0) -> str:
    return keys.matte_name(digest, page, made_with.id)


def blob_of(made_with: Recipe, *, empty: bool = False) -> bytes:
    alpha = np.full((8, 8), 0 if empty else 255, np.uint8)
    return pack_matte(alpha, width=8, height=8, confidence=0.5, empty=empty, recipe_id=made_with.id)


def facts_of(made_with: Recipe, digest: str = DIGEST, *, page: int = 0, empty: bool = False) -> MatteFacts:
    blob = blob_of(made_with, empty=empty)
    name = name_of(made_with, digest, page=page)
    return MatteFacts.of_header(name, unpack_header(blob), tier=made_with.tier, size_bytes=len(blob))


async def rows(database: Database, *, store: str = STORE) -> dict[str, Any]:
    """The rows of the store's mattes, by name."""
    query = sa.select(mattes).where(mattes.c.store == store)
    return {row.name: row for row in await database.read(lambda db: db.execute(query).all())}


async def newest(database: Database, *, store: str = STORE) -> set[str]:
    return {name for name, row in (await rows(database, store=store)).items() if row.newest}


def make_unreadable(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)
