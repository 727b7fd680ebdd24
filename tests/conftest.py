"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from tiny import TinyModel, make_tiny_model

pytest_plugins = ["database_fixtures", "serial_tests"]


hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=25)  # `make quick`; 100 else
hypothesis.settings.load_profile("untimed")
"""How long an example takes says something of the machine, not of the code."""

E2E = Path(__file__).parent / "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real servers first: they take longest, so several processes of one run end together."""
    items.sort(key=lambda item: E2E not in item.path.parents)


structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.dev.ConsoleRenderer(),
    ]
)
"""Tracebacks as they are: with every local variable, as structlog shows them by default, one weighs gigabytes."""


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """What sets logging up in this process does so for one test."""
    config = structlog.get_config()
    yield
    structlog.configure(**config)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """A model without weights: bright pixels are the foreground."""
    return make_tiny_model(tmp_path_factory.mktemp("models"))
