"""The page of limits names settings and tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pellucid.settings.names import setting_names, variable_name

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")

SETTINGS = sorted(set(re.findall(r"`((?:[A-Z]+_)+[A-Z]+)`", PAGE.replace("PELLUCID_", ""))))
TESTS = sorted(set(re.findall(r"`([a-z0-9_/]+\.py)`", PAGE)) - {"bench/neighbours.py"})


def test_the_page_names_some() -> None:
    assert len(SETTINGS) > 20
    assert len(TESTS) > 15


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_exist(name: str) -> None:
    assert f"PELLUCID_{name}" in {variable_name(path) for path in setting_names()}


@pytest.mark.parametrize("path", TESTS)
def test_tests_exist(path: str) -> None:
    assert (ROOT / "tests" / path).is_file()
