"""Fixtures of the origin cache."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from origin_servers import make_fetcher
from origin_world import LIMITS, World

from pellucid.source.fetch import Fetcher


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def fetcher() -> AsyncGenerator[Fetcher]:
    async with make_fetcher(limits=LIMITS) as fetcher:
        yield fetcher
