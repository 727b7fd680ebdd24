"""The glossary: the modules that it names exist, and the texts for contributors link it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "pellucid"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs" / "glossary.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| word |")
]


def _is_module(name: str) -> bool:
    path = SOURCE.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def test_every_row_names_modules_that_exist() -> None:
    assert len(ROWS) > 40
    for word, _, modules in ROWS:
        names = re.findall(r"`([a-z0-9_.]+)`", modules)
        assert names, word
        assert [name for name in names if not _is_module(name)] == [], word


def test_every_word_has_one_row() -> None:
    words = [word for row in ROWS for word in row[0].split(", ")]
    assert sorted(set(words)) == sorted(words)


@pytest.mark.parametrize("text", ["docs/architecture.md", "CONTRIBUTING.md", "README.md"])
def test_the_glossary_is_linked(text: str) -> None:
    assert re.search(r"\]\((docs/)?glossary\.md\)", (ROOT / text).read_text())
