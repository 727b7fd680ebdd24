"""The table agrees with itself and with `Spec`; the reference shows all of it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from pellucid.spec import BlurredCopy, OriginRef, Spec
from pellucid.url.params import PARAMS, PARAMS_BY_SPELLING, URL_ENCODED, Param, field_of, make_spec
from pellucid.url.reference import reference_markdown

_BLANK = Spec(origin=OriginRef(host="h.example", path="/"))


def _leaves(value: Any, prefix: str = "") -> list[str]:
    if not is_dataclass(value) or isinstance(value, OriginRef):
        return [prefix.removesuffix(".")]
    return [leaf for f in fields(value) for leaf in _leaves(getattr(value, f.name), f"{prefix}{f.name}.")]


def test_every_field_of_a_spec_has_exactly_one_parameter() -> None:
    assert sorted(param.field for param in PARAMS) == sorted(set(_leaves(_BLANK)) - {"origin"})


def test_no_spelling_means_two_things() -> None:
    spellings = [spelling for param in (*PARAMS, URL_ENCODED) for spelling in (param.name, *param.aliases)]
    assert len(spellings) == len(set(spellings)) == len(PARAMS_BY_SPELLING)


@pytest.mark.parametrize("param", PARAMS, ids=lambda param: param.name)
def test_the_default_of_a_spec_is_left_out_and_is_what_the_table_says(param: Param) -> None:
    default = field_of(_BLANK, param.field)
    assert param.writer(default) is None
    if param.default is not None:
        assert param.reader(param.default) == default


def test_make_spec_fills_nested_fields() -> None:
    spec = make_spec(
        _BLANK.origin,
        {"removal.remove": True, "geometry.width": 3.0, "background.copy.opacity": 0.5, "output.quality": 5},
    )
    assert (spec.removal.remove, spec.geometry.width, spec.output.quality) == (True, 3.0, 5)
    assert spec.background.copy == BlurredCopy(opacity=0.5)
    assert make_spec(_BLANK.origin, {}) == _BLANK


def test_the_reference_has_a_row_for_every_parameter() -> None:
    head, rule, *rows = reference_markdown().splitlines()
    assert head == "| Parameter | Also | Value | Default | Meaning |"
    assert set(rule) <= set("|- ")
    assert len(rows) == len(PARAMS) + 1
    for param, row in zip((*PARAMS, URL_ENCODED), rows, strict=True):
        assert row.startswith(f"| `{param.name}` |")
        assert all(f"`{alias}`" in row for alias in param.aliases)
        assert param.grammar in row
        assert row.endswith(f"| {param.doc} |")
        assert row.count("|") == head.count("|")
