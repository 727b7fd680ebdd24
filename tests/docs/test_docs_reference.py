"""The reference pages say what the code does: generated tables are current, every name appears."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.main import get_command

from pellucid.cli.app import app
from pellucid.http.problems import PROBLEMS
from pellucid.pipeline.states import CutoutState
from pellucid.settings.load import setting_names, variable_name
from pellucid.settings.reference import settings_markdown
from pellucid.url.params import PARAMS_BY_SPELLING
from pellucid.url.reference import reference_markdown

ROOT = Path(__file__).parents[2]
INTERNAL_ONLY = {"internal", "origin", "cutout", "settings", "model", "device"}
"""Problems that no request can meet by itself: base classes, and start-up errors."""


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def test_the_settings_page_is_generated() -> None:
    """To renew: `.venv/bin/python scripts/docs`."""
    assert settings_markdown() in _page("settings.md")


def test_the_parameter_page_is_generated() -> None:
    assert reference_markdown() in _page("url-api.md")


@pytest.mark.parametrize("spelling", PARAMS_BY_SPELLING)
def test_every_parameter_is_documented(spelling: str) -> None:
    assert f"`{spelling}`" in _page("url-api.md")


def test_every_setting_is_documented() -> None:
    page = _page("settings.md")
    assert not [path for path in setting_names() if f"`{variable_name(path)}`" not in page]


@pytest.mark.parametrize("state", sorted(set(CutoutState) - {CutoutState.UNASKED}))
def test_every_state_is_documented(state: CutoutState) -> None:
    assert f"| {state} |" in _page("states.md")
    assert f"| {state} |" in (ROOT / "README.md").read_text()


def test_every_problem_is_documented() -> None:
    page = _page("states.md")
    slugs = {kind.slug for kind in PROBLEMS.values()} - INTERNAL_ONLY
    assert not [slug for slug in slugs if f"`{slug}`" not in page]


def test_every_verb_is_documented() -> None:
    page = _page("cli.md")
    command = get_command(app)
    verbs = list(getattr(command, "commands", {}))
    assert {"serve", "work", "cut", "models", "doctor"} <= set(verbs)
    assert not [verb for verb in verbs if f"`pellucid {verb}" not in page]


def test_links_between_pages_lead_somewhere() -> None:
    import re  # noqa: PLC0415

    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
