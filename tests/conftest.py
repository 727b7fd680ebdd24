"""Fixtures for all tests."""

from __future__ import annotations

import pytest

from tiny import TinyModel, make_tiny_model

pytest_plugins = ["database_fixtures"]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """A model without weights: bright pixels are the foreground."""
    return make_tiny_model(tmp_path_factory.mktemp("models"))
