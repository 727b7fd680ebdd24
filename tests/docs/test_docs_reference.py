"""The reference pages say what the code does: generated tables are current, every name appears."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.main import get_command

from pellucid.cli.app import app
from pellucid.errors import BadValueError
from pellucid.http.problems import PROBLEMS
from pellucid.pipeline.states import CutoutState
from pellucid.settings.names import setting_names, variable_name
from pellucid.settings.reference import settings_markdown
from pellucid.url.cloudimage import NOT_YET, REFUSED
from pellucid.url.params import PARAMS, PARAMS_BY_SPELLING, Param
from pellucid.url.parse import parse_url
from pellucid.url.reference import compatibility_markdown, reference_markdown

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


def test_the_table_of_what_works_is_generated() -> None:
    assert compatibility_markdown() in _page("url-api.md")


ABSENT = [name for absent in NOT_YET for name in absent.names]


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_said_to_be_ignored_is(name: str) -> None:
    parsed = parse_url("/h.example/a.jpg", f"w=4&{name}=1")
    assert parsed.ignored == (name,)
    assert parsed.spec == parse_url("/h.example/a.jpg", "w=4").spec


@pytest.mark.parametrize("name", [name for absent in REFUSED for name in absent.names])
def test_what_is_said_to_be_refused_is(name: str) -> None:
    with pytest.raises(BadValueError):
        parse_url("/h.example/a.jpg", f"{name}=1")


@pytest.mark.parametrize(
    ("param", "value"), [(param, value) for param in PARAMS for value in param.refused], ids=lambda each: str(each)[:20]
)
def test_values_that_are_said_to_be_refused_are(param: Param, value: str) -> None:
    with pytest.raises(BadValueError):
        parse_url("/h.example/a.jpg", f"{param.name}={value}")


def test_the_first_page_promises_no_more() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "changing a host name" not in readme
    assert "docs/url-api.md#what-of-cloudimages-works" in readme
    assert "## What of Cloudimage's works" in _page("url-api.md")


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
