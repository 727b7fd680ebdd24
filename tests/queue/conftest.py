"""Makes the contract suites importable: they lie beside this folder, and the tests tree is no package."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "contract"))

from queue_helpers import MakeProcess


@pytest.fixture
async def make_process(database_url: str, tmp_path: Path) -> AsyncGenerator[MakeProcess]:
    """Processes that share one database, once of each kind."""
    make = MakeProcess(database_url, tmp_path / "workers")
    yield make
    await make.aclose()
